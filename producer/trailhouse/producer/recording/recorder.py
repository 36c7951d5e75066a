"""The recorder: opens runs, knows which are open and which one is bound, and records each call once."""

from __future__ import annotations

import datetime as dt
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, cast

from trailhouse.producer.clock import SYSTEM_CLOCK, Clock
from trailhouse.producer.recording.deferred import DEFERRED_STARTS
from trailhouse.producer.recording.guard import Guard
from trailhouse.producer.recording.inheritance import Parent, acceptable, inherit
from trailhouse.producer.recording.no_run import NoRun
from trailhouse.producer.recording.open_calls import OpenCalls
from trailhouse.producer.recording.run import Run
from trailhouse.schemas.draft import EventDraft
from trailhouse.schemas.errors import ProducerClosedError
from trailhouse.schemas.uuid7 import uuid7

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from trailhouse.producer.context import Binding, Bound
    from trailhouse.producer.recording.events import ContextFields, Losses, SafeEvents
    from trailhouse.producer.recording.tool_call import ToolCall

MAX_CLAIMS = 20_000
MAX_OPEN_RUNS = 10_000


class CurrentRun:
    """Stands for the parent that is not named: the run that is bound where a run is opened."""


CURRENT: Final = CurrentRun()


class Recorder:
    """Opens and closes runs and tool calls for everyone who reports them: adapters, spans, plain Python.

    One for each `AuditLogger` (`AuditLogger.recorder`), so that what two of them see is recorded once. Nothing raises,
    and nothing waits for room: what could not be logged is counted in `AuditLogger.stats` as `unlogged_total`, and told
    in our log once a minute.
    """

    def __init__(
        self,
        events: SafeEvents,
        losses: Losses,
        context: ContextFields,
        *,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.log = events.log
        self.admit = events.admit
        self._losses = losses
        self._context = context
        self._newest_layer = context.newest_layer
        self._clock = clock
        self._lock = threading.RLock()  # a signal handler may record, too
        self._runs: OrderedDict[int, Run] = OrderedDict()
        self._calls = OpenCalls(clock)
        self.note_open_call = self._calls.add
        self.forget_call = self._calls.forget
        self._claims: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._finders: list[Callable[[], Run | None]] = []
        self._binders: list[Callable[[], Run | None]] = []
        self._settlers: list[Callable[[], None]] = []
        self._closers: list[Callable[[], None]] = []
        self._is_closed = False
        self._abandoned = 0
        self.sessions_missing_total = 0

    @property
    def current(self) -> Run | None:
        """The recorded run that is bound in this context, or one within it that a finder knows of."""
        run = self.bound
        for find in self._finders:
            run = self.inner_of(run, find())
        return run

    @property
    def bound(self) -> Run | None:
        """The recorded run that is bound in this context, or that an adapter works on in it."""
        run = None
        if self._newest_layer() is not None:
            bound = self._context.bound.run
            run = bound if isinstance(bound, Run) else None
        for find in self._binders:
            run = self.inner_of(run, find())
        return run

    def bind_by(self, find: Callable[[], Run | None]) -> None:
        """Take what *find* finds for bound: for an adapter whose framework's tasks outlive the run they began in."""
        self._binders = [*self._binders, find]

    def find_current_by(self, find: Callable[[], Run | None]) -> Callable[[], None]:
        """Ask *find* too which run is the current one, where runs cannot be bound; return what undoes that."""
        self._finders = [*self._finders, find]

        def undo() -> None:
            self._finders = [finder for finder in self._finders if finder is not find]

        return undo

    def settle_by(self, settle: Callable[[], None]) -> Callable[[], None]:
        """Have *settle* report, before calls are given up, what its framework did not tell; return what undoes that."""
        self._settlers = [*self._settlers, settle]

        def undo() -> None:
            self._settlers = [settler for settler in self._settlers if settler is not settle]

        return undo

    def settle(self) -> None:
        """Have every end reported that somebody knows of and has not told yet."""
        for settle in self._settlers:
            with self.guard("what was yet to be told"):
                settle()

    def close_by(self, tell: Callable[[], None]) -> None:
        """Have *tell* report, as the recorder is closed, what would have waited for what comes next."""
        self._closers.append(tell)

    @staticmethod
    def inner_of(one: Run | None, other: Run | None) -> Run | None:
        """Return which of two runs is within the other, and *one* where neither is."""
        if one is None or other is None:
            return one or other
        return other if one in other.ancestors() else one

    def open_run(
        self,
        session_id: str | None = None,
        *,
        source: str,
        run_id: str | None = None,
        parent: Run | CurrentRun | None = CURRENT,
        parent_run_id: str | None = None,
        agent_id: str | None = None,
        tenant_id: str | None = None,
        actor: Any = None,
        provider: str | None = None,
        correlation_id: str | None = None,
        trace_id: str | None = None,
        span_id: str | None = None,
        started_at: dt.datetime | None = None,
        metadata: Mapping[str, Any] | None = None,
        is_deferred: bool = False,
        begins_alone: bool = True,
        before_start: Callable[[Run], None] | None = None,
        strict: bool = False,
    ) -> Run:
        """Open a run and log its start.

        A child has its parent's session, whatever *session_id* says: that is kept as `framework_session_id` in the
        metadata. What is bound where this is called fills in what is not named, but for the provider of a child, which
        is its own. A field that breaks a rule of events is marked.

        Args:
            session_id: The session; the parent's, else the bound one, if not given.
            source: Who reports it; see `Run.source`.
            run_id: Its id; a new one if not given.
            parent: The run that it is a child of; the bound one if not given, and None for none.
            parent_run_id: The parent's id, where that is not recorded here.
            agent_id: The agent.
            tenant_id: The tenant.
            actor: On whose behalf.
            provider: Who serves its models.
            correlation_id: What ties it to others' records.
            trace_id: The trace that it is seen in.
            span_id: Its span.
            started_at: When; now if not given.
            metadata: What else is to be kept of it.
            is_deferred: Do not log the start yet: its session or agent may become known with its first event. It is
                logged then, by `Run.begin`, or after 250 ms, whichever is first.
            begins_alone: Whether a deferred start is logged after 250 ms. If not it waits for an event or the end: for
                an opener that is sure to hear more of the run, such as of a process that takes seconds to answer.
            before_start: Called as the start is about to be logged, to name what is known by then.
            strict: Raise what cannot be recorded of the run and its tool calls, and wait for room; see `Run`.

        Raises:
            EventError, DeliveryError: As `AuditLogger.log`, with *strict* alone; no run is open.
        """
        named = EventDraft(
            actor, agent_id, correlation_id, None, None, None, None, parent_run_id, provider, run_id, None,
            session_id, None, span_id, tenant_id, trace_id,
        )  # fmt: skip
        fields, marks = acceptable(named, strict=strict)
        if fields.run_id is None:
            fields.run_id = uuid7()
        around = self.current if parent is CURRENT else cast("Run | None", parent)
        of_parent = agent_around = None
        if (
            parent is not None
            or self._newest_layer() is not None
            or not self._context.stamps.is_empty
        ):
            of_parent = inherit(fields, *self._family(around, parent))
        if is_deferred and agent_id is None:
            # The agent around is not taken for the run's own before that had its time to become known.
            agent_around, fields.agent_id = fields.agent_id, None
        kept = {} if metadata is None else _mapping(metadata)
        if of_parent or marks:
            kept |= (of_parent or {}) | (marks or {})
        is_recorded = self.admit(fields) is not None
        run = Run(
            self, fields, source, around, agent_around, started_at, kept, is_recorded, before_start, strict
        )  # fmt: skip
        self._note_open(run)
        if not is_deferred:
            self._begin(run)
        elif begins_alone:
            DEFERRED_STARTS.add(run)
        return run

    def outside_runs(
        self,
        session_id: str | None = None,
        *,
        source: str,
        trace_id: str | None = None,
        span_id: str | None = None,
    ) -> NoRun:
        """Return what records tool and model calls that belong to no run: in this session, else the bound one.

        Args:
            session_id: The session; the bound one if not given, and that of the trace, or one of its own, for want
                of it.
            source: Who reports them; see `Run.source`.
            trace_id: The trace that they are seen in.
            span_id: Their span.
        """
        named = EventDraft(session_id=session_id, trace_id=trace_id, span_id=span_id)
        fields, marks = acceptable(named)
        self._context.bound.stamp(fields)
        is_recorded = self.admit(fields) is not None
        return NoRun(self, fields, source, None, None, None, marks or {}, is_recorded)

    def open_call(self, run: Run, name: str, call_id: str | None = None) -> ToolCall | None:
        """Return the call of *run* that is open and has this *call_id*, else this tool's *name*; None for none."""
        return self._calls.find(run, name, call_id)

    def _family(
        self, around: Run | None, parent: Run | CurrentRun | None
    ) -> tuple[Parent | None, Bound]:
        """Return what a child of *around* takes over, and what is bound as far as it counts for it."""
        bound = self._context.bound
        if around is not None:
            around.begin()  # its session is known by then
            counts = bound if bound.run is around else self._context.stamps
            return Parent(around.id, around.session_id, around.fields), counts
        if parent is CURRENT and bound.run_id is not None:
            return Parent(bound.run_id, bound.session_id, EventDraft()), bound  # not recorded here
        return None, bound

    def _begin(self, run: Run) -> None:
        try:
            run.begin()
        except BaseException as error:
            if isinstance(error, Exception):  # in strict mode, and nothing was logged
                self.forget_run(run)
            else:  # the program is stopped in the middle
                run.end(error)
            raise

    def _note_open(self, run: Run) -> None:
        if self._calls.left_open:
            self._calls.sweep()
        with self._lock:
            if self._is_closed:
                run.is_recorded = False
            else:
                self._runs[id(run)] = run
            oldest = next(iter(self._runs.values())) if len(self._runs) > MAX_OPEN_RUNS else None
        if not run.is_recorded and self._is_closed:
            self.note_loss("run_started", ProducerClosedError("the audit logger is closed"))
        if oldest is not None:
            self._abandon(oldest, f"more than {MAX_OPEN_RUNS:,} runs are open")
            with self._lock:  # also where its end waits for a model call's
                self._runs.pop(id(oldest), None)

    def bind(self, run: Run) -> Binding:
        """Return a block in which *run* is the current one."""
        return self._context.bind(run, run.session_to_log)

    def claims(self, kind: str, key: str, source: str | None = None) -> bool:
        """Tell whether what has this *key* is for the caller to record: nobody has claimed it before.

        Args:
            kind: What it is, such as ``model_call``.
            key: Its id.
            source: Who asks. One who has claimed it may record it again; without a source nobody may.
        """
        with self._lock:
            claimed = self._claims.get((kind, key))
            if claimed is not None:
                return source is not None and claimed == source
            self._claims[(kind, key)] = source or ""
            if len(self._claims) > MAX_CLAIMS:
                self._claims.popitem(last=False)
            return True

    def guard(self, what: str, *, strict: bool = False) -> Guard:
        """Return a block, or decorator, whose exceptions are counted and told as losses, and go no further.

        Args:
            what: Whose block it is, for our log: the handler's name, and nothing that somebody else wrote.
            strict: Raise what went wrong, here and in the events that the block logged; see `Guard`.
        """
        return Guard(self._losses, what, strict=strict)

    def note_loss(self, what: str, error: Exception) -> None:
        """Count that *what* could not be recorded because of *error*, and tell it. Raises nothing."""
        self._losses.note(what, error)

    def note_session_missing(self) -> None:
        """Count a run whose session nobody named."""
        with self._lock:
            self.sessions_missing_total += 1

    def now_ns(self, at: dt.datetime | None = None) -> int:
        """Return *at* as Unix nanoseconds; now if it is None, or no time."""
        if not isinstance(at, dt.datetime):
            return self._clock.unix_ns()
        return round(at.timestamp() * 1_000_000) * 1_000

    def forget_run(self, run: Run) -> None:
        """No longer know *run* as open; what it has left open is given up some minutes later."""
        with self._lock:
            self._runs.pop(id(run), None)
        if id(run) in self._calls.by_run:
            self._calls.note_ended_run(run)

    def counts(self) -> dict[str, int]:
        """Return its counters, by their names in `Stats`."""
        return {
            "open_runs": len(self._runs),
            "abandoned_runs_total": self._abandoned,
            "sessions_missing_total": self.sessions_missing_total,
        }

    def close(self) -> None:
        """End what is open: tool calls as failed for want of an end, runs as abandoned. Raises nothing.

        A run that is opened later is not recorded, which is a loss.
        """
        self.settle()
        for tell in self._closers:
            with self.guard("what waited for more"):
                tell()
        with self._lock:
            self._is_closed = True
            runs = list(self._runs.values())
        self._calls.give_up_all()
        for run in reversed(runs):  # children before their parents
            self._abandon(run, "open when the logger was closed")

    def _abandon(self, run: Run, reason: str) -> None:
        if run.is_open:
            with self._lock:
                self._abandoned += 1
        with self.guard("run_abandoned"):
            run.abandon(reason)  # waits where another thread is logging its end

    def leave_to_parent(self) -> None:
        """Leave what is open to the parent, in a forked child: it ends none of it, and has its own counters."""
        self._lock = (
            threading.RLock()
        )  # another thread of the parent's may hold the one that was inherited
        self._losses.leave_to_parent()
        for run in self._runs.values():
            run.leave_to_parent()
        self._runs.clear()
        self._calls.leave_to_parent()
        self._abandoned = self.sessions_missing_total = 0


def _mapping(metadata: object) -> dict[str, Any]:
    try:
        return dict(metadata)  # type: ignore[call-overload,no-any-return]
    except Exception:  # noqa: BLE001 - a foreign mapping may raise anything; the event marks what it is
        return {"value": metadata}
