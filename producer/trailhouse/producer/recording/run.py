"""One run of an agent: one `run_started`, one end, and what happens between them and after."""

from __future__ import annotations

import datetime as dt
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from trailhouse.producer.object_fields import code_and_message, completed_data, given
from trailhouse.producer.recording.endings import ending_of
from trailhouse.producer.recording.model_call import ModelCall, ModelCalls
from trailhouse.producer.recording.tool_call import ToolCall
from trailhouse.producer.recording.usage import Totals, Usage
from trailhouse.schemas.event_type import EventType
from trailhouse.schemas.uuid7 import uuid7

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from trailhouse.producer.context import Binding
    from trailhouse.producer.recording.registry import Registry

STOP_REASON_PAUSED = "paused"


class Run:
    """A run that is recorded; made by `Recorder.open_run`. Safe for threads.

    Each method returns at once and, unless its recorder is strict, raises nothing: what could not be logged is in
    `AuditLogger.stats`. The first end counts, and later ones are ignored; events that come after it are kept all the
    same, in this run and session. Nothing of the context of a call is added to its events, but what was bound where
    the run was opened.

    Attributes:
        recorder: What it was opened by.
        parent: The run that it is a child of, where that is recorded here.
        source: Who reports it: an adapter's name, such as ``langchain``, or ``python``.
        model_calls_open: How many model calls its adapter waits for, and will tell of: what else sees a model call in
            this run meanwhile sees the same.
        model_calls: The calls of `model_call` that are open.
        result: What the run's block hands over as its result: a mapping or an object that has `token_usage`,
            `cost_usd`, `stop_reason`. What it does not say comes from the usage that was recorded.
    """

    def __init__(
        self,
        recorder: Registry,
        fields: Mapping[str, Any],
        *,
        source: str,
        parent: Run | None,
        agent_around: str | None,
        started_at: dt.datetime | None,
        metadata: Mapping[str, Any],
        is_recorded: bool,
        before_start: Callable[[Run], None] | None = None,
    ) -> None:
        self.recorder = recorder
        self.parent = parent
        self.source = source
        self.model_calls_open = 0
        self.result: object = None
        self.is_recorded = is_recorded
        self._fields = dict(fields)
        self._metadata = dict(metadata)
        self._agent_around = agent_around
        self._started_at = started_at
        self._started_ns = recorder.now_ns(started_at)
        self._totals = Totals()
        self._lock = threading.RLock()  # a signal handler may log within a call
        self._has_begun = False
        self._is_over = False
        self.model_calls = ModelCalls()
        self._before_start = before_start

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
        """Return a block in which this is the run that events, and runs opened within, belong to."""
        return self.recorder.bind(self)

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
        with self._lock:
            if agent_id is not None and self.agent_id is None:
                self._fields["agent_id"] = agent_id
            if trace_id is not None and not self._has_begun:
                self._fields.setdefault("trace_id", trace_id)
            if session_id is None or session_id == self.session_id:
                return
            if self.session_id is None:
                self._fields["session_id"] = session_id
            else:
                self._metadata["framework_session_id"] = session_id

    def note(self, **metadata: Any) -> None:
        """Add to the metadata of the start, or of the end where the start is logged."""
        with self._lock:
            self._metadata.update(metadata)

    def begin(self) -> None:
        """Log `run_started`, once however often it is called. Every other event does so first.

        A run whose session nobody has named by then is kept under its trace or run id, with `session_missing` in
        the metadata.
        """
        with self._lock:
            if self._has_begun:
                return
            self._has_begun = True
            before_start, self._before_start = self._before_start, None
            if before_start is not None:
                with self.recorder.guard("naming a run"):
                    before_start(self)
            self.name(agent_id=self._agent_around)
            if self.session_id is None:
                self._fields["session_id"] = self._fields.get("trace_id") or self.id
                self._metadata["session_missing"] = True
                self.recorder.note_session_missing(self)
            metadata, self._metadata = {"captured_by": self.source, **self._metadata}, {}
            data = {"agent_id": self.agent_id, "run_status": "running"}
            self._log(EventType.RUN_STARTED, data, self._started_at, metadata)

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
        self.begin()
        self._log(type, data, at, metadata)

    def _log(
        self,
        type: EventType | str,
        data: Mapping[str, Any],
        at: dt.datetime | None,
        metadata: Mapping[str, Any] | None,
    ) -> None:
        if self.is_recorded:
            event = {"type": type, "data": dict(data), "occurred_at": at}
            self.recorder.log(self._fields | event | ({"metadata": metadata} if metadata else {}))

    def tool_call(
        self, name: str, arguments: object = None, *, call_id: str | None = None
    ) -> ToolCall:
        """Return a call of a tool: a ``with`` block, or `ToolCall.start` and one of its ends, log it.

        Args:
            name: The tool.
            arguments: What it is called with.
            call_id: The id that the model gave it; a new one if not given.
        """
        return ToolCall(self, name, arguments, call_id or uuid7())

    def model_call(self) -> ModelCall:
        """Return a call of a model that begins, and whose end is told from elsewhere, perhaps after the run's.

        The run's end waits for it, so that its totals hold it; after two seconds it has failed: ``no_end``.
        """
        return ModelCall(self)

    def use(
        self,
        usage: Usage,
        *,
        call_id: str | None = None,
        source: str | None = None,
        at: dt.datetime | None = None,
    ) -> None:
        """Log `token_usage_updated` for one model call, and add it to the totals.

        Args:
            usage: What it used.
            call_id: The provider's id of the response. A call that another adapter has recorded under this id, or
                this one before, is not recorded again.
            source: Who reports it, where that one tells each call once by itself: its own ids are then not held
                against it, since some providers give all their responses the same.
            at: When the call ended; now if not given.
        """
        if call_id is not None and not self.recorder.claims("model_call", call_id, source):
            return
        with self._lock:
            self._totals.add(usage)
        named = {} if call_id is None else {"model_call_id": call_id}
        provider = usage.provider or self.provider
        self.begin()
        if self.is_recorded:
            event = {"type": EventType.TOKEN_USAGE_UPDATED, "data": usage.data() | named}
            self.recorder.log(self._fields | event | {"provider": provider, "occurred_at": at})

    def model_call_failed(
        self,
        error: object,
        usage: Usage | None = None,
        *,
        call_id: str | None = None,
        at: dt.datetime | None = None,
    ) -> None:
        """Log `model_call_failed`: the call's error, and what it used where that is known."""
        used = (
            {} if usage is None else {k: v for k, v in usage.data().items() if k != "usage_missing"}
        )
        named = {} if call_id is None else {"model_call_id": call_id}
        self.log(EventType.MODEL_CALL_FAILED, used | named | self._error(error), at=at)
        if usage is not None and not usage.is_missing:
            with self._lock:
                self._totals.add(usage)

    def message(
        self,
        content: object,
        *,
        role: str,
        message_id: str | None = None,
        at: dt.datetime | None = None,
    ) -> None:
        """Log `message_sent` for what the agent says (*role* ``assistant``), else `message_received`."""
        is_sent = role == "assistant"
        data = {"direction": "outbound" if is_sent else "inbound", "role": role, "content": content}
        named = {} if message_id is None else {"message_id": message_id}
        named_type = EventType.MESSAGE_SENT if is_sent else EventType.MESSAGE_RECEIVED
        self.log(named_type, data | named, at=at)

    def error_occurred(self, error: object, *, at: dt.datetime | None = None) -> None:
        """Log `error_occurred`: an error that does not end the run."""
        self.log(EventType.ERROR_OCCURRED, {"agent_id": self.agent_id} | self._error(error), at=at)

    def ask_approval(
        self,
        tool_name: str,
        arguments: object = None,
        *,
        call_id: str | None = None,
        approval_id: str | None = None,
        policy_name: str | None = None,
        at: dt.datetime | None = None,
    ) -> None:
        """Log `tool_approval_requested`. The tool has not run: nothing else is to be said of the call yet."""
        data = {
            "tool_name": tool_name,
            "tool_call_id": call_id,
            "approval_id": approval_id or call_id,
            "arguments": arguments,
            "policy_name": policy_name,
        }
        self.log(EventType.TOOL_APPROVAL_REQUESTED, given(data), at=at)

    def decide_approval(
        self,
        *,
        is_granted: bool,
        tool_name: str | None = None,
        call_id: str | None = None,
        approval_id: str | None = None,
        approver: Mapping[str, str] | None = None,
        reason: str | None = None,
        at: dt.datetime | None = None,
    ) -> None:
        """Log `tool_approval_granted` or `tool_approval_denied`."""
        decision = EventType.TOOL_APPROVAL_GRANTED if is_granted else EventType.TOOL_APPROVAL_DENIED
        data = {
            "tool_name": tool_name,
            "tool_call_id": call_id,
            "approval_id": approval_id or call_id,
            "decision": "granted" if is_granted else "denied",
            "approver": approver,
            "reason": reason,
        }
        self.log(decision, given(data), at=at)

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
        with self._lock:
            if self._is_over:
                return
            self._is_over = True
        if self.model_calls:
            at = at or dt.datetime.fromtimestamp(self.recorder.now_ns() / 1e9, dt.UTC)
        end = partial(self._log_end, type, error, stop_reason, at)
        if not self.model_calls.hold(end):
            end()

    def _log_end(
        self, type: EventType, error: object, stop_reason: str | None, at: dt.datetime | None
    ) -> None:
        self.begin()
        elapsed_ms = max(0.0, round((self.recorder.now_ns(at) - self._started_ns) / 1_000_000, 3))
        if type is EventType.RUN_COMPLETED:
            data = self._completed(stop_reason) | {"duration_ms": elapsed_ms}
        elif type is EventType.RUN_ABANDONED:
            data = {"agent_id": self.agent_id, "reason": error}
        else:
            data = {"agent_id": self.agent_id, **self._error(error), "duration_ms": elapsed_ms}
        self._log(type, data, at, self._metadata)
        self.recorder.forget_run(self)

    def _completed(self, stop_reason: str | None) -> dict[str, Any]:
        data = completed_data(self, None, self.result)
        data["token_usage"] = data["token_usage"] or self._totals.token_usage
        cost = data.get("cost_usd", self._totals.cost_usd)
        stop = stop_reason or data.get("stop_reason", "end_turn")
        return data | given({"cost_usd": cost, "stop_reason": stop})

    @staticmethod
    def _error(error: object) -> dict[str, Any]:
        code, message = code_and_message(error)
        return given({"error_code": code, "error_message": message})
