"""What runs and tool calls ask of the recorder that opened them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Mapping
    from threading import RLock

    from trailhouse.producer.context import Binding
    from trailhouse.producer.recording.guard import Guard
    from trailhouse.schemas.draft import EventDraft


class Registry(Protocol):
    """Knows what is open, and the way to the log; a `Recorder`."""

    @property
    def log(self) -> Callable[..., None]: ...

    @property
    def admit(self) -> Callable[[EventDraft], EventDraft | None]: ...

    def guard(self, what: str, *, strict: bool = False) -> Guard: ...

    def note_loss(self, what: str, error: Exception) -> None: ...

    def now_ns(self, at: dt.datetime | None = None) -> int: ...

    def claims(self, kind: str, key: str, source: str | None = None) -> bool: ...

    def bind(self, run: Any) -> Binding: ...

    def note_session_missing(self) -> None: ...

    @property
    def note_open_call(self) -> Callable[..., None]: ...

    @property
    def forget_call(self) -> Callable[..., None]: ...

    def forget_run(self, run: Any) -> None: ...

    def settle(self) -> None: ...


class OwningRun(Protocol):
    """What a tool call asks of its run."""

    @property
    def recorder(self) -> Registry: ...

    @property
    def lock(self) -> RLock: ...

    @property
    def is_open(self) -> bool: ...

    @property
    def is_strict(self) -> bool: ...

    def admits(self) -> bool: ...

    def log(self, type: str, data: Mapping[str, Any], *, at: dt.datetime | None = None) -> None: ...

    def log_admitted(
        self, type: str, data: Mapping[str, Any], *, at: dt.datetime | None = None
    ) -> None: ...
