"""What runs and tool calls ask of the recorder that opened them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

    from trailhouse.producer.context import Binding
    from trailhouse.producer.recording.guard import Guard


class Registry(Protocol):
    """Knows what is open, and the way to the log; a `Recorder`."""

    def log(self, fields: Mapping[str, Any]) -> None: ...

    def now_ns(self, at: dt.datetime | None = None) -> int: ...

    def claims(self, kind: str, key: str, source: str | None = None) -> bool: ...

    def bind(self, run: Any) -> Binding: ...

    def guard(self, what: str, *, strict: bool = False) -> Guard: ...

    def note_session_missing(self, run: Any) -> None: ...

    def note_open_call(self, call: Any) -> None: ...

    def forget_call(self, call: Any) -> None: ...

    def forget_run(self, run: Any) -> None: ...


class OwningRun(Protocol):
    """What a tool call asks of its run."""

    @property
    def recorder(self) -> Registry: ...

    def log(self, type: str, data: Mapping[str, Any], *, at: dt.datetime | None = None) -> None: ...
