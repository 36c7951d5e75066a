"""The recorder: opens runs, knows which are open and which one is bound, and records each call once."""

from __future__ import annotations

import datetime as dt
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, TypeVar

from trailhouse.producer.clock import SYSTEM_CLOCK, Clock
from trailhouse.producer.recording.guard import Guard
from trailhouse.producer.recording.no_run import NoRun
from trailhouse.producer.recording.run import Run
from trailhouse.producer.recording.tool_call import NO_END, ToolCall
from trailhouse.schemas.uuid7 import uuid7

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from trailhouse.producer.context import Binding
    from trailhouse.producer.recording.events import Losses, SafeEvents
    from trailhouse.producer.recording.model_call import ModelCall

MAX_CLAIMS = 20_000
MAX_OPEN_RUNS = 10_000
MAX_OPEN_CALLS = 10_000


R = TypeVar("R", bound=Run)


class CurrentRun:
    """Stands for the parent that is not named: the run that is bound where a run is opened."""


CURRENT: Final = CurrentRun()


class Recorder:
    """Opens and closes runs and tool calls for everyone who reports them: adapters, spans, plain Python.

    One for each `AuditLogger` (`AuditLogger.recorder`), so that what two of them see is recorded once. Nothing raises:
    what could not be logged is counted in `AuditLogger.stats` as `unlogged_total`, and told in our log once a minute.
    """

    def __init__(
        self,
        events: SafeEvents,
        losses: Losses,
        bind: Callable[..., Binding],
        bound_run: Callable[[], object],
        *,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._events = events
        self._losses = losses
        self._bind = bind
        self._bound_run = bound_run
        self._clock = clock
        self._lock = threading.RLock()
        self._runs: OrderedDict[int, Run] = OrderedDict()
        self._calls: OrderedDict[int, ToolCall | ModelCall] = OrderedDict()
        self._claims: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._finders: list[Callable[[], Run | None]] = []
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
        """The recorded run that is bound in this context."""
        run = self._bound_run()
        return run if isinstance(run, Run) else None

    def find_current_by(self, find: Callable[[], Run | None]) -> Callable[[], None]:
        """Ask *find* too which run is the current one, where runs cannot be bound; return what undoes that."""
        self._finders = [*self._finders, find]

        def undo() -> None:
            self._finders = [finder for finder in self._finders if finder is not find]

        return undo

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
        before_start: Callable[[Run], None] | None = None,
    ) -> Run:
        """Open a run and log its start.

        A child has its parent's session, whatever *session_id* says: that is kept as `framework_session_id` in the
        metadata. What is bound where this is called fills in what is not named.

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
                logged then, or by `Run.begin`, whichever is first.
            before_start: Called as the start is about to be logged, to name what is known by then.
        """
        around = self.current if isinstance(parent, CurrentRun) else parent
        named = {
            "session_id": session_id, "run_id": run_id or uuid7(), "agent_id": agent_id, "tenant_id": tenant_id,
            "actor": actor, "provider": provider, "correlation_id": correlation_id, "trace_id": trace_id,
            "span_id": span_id, "parent_run_id": parent_run_id,
        }  # fmt: skip
        kept = dict(metadata or {})
        if around is not None:
            around.begin()
            if session_id is not None and session_id != around.session_id:
                kept["framework_session_id"] = session_id
            named |= _inherited(around, parent_run_id, tenant_id)
        run = self._made(Run, named, source, around, started_at, kept, before_start, is_deferred)
        self._note_open_run(run)
        if not is_deferred:
            run.begin()
        return run

    def _made(
        self,
        kind: type[R],
        named: Mapping[str, Any],
        source: str,
        parent: Run | None = None,
        started_at: dt.datetime | None = None,
        metadata: Mapping[str, Any] | None = None,
        before_start: Callable[[Run], None] | None = None,
        is_deferred: bool = False,
    ) -> R:
        fields = self._events.stamped({k: v for k, v in named.items() if v is not None})
        # The agent around is not taken for the run's own before that had its time to become known.
        is_late = is_deferred and named.get("agent_id") is None
        return kind(
            self,
            fields,
            source=source,
            parent=parent,
            agent_around=fields.pop("agent_id", None) if is_late else None,
            started_at=started_at,
            metadata=metadata or {},
            is_recorded=self._events.admits(fields),
            before_start=before_start,
        )

    def _note_open_run(self, run: Run) -> None:
        with self._lock:
            self._runs[id(run)] = run
            oldest = next(iter(self._runs.values())) if len(self._runs) > MAX_OPEN_RUNS else None
        if oldest is not None:
            oldest.abandon(f"more than {MAX_OPEN_RUNS:,} runs are open")

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
        named = {"session_id": session_id, "trace_id": trace_id, "span_id": span_id}
        return self._made(NoRun, named, source)

    def open_call(self, run: Run, name: str, call_id: str | None = None) -> ToolCall | None:
        """Return the call of *run* that is open and has this *call_id*, else this tool's *name*; None for none."""
        with self._lock:
            open_calls = [call for call in self._calls.values() if call.run is run]
        calls = [call for call in open_calls if isinstance(call, ToolCall)]
        by_id = next((call for call in calls if call.id == call_id), None)
        return by_id or next((call for call in calls if call.name == name), None)

    def bind(self, run: Run) -> Binding:
        """Return a block in which *run* is the current one."""
        return self._bind(run=run)

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

    def log(self, fields: Mapping[str, Any]) -> None:
        """Log an event of *fields*, which are complete. Raises nothing."""
        self._events.log(fields, strict=False)

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

    def note_session_missing(self, _run: Run) -> None:
        """Count a run whose session nobody named."""
        self.sessions_missing_total += 1

    def now_ns(self, at: dt.datetime | None = None) -> int:
        """Return *at* as Unix nanoseconds; now if it is None."""
        return self._clock.unix_ns() if at is None else round(at.timestamp() * 1_000_000) * 1_000

    def note_open_call(self, call: ToolCall | ModelCall) -> None:
        """Know *call* as open until `forget_call`."""
        with self._lock:
            self._calls[id(call)] = call
            oldest = next(iter(self._calls.values())) if len(self._calls) > MAX_OPEN_CALLS else None
        if oldest is not None:
            oldest.fail("its end was not reported", code=NO_END)

    def forget_call(self, call: ToolCall | ModelCall) -> None:
        """Undo `note_open_call`."""
        with self._lock:
            self._calls.pop(id(call), None)

    def forget_run(self, run: Run) -> None:
        """No longer know *run* as open."""
        with self._lock:
            self._runs.pop(id(run), None)

    def close(self) -> None:
        """End what is open: tool calls as failed for want of an end, runs as abandoned. Raises nothing."""
        with self._lock:
            calls, runs = list(self._calls.values()), list(self._runs.values())
        for call in calls:
            call.fail("its end was not reported", code=NO_END)
        for run in reversed(runs):  # children before their parents
            run.abandon("open when the logger was closed")

    def forget_all(self) -> None:
        """Forget what is open: in a forked child it is the parent's."""
        self._lock = threading.RLock()
        self._runs.clear()
        self._calls.clear()


def _inherited(parent: Run, parent_run_id: str | None, tenant_id: str | None) -> dict[str, Any]:
    """Return what a child has of its parent, and what it names itself before that."""
    return {
        "session_id": parent.session_id,
        "parent_run_id": parent_run_id or parent.id,
        "tenant_id": tenant_id or parent.tenant_id,
    }
