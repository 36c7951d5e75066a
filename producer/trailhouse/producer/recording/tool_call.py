"""One call of a tool: its start, and exactly one end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from trailhouse.producer.object_fields import code_and_message
from trailhouse.schemas.event_type import EventType

if TYPE_CHECKING:
    import datetime as dt
    from types import TracebackType

    from trailhouse.producer.recording.registry import OwningRun

NO_END = "no_end"
"""The `error_code` of a tool call whose end nobody reported."""


class ToolCall:
    """A tool's call within a run; made by `Run.tool_call`. A ``with`` or ``async with`` block starts and ends it.

    Its end may come after its run's: tools are told to stop, and take their time. It keeps run and session.

    Attributes:
        result: What the tool answered; a block's end logs it.
    """

    def __init__(self, run: OwningRun, name: str, arguments: object, call_id: str) -> None:
        self.run = run
        self.name = name
        self.id = call_id
        self.result: object = None
        self._arguments = arguments
        self._started_ns = 0
        self._is_started = False
        self._is_over = False

    @property
    def is_open(self) -> bool:
        """Whether it has begun and not ended."""
        return self._is_started and not self._is_over

    def start(self, *, at: dt.datetime | None = None) -> Self:
        """Log `tool_call_started`, once however often it is called."""
        if not self._is_started:
            self._is_started = True
            self._started_ns = self.run.recorder.now_ns(at)
            arguments = {} if self._arguments is None else {"arguments": self._arguments}
            self.run.log(EventType.TOOL_CALL_STARTED, self._named() | arguments, at=at)
            self.run.recorder.note_open_call(self)
        return self

    def complete(self, result: object = None, *, at: dt.datetime | None = None) -> None:
        """Log `tool_call_completed`; nothing when it has ended."""
        answered = {} if result is None else {"result": result}
        self._end(EventType.TOOL_CALL_COMPLETED, answered, at)

    def fail(
        self, error: object = None, *, code: str | None = None, at: dt.datetime | None = None
    ) -> None:
        """Log `tool_call_failed` with the error's code and message; nothing when it has ended.

        Args:
            error: An exception, its text, or anything that has a `code` and a `message`.
            code: Before the error's own.
        """
        found, message = code_and_message(error)
        described = {"error_code": code or found, "error_message": message}
        given = {name: value for name, value in described.items() if value is not None}
        self._end(EventType.TOOL_CALL_FAILED, given, at)

    def _end(self, type: EventType, data: dict[str, Any], at: dt.datetime | None) -> None:
        if self._is_over:
            return
        self.start(at=at)
        self._is_over = True
        recorder = self.run.recorder
        duration_ms = round((recorder.now_ns(at) - self._started_ns) / 1_000_000, 3)
        self.run.log(type, self._named() | data | {"duration_ms": duration_ms}, at=at)
        recorder.forget_call(self)

    def _named(self) -> dict[str, Any]:
        return {"tool_name": self.name, "tool_call_id": self.id}

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.complete(self.result)
        else:
            self.fail(error)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, trace)
