"""One call of a tool: its start, and exactly one end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from trailhouse.producer.object_fields import code_and_message
from trailhouse.producer.recording.elapsed import elapsed_ms, start_ns
from trailhouse.producer.recording.guard import harmless
from trailhouse.producer.recording.locks import new_lock
from trailhouse.schemas.event_type import EventType

if TYPE_CHECKING:
    import datetime as dt
    from types import TracebackType

    from trailhouse.producer.recording.registry import OwningRun, Registry


NO_END = "no_end"
"""The `error_code` of a tool call whose end nobody reported."""


class ToolCall:
    """A tool's call within a run; made by `Run.tool_call`. A ``with`` or ``async with`` block starts and ends it.

    Its end may come after its run's: tools are told to stop, and take their time. It keeps run and session. The first
    end counts. What goes wrong is treated as in its run.

    Attributes:
        result: What the tool answered; a block's end logs it.
    """

    result: object = None
    _started_at: dt.datetime | None = None
    _started_ns = 0
    _is_started = False
    _is_over = False
    _is_admitted = False

    def __init__(self, run: OwningRun, name: str, arguments: object, call_id: str) -> None:
        self.run = run
        self.name = name
        self.id = call_id
        self._arguments = arguments
        # Held until its start, or its end, is logged: who closes the recorder meanwhile waits for that.
        self._lock = new_lock()

    @property
    def recorder(self) -> Registry:
        return self.run.recorder

    @property
    def is_strict(self) -> bool:
        """Whether what cannot be recorded of it is raised."""
        return self.run.is_strict

    @property
    def is_open(self) -> bool:
        """Whether it has begun and not ended."""
        return self._is_started and not self._is_over

    def start(self, *, at: dt.datetime | None = None) -> Self:
        """Log `tool_call_started`, once however often it is called."""
        if not (self._is_started or self._is_over):
            run = self.run
            try:  # as `harmless`, for a call less
                with self._lock:  # others wait: no end is logged before the start
                    if not self._is_started:
                        self._started_at = at
                        self._started_ns = start_ns(run.recorder, at)
                        self._is_admitted = run.admits()
                        if self._is_admitted:
                            self._log_start(at)
                        self._is_started = True
            except Exception as error:
                if run.is_strict:
                    raise
                run.recorder.note_loss("_start", error)
        return self

    def _log_start(self, at: dt.datetime | None) -> None:
        data: dict[str, Any] = {"tool_name": self.name, "tool_call_id": self.id}
        if self._arguments is not None:
            data["arguments"] = self._arguments
        recorder = self.run.recorder
        try:
            recorder.note_open_call(self)
            self.run.log_admitted(EventType.TOOL_CALL_STARTED, data, at=at)
        except BaseException as error:  # it has no start, and in strict mode gets no end either
            recorder.forget_call(self)
            self._is_started = self._is_over = isinstance(error, Exception)
            raise

    def complete(self, result: object = None, *, at: dt.datetime | None = None) -> None:
        """Log `tool_call_completed`; nothing when it has ended."""
        try:  # as `harmless`, for a call less
            data = {} if result is None else {"result": result}
            self._end(EventType.TOOL_CALL_COMPLETED, data, at)
        except Exception as error:
            if self.run.is_strict:
                raise
            self.run.recorder.note_loss("complete", error)

    @harmless
    def fail(
        self, error: object = None, *, code: str | None = None, at: dt.datetime | None = None
    ) -> None:
        """Log `tool_call_failed` with the error's code and message; nothing when it has ended.

        Args:
            error: An exception, its text, or anything that has a `code` and a `message`.
            code: Before the error's own.
            at: When; now if not given.
        """
        found, message = code_and_message(error)
        described = {"error_code": code or found, "error_message": message}
        given = {name: value for name, value in described.items() if value is not None}
        self._end(EventType.TOOL_CALL_FAILED, given, at)

    def _end(self, type: EventType, data: dict[str, Any], at: dt.datetime | None) -> None:
        if not self._is_started:
            self.start(at=at)
        with self._lock:
            if not self._is_over:
                self._is_over = True
                self._log_end(type, data, at)

    def _log_end(self, type: EventType, data: dict[str, Any], at: dt.datetime | None) -> None:
        run, recorder = self.run, self.run.recorder
        try:
            if self._is_admitted:
                named = {"tool_name": self.name, "tool_call_id": self.id, **data}
                named["duration_ms"] = elapsed_ms(recorder, self._started_at, self._started_ns, at)
                run.log_admitted(type, named, at=at)
        except Exception:
            recorder.forget_call(self)
            raise
        except BaseException:  # Ctrl-C in the middle: whoever ends it next does
            self._is_over = False
            raise
        recorder.forget_call(self)

    def leave_to_parent(self) -> None:
        """Have its end logged by the parent alone, in a forked child."""
        self._lock = (
            new_lock()
        )  # another thread of the parent's may hold the one that was inherited
        self._is_started = self._is_over = True

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
            return
        try:
            self.fail(error)
        except Exception as unlogged:  # noqa: BLE001 - in strict mode: the block's own error goes on
            error.add_note(f"trailhouse: {unlogged}")

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, trace)
