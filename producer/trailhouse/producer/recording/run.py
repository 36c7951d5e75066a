"""One run of an agent: one `run_started`, one end, and what happens between them and after."""

from __future__ import annotations

import datetime as dt
from functools import partial
from typing import TYPE_CHECKING, Any

from trailhouse.producer.recording.elapsed import elapsed_ms, start_ns
from trailhouse.producer.recording.end_data import end_data
from trailhouse.producer.recording.endings import ending_of
from trailhouse.producer.recording.guard import harmless
from trailhouse.producer.recording.inheritance import FRAMEWORK_SESSION, acceptable
from trailhouse.producer.recording.locks import new_lock
from trailhouse.producer.recording.model_call import ModelCalls
from trailhouse.producer.recording.run_records import RunRecords
from trailhouse.schemas.draft import EventDraft
from trailhouse.schemas.event import MAX_ID_CHARACTERS
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
        fields: The fields of its events, but for what each says of itself.
        result: What the run's block hands over as its result: a mapping or an object that has `token_usage`,
            `cost_usd`, `stop_reason`. What it does not say comes from the usage that was recorded.
        is_recorded: Whether auditing was on where it was opened; if not, nothing of it is logged anywhere.
        is_strict: Whether what cannot be recorded of it is raised.
        has_begun: Whether its start is logged.
        lock: Held while its start is logged, or its end: who closes the recorder meanwhile waits for that.
    """

    # Defaults of the class: most runs never have another, and each costs as it is made.
    model_calls_open = 0
    result: object = None
    has_begun = False
    _is_beginning = False
    _is_over = False
    _model_calls: ModelCalls | None = None
    _held: tuple[tuple[EventDraft, bool], ...] = ()

    def __init__(
        self,
        recorder: Registry,
        fields: EventDraft,
        source: str,
        parent: Run | None,
        agent_around: str | None,
        started_at: dt.datetime | None,
        metadata: dict[str, Any],
        is_recorded: bool,
        before_start: Callable[[Run], None] | None = None,
        strict: bool = False,
    ) -> None:
        self.recorder = recorder
        self.fields = fields
        self.parent = parent
        self.source = source
        self.is_recorded = is_recorded
        self.is_strict = strict
        self.lock = (
            new_lock()
        )  # that may be entered again: a signal handler may record within a call
        self._metadata = metadata
        self._agent_around = agent_around
        self._started_at = started_at
        self._started_ns = start_ns(recorder, started_at)
        self._before_start = before_start

    @property
    def id(self) -> str:
        """The `run_id` of its events."""
        return str(self.fields.run_id)

    @property
    def session_id(self) -> str | None:
        """The session; None while it is not known, before the start is logged."""
        session: str | None = self.fields.session_id
        return session

    @property
    def parent_run_id(self) -> str | None:
        parent_run_id: str | None = self.fields.parent_run_id
        return parent_run_id

    @property
    def agent_id(self) -> str | None:
        agent_id: str | None = self.fields.agent_id
        return agent_id

    @property
    def tenant_id(self) -> str | None:
        tenant_id: str | None = self.fields.tenant_id
        return tenant_id

    @property
    def provider(self) -> str | None:
        provider: str | None = self.fields.provider
        return provider

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
    def model_calls(self) -> ModelCalls:
        """The calls of `model_call` that are open."""
        with self.lock:
            if self._model_calls is None:
                self._model_calls = ModelCalls()
            return self._model_calls

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
        named, _ = acceptable(
            EventDraft(session_id=session_id, agent_id=agent_id, trace_id=trace_id)
        )
        with self.lock:
            self._fill_in(named.session_id, named.agent_id)
            if self.fields.trace_id is None and not self.has_begun:
                self.fields.trace_id = named.trace_id

    def name_plainly(self, session_id: str | None, agent_id: str | None) -> None:
        """Do what `name` does, for who has texts and asks often."""
        for text in (session_id, agent_id):
            if text is not None and not 0 < len(text) <= MAX_ID_CHARACTERS:
                self.name(session_id=session_id, agent_id=agent_id)
                return
        with self.lock:
            self._fill_in(session_id, agent_id)

    def _fill_in(self, session_id: str | None, agent_id: str | None) -> None:
        fields = self.fields
        if fields.agent_id is None:
            fields.agent_id = agent_id
        if session_id is not None:
            if fields.session_id is None:
                fields.session_id = session_id
            elif fields.session_id != session_id:
                self._metadata[FRAMEWORK_SESSION] = session_id

    @harmless
    def note(self, /, **metadata: Any) -> None:
        """Add to the metadata of the start, or of the end where the start is logged."""
        with self.lock:
            self._metadata.update(metadata)

    def begin(self) -> None:
        """Log `run_started`, once however often it is called. Every other event does so first.

        A run whose session nobody has named by then is kept under its trace or run id, with `session_missing` in
        the metadata.
        """
        if self.has_begun:
            return
        try:  # as `harmless`, for a call less
            with self.lock:  # others wait: nothing of a run is logged before its start
                if self._is_beginning or self.has_begun:
                    return
                self._is_beginning = True
                self._name_all()
                self._log_start()
                held, self._held = self._held, ()
                for draft, is_admitted in held:
                    self.recorder.log(draft, is_admitted=is_admitted)
        except Exception as error:
            if self.is_strict:
                raise
            self.recorder.note_loss("begin", error)

    def _name_all(self) -> None:
        before_start, self._before_start = self._before_start, None
        if before_start is not None:
            try:
                before_start(self)
            except Exception as error:  # noqa: BLE001 - whoever names it may raise anything; the start is logged
                self.recorder.note_loss("naming a run", error)
        fields = self.fields
        if fields.agent_id is None:
            fields.agent_id = self._agent_around
        if fields.session_id is None:
            fields.session_id = fields.trace_id or self.id
            self._metadata["session_missing"] = True
            self.recorder.note_session_missing()

    def _log_start(self) -> None:
        metadata = {"captured_by": self.source, **self._metadata}
        data = {"agent_id": self.fields.agent_id, "run_status": "running"}
        try:
            self._log(EventType.RUN_STARTED, data, self._started_at, metadata, True)
            self._metadata = {}
        except Exception:  # in strict mode
            self.has_begun, self._is_beginning, self._held = True, False, ()
            raise
        except BaseException:  # Ctrl-C in the middle: whatever is recorded next logs the start
            self._is_beginning = False
            raise
        self.has_begun, self._is_beginning = True, False

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
        if not self.has_begun:
            self.begin()
        self._log(type, data, at, metadata)

    def log_admitted(
        self, type: EventType | str, data: Mapping[str, Any], *, at: dt.datetime | None = None
    ) -> None:
        """Log the other half of what was begun where auditing was on, also where it is switched off."""
        if not self.has_begun:
            self.begin()
        self._log(type, data, at, None, True)

    def admits(self) -> bool:
        """Tell whether its events are written in the current context."""
        if not self.has_begun:
            self.begin()
        return self.is_recorded and self.recorder.admit(self.fields) is not None

    def _log(
        self,
        type: EventType | str,
        data: Mapping[str, Any],
        at: dt.datetime | None,
        metadata: Mapping[str, Any] | None,
        is_admitted: bool = False,
        provider: str | None = None,
    ) -> None:
        if not self.is_recorded:
            return
        of = self.fields
        draft = EventDraft(
            of.actor, of.agent_id, of.correlation_id, data, None, metadata or None, at, of.parent_run_id,
            provider or of.provider, of.run_id, None, of.session_id, None, of.span_id, of.tenant_id, of.trace_id, type,
        )  # fmt: skip
        if self._is_beginning and type is not EventType.RUN_STARTED:
            self._held += (
                (draft, is_admitted),
            )  # by a signal handler, while the start is being logged
        else:
            self.recorder.log(draft, strict=self.is_strict, is_admitted=is_admitted)

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

    def pause(self, *, at: dt.datetime | None = None) -> None:
        """Log `run_completed` with the stop reason ``paused``: it waits for a decision, and goes on as another run."""
        self.end_as(EventType.RUN_COMPLETED, stop_reason=STOP_REASON_PAUSED, at=at)

    def abandon(self, reason: str, *, at: dt.datetime | None = None) -> None:
        """Log `run_abandoned`: nobody has said how it ended."""
        self.end_as(EventType.RUN_ABANDONED, reason, at=at)

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
        try:  # as `harmless`, for a call less
            with self.lock:
                if self._is_over:
                    return
                self._is_over = True
                if calls := self._model_calls:
                    at = at or dt.datetime.fromtimestamp(self.recorder.now_ns() / 1e9, dt.UTC)
                if not calls or not calls.hold(
                    partial(self._end_late, type, error, stop_reason, at)
                ):
                    self._end_now(type, error, stop_reason, at)
                    return
            calls.limit()
        except Exception as unlogged:
            if self.is_strict:
                raise
            self.recorder.note_loss("end_as", unlogged)

    @harmless
    def _end_late(
        self, type: EventType, error: object, stop_reason: str | None, at: dt.datetime | None
    ) -> None:
        self._end_now(type, error, stop_reason, at)

    def _end_now(
        self, type: EventType, error: object, stop_reason: str | None, at: dt.datetime | None
    ) -> None:
        try:
            with self.lock:
                if not self.has_begun:
                    self.begin()
                data = end_data(self, self._totals, type, error, stop_reason)
                if type is not EventType.RUN_ABANDONED:
                    data["duration_ms"] = elapsed_ms(
                        self.recorder, self._started_at, self._started_ns, at
                    )
                self._log(type, data, at, self._metadata, True)
        except Exception:
            self.recorder.forget_run(self)
            raise
        except BaseException:  # Ctrl-C in the middle: whoever ends it next does
            self._is_over = False
            raise
        self.recorder.forget_run(self)

    def leave_to_parent(self) -> None:
        """Have its start and end logged by the parent alone, in a forked child."""
        self.lock = new_lock()  # another thread of the parent's may hold the one that was inherited
        self.has_begun = self._is_over = True
        self._model_calls = None
        if self.session_id is None:
            self.fields.session_id = self.fields.trace_id or self.id
