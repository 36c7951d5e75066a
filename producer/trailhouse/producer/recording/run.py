"""One run of an agent: one `run_started`, one end, and what happens between them and after."""

from __future__ import annotations

import datetime as dt
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from trailhouse.producer.object_fields import completed_data, given
from trailhouse.producer.recording.endings import ending_of
from trailhouse.producer.recording.guard import harmless
from trailhouse.producer.recording.inheritance import FRAMEWORK_SESSION, acceptable
from trailhouse.producer.recording.model_call import ModelCalls
from trailhouse.producer.recording.run_records import RunRecords, described_error
from trailhouse.producer.recording.usage import Totals, Usage
from trailhouse.schemas.event_type import EventType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from trailhouse.producer.context import Binding
    from trailhouse.producer.recording.registry import Registry

STOP_REASON_PAUSED = "paused"


class Run(RunRecords):
    """A run that is recorded; made by `Recorder.open_run`. Safe for threads, and in signal handlers.

    Each method returns at once and raises nothing, whatever it is given: what could not be logged is in
    `AuditLogger.stats`. In strict mode it waits for room, and raises what `AuditLogger.log` raises. The first end
    counts, and later ones are ignored; events that come after it are kept all the same, in this run and session.
    Nothing of the context of a call is added to its events, but what was bound where the run was opened.

    A forked child logs events of its parent's run, but neither its start nor its end.

    Attributes:
        recorder: What it was opened by.
        parent: The run that it is a child of, where that is recorded here.
        source: Who reports it: an adapter's name, such as ``langchain``, or ``python``.
        model_calls_open: How many model calls its adapter waits for, and will tell of: what else sees a model call in
            this run meanwhile sees the same.
        model_calls: The calls of `model_call` that are open.
        result: What the run's block hands over as its result: a mapping or an object that has `token_usage`,
            `cost_usd`, `stop_reason`. What it does not say comes from the usage that was recorded.
        is_recorded: Whether auditing was on where it was opened; if not, nothing of it is logged anywhere.
        is_strict: Whether what cannot be recorded of it is raised.
        lock: Held while its start is logged, and no longer than that.
    """

    def __init__(
        self,
        recorder: Registry,
        fields: Mapping[str, Any],
        *,
        source: str,
        parent: Run | None = None,
        agent_around: str | None = None,
        started_at: dt.datetime | None = None,
        metadata: Mapping[str, Any],
        is_recorded: bool,
        before_start: Callable[[Run], None] | None = None,
        strict: bool = False,
    ) -> None:
        self.recorder = recorder
        self.parent = parent
        self.source = source
        self.model_calls_open = 0
        self.result: object = None
        self.is_recorded = is_recorded
        self.is_strict = strict
        self.lock = threading.RLock()  # a signal handler may record within a call
        self._fields = dict(fields)
        self._metadata = dict(metadata)
        self._agent_around = agent_around
        self._started_at = started_at
        self._started_ns = recorder.now_ns(started_at)
        self._totals = Totals()
        self._is_beginning = False
        self._has_begun = False
        self._is_over = False
        self.model_calls = ModelCalls()
        self._before_start = before_start
        self._held: list[tuple[dict[str, Any], bool]] = []

    @property
    def id(self) -> str:
        """The `run_id` of its events."""
        return str(self._fields["run_id"])

    @property
    def session_id(self) -> str | None:
        """The session; None while it is not known, before the start is logged."""
        return self._fields.get("session_id")

    @property
    def parent_run_id(self) -> str | None:
        return self._fields.get("parent_run_id")

    @property
    def agent_id(self) -> str | None:
        return self._fields.get("agent_id")

    @property
    def tenant_id(self) -> str | None:
        return self._fields.get("tenant_id")

    @property
    def provider(self) -> str | None:
        return self._fields.get("provider")

    @property
    def fields(self) -> Mapping[str, Any]:
        """The fields of its events, but for what each says of itself."""
        return self._fields

    @property
    def has_begun(self) -> bool:
        """Whether its start is logged."""
        return self._has_begun

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return not self._is_over

    def ancestors(self) -> Iterator[Run]:
        """The runs that it is a child of, its parent first."""
        run = self.parent
        while run is not None:
            yield run
            run = run.parent

    @property
    def totals(self) -> Totals:
        """What its own model calls used so far, without its children's."""
        return self._totals

    def bound(self) -> Binding:
        """Return a block in which this is the run that events, and runs opened within, belong to.

        A run that has no session yet begins with the first event in the block that needs one.
        """
        return self.recorder.bind(self)

    def session_to_log(self) -> str | None:
        """Return the session for an event, after the start, which settles it."""
        self.begin()
        return self.session_id

    @harmless
    def name(
        self,
        *,
        session_id: str | None = None,
        agent_id: str | None = None,
        trace_id: str | None = None,
    ) -> None:
        """Fill in what was not known when the run was opened; what is known stays.

        Once the start is logged, a session that comes late cannot change where the run's events are: it is left to
        the end's metadata, as `framework_session_id`.
        """
        given = {"session_id": session_id, "agent_id": agent_id, "trace_id": trace_id}
        named, _ = acceptable(given)
        with self.lock:
            if "agent_id" in named:
                self._fields.setdefault("agent_id", named["agent_id"])
            if "trace_id" in named and not self._has_begun:
                self._fields.setdefault("trace_id", named["trace_id"])
            session = named.get("session_id")
            if session is not None and self._fields.setdefault("session_id", session) != session:
                self._metadata[FRAMEWORK_SESSION] = session

    @harmless
    def note(self, /, **metadata: Any) -> None:
        """Add to the metadata of the start, or of the end where the start is logged."""
        with self.lock:
            self._metadata.update(metadata)

    @harmless
    def begin(self) -> None:
        """Log `run_started`, once however often it is called. Every other event does so first.

        A run whose session nobody has named by then is kept under its trace or run id, with `session_missing` in
        the metadata.
        """
        if self._has_begun:
            return
        with self.lock:  # others wait: nothing of a run is logged before its start
            if self.has_begun or self._is_beginning:
                return
            self._is_beginning = True
            before_start, self._before_start = self._before_start, None
            if before_start is not None:
                with self.recorder.guard("naming a run"):
                    before_start(self)
            if self._agent_around is not None:
                self._fields.setdefault("agent_id", self._agent_around)
            if self.session_id is None:
                self._fields["session_id"] = self._fields.get("trace_id") or self.id
                self._metadata["session_missing"] = True
                self.recorder.note_session_missing()
            metadata = {"captured_by": self.source, **self._metadata}
            data = {"agent_id": self.agent_id, "run_status": "running"}
            try:
                self._log(EventType.RUN_STARTED, data, self._started_at, metadata, True)
                self._metadata = {}
            except Exception:  # in strict mode
                self._has_begun, self._is_beginning, self._held = True, False, []
                raise
            except BaseException:  # Ctrl-C in the middle: whatever is recorded next logs the start
                self._is_beginning = False
                raise
            self._has_begun, self._is_beginning = True, False
            held, self._held = self._held, []
        for fields, is_admitted in held:
            self.recorder.log(fields, is_admitted=is_admitted)

    @harmless
    def log(
        self,
        type: EventType | str,
        data: Mapping[str, Any],
        *,
        at: dt.datetime | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Log an event of this run, after its start.

        Args:
            type: Its type.
            data: Its data; see `trailhouse.schemas.event_data`.
            at: When it happened; now if not given.
            metadata: What else is to be kept of it.
        """
        if not self._has_begun:
            self.begin()
        self._log(type, data, at, metadata)

    def log_admitted(
        self, type: EventType | str, data: Mapping[str, Any], *, at: dt.datetime | None = None
    ) -> None:
        """Log the other half of what was begun where auditing was on, also where it is switched off."""
        if not self._has_begun:
            self.begin()
        self._log(type, data, at, None, True)

    def admits(self) -> bool:
        """Tell whether its events are written in the current context."""
        if not self._has_begun:
            self.begin()
        return self.is_recorded and self.recorder.admits(self._fields)

    def _log(
        self,
        type: EventType | str,
        data: Mapping[str, Any],
        at: dt.datetime | None,
        metadata: Mapping[str, Any] | None,
        is_admitted: bool = False,
        **others: Any,
    ) -> None:
        if not self.is_recorded:
            return
        fields = {
            **self._fields,
            "type": type,
            "data": data,
            "occurred_at": at,
            "metadata": metadata or None,
            **others,
        }
        if self._is_beginning and type is not EventType.RUN_STARTED:
            self._held.append(
                (fields, is_admitted)
            )  # by a signal handler, while the start is being logged
        else:
            self.recorder.log(fields, strict=self.is_strict, is_admitted=is_admitted)

    @harmless
    def end(
        self,
        error: BaseException | None = None,
        *,
        stop_reason: str | None = None,
        at: dt.datetime | None = None,
    ) -> None:
        """Log how the run ended, told from *error* as `ending_of` does; nothing when it has ended."""
        self.end_as(ending_of(error), error, stop_reason=stop_reason, at=at)

    @harmless
    def pause(self, *, at: dt.datetime | None = None) -> None:
        """Log `run_completed` with the stop reason ``paused``: it waits for a decision, and goes on as another run."""
        self.end_as(EventType.RUN_COMPLETED, stop_reason=STOP_REASON_PAUSED, at=at)

    @harmless
    def abandon(self, reason: str, *, at: dt.datetime | None = None) -> None:
        """Log `run_abandoned`: nobody has said how it ended."""
        self.end_as(EventType.RUN_ABANDONED, reason, at=at)

    @harmless
    def end_as(
        self,
        type: EventType,
        error: object = None,
        *,
        stop_reason: str | None = None,
        at: dt.datetime | None = None,
    ) -> None:
        """Log the end of the run as *type* says; nothing when it has ended.

        Args:
            type: `run_completed`, `run_failed`, `run_cancelled`, `run_timeout` or `run_abandoned`.
            error: What ended it: an exception, its text, or anything with a `code` and a `message`.
            stop_reason: Why a run completed; before what `result` says.
            at: When; now if not given.
        """
        with self.lock:
            if self._is_over:
                return
            self._is_over = True
        if self.model_calls:
            at = at or dt.datetime.fromtimestamp(self.recorder.now_ns() / 1e9, dt.UTC)
        end = partial(self._end_now, type, error, stop_reason, at)
        if not self.model_calls.hold(end):
            end()

    @harmless
    def _end_now(
        self, type: EventType, error: object, stop_reason: str | None, at: dt.datetime | None
    ) -> None:
        try:
            self._log_end(type, error, stop_reason, at)
        except Exception:
            self.recorder.forget_run(self)
            raise
        except BaseException:  # Ctrl-C in the middle: whoever ends it next does
            self._is_over = False
            raise
        self.recorder.forget_run(self)

    def _log_end(
        self, type: EventType, error: object, stop_reason: str | None, at: dt.datetime | None
    ) -> None:
        if not self._has_begun:
            self.begin()
        elapsed_ms = max(0.0, round((self.recorder.now_ns(at) - self._started_ns) / 1_000_000, 3))
        if type is EventType.RUN_COMPLETED:
            data = self._completed(stop_reason) | {"duration_ms": elapsed_ms}
        elif type is EventType.RUN_ABANDONED:
            data = {"agent_id": self.agent_id, "reason": error}
        else:
            data = {"agent_id": self.agent_id, **described_error(error), "duration_ms": elapsed_ms}
        self._log(type, data, at, self._metadata, True)

    def leave_to_parent(self) -> None:
        """Have its start and end logged by the parent alone, in a forked child."""
        self.lock = (
            threading.RLock()
        )  # another thread of the parent's may hold the one that was inherited
        self._has_begun = self._is_over = True
        if self.session_id is None:
            self._fields["session_id"] = self._fields.get("trace_id") or self.id

    def _completed(self, stop_reason: str | None) -> dict[str, Any]:
        totals = self._totals
        data: dict[str, Any]
        if self.result is None:
            data = {"agent_id": self.agent_id, "token_usage": totals.token_usage}
        else:
            data = completed_data(self, None, self.result)
            used = data["token_usage"]
            if isinstance(used, Usage):
                used = used.tokens()
            data["token_usage"] = totals.token_usage if type(used) is dict and not used else used
        cost = data.get("cost_usd", totals.cost_usd)
        stop = stop_reason or data.get("stop_reason", "end_turn")
        return data | given({"cost_usd": cost, "stop_reason": stop})
