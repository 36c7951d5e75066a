"""What happens within a run, beside its start and its end: tools, models, messages, approvals, errors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from trailhouse.producer.object_fields import code_and_message, given
from trailhouse.producer.recording.guard import harmless
from trailhouse.producer.recording.model_call import ModelCall, ModelCalls
from trailhouse.producer.recording.tool_call import ToolCall
from trailhouse.producer.recording.usage import Totals, Usage
from trailhouse.schemas.event_shapes import WARNINGS_KEY
from trailhouse.schemas.event_type import EventType
from trailhouse.schemas.uuid7 import uuid7

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping
    from threading import RLock

    from trailhouse.producer.recording.registry import Registry


class RunRecords(ABC):
    """The methods of a `Run` that record what happens within it."""

    recorder: Registry
    lock: RLock
    is_strict: bool
    has_begun: bool
    result: object
    _totals: Totals | None = None

    @property
    @abstractmethod
    def model_calls(self) -> ModelCalls:
        """The calls of `model_call` that are open."""

    @property
    def totals(self) -> Totals:
        """What its own model calls used so far, without its children's."""
        with self.lock:
            if self._totals is None:
                self._totals = Totals()
            return self._totals

    @property
    @abstractmethod
    def is_open(self) -> bool:
        """Whether it has not ended."""

    @property
    @abstractmethod
    def agent_id(self) -> str | None: ...

    @property
    @abstractmethod
    def provider(self) -> str | None: ...

    @abstractmethod
    def begin(self) -> None:
        """Log the start, once."""

    @abstractmethod
    def admits(self) -> bool:
        """Tell whether its events are written in the current context."""

    @abstractmethod
    def log(
        self,
        type: EventType | str,
        data: Mapping[str, Any],
        *,
        at: dt.datetime | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Log an event of this run, after its start."""

    @abstractmethod
    def log_admitted(
        self, type: EventType | str, data: Mapping[str, Any], *, at: dt.datetime | None = None
    ) -> None:
        """Log the other half of what was begun where auditing was on."""

    @abstractmethod
    def _log(
        self,
        type: EventType | str,
        data: Mapping[str, Any],
        at: dt.datetime | None,
        metadata: Mapping[str, Any] | None,
        is_admitted: bool = False,
        provider: str | None = None,
    ) -> None: ...

    def tool_call(
        self, name: str, arguments: object = None, *, call_id: str | None = None
    ) -> ToolCall:
        """Return a call of a tool: a ``with`` block, or `ToolCall.start` and one of its ends, log it.

        Args:
            name: The tool.
            arguments: What it is called with.
            call_id: The id that the model gave it; a new one if not given.
        """
        # By its type: an object may raise when it is asked for its class or its truth.
        is_empty = type(call_id) is str and not call_id
        return ToolCall(self, name, arguments, uuid7() if call_id is None or is_empty else call_id)

    def model_call(self) -> ModelCall:
        """Return a call of a model that begins, and whose end is told from elsewhere, perhaps after the run's.

        The run's end waits for it, so that its totals hold it; after ten seconds it has failed: ``no_end``.
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
        try:  # as `harmless`, for a call less
            if call_id is not None and not self.recorder.claims("model_call", call_id, source):
                return
            data = usage.data()
            with self.lock:
                (self._totals or self.totals).add(usage)
            if not self.has_begun:
                self.begin()
            if call_id is not None:
                data["model_call_id"] = call_id
            warned = {WARNINGS_KEY: list(usage.warnings)} if usage.warnings else None
            self._log(EventType.TOKEN_USAGE_UPDATED, data, at, warned, provider=usage.provider)
        except Exception as error:
            if self.is_strict:
                raise
            self.recorder.note_loss("use", error)

    @harmless
    def model_call_failed(
        self,
        error: object,
        usage: Usage | None = None,
        *,
        call_id: str | None = None,
        at: dt.datetime | None = None,
    ) -> None:
        """Log `model_call_failed`: the call's error, and what it used where that is known."""
        if call_id is not None and not self.recorder.claims("model_call", call_id):
            return
        used = (
            {} if usage is None else {k: v for k, v in usage.data().items() if k != "usage_missing"}
        )
        named = {} if call_id is None else {"model_call_id": call_id}
        self.log(EventType.MODEL_CALL_FAILED, used | named | described_error(error), at=at)
        if usage is not None and not usage.is_missing:
            with self.lock:
                self.totals.add(usage)

    @harmless
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

    @harmless
    def error_occurred(self, error: object, *, at: dt.datetime | None = None) -> None:
        """Log `error_occurred`: an error that does not end the run."""
        self.log(
            EventType.ERROR_OCCURRED, {"agent_id": self.agent_id} | described_error(error), at=at
        )

    @harmless
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

    @harmless
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


def described_error(error: object) -> dict[str, Any]:
    """Return *error* as the `data` of an event has it: what is known of `error_code` and `error_message`."""
    code, message = code_and_message(error)
    return given({"error_code": code, "error_message": message})
