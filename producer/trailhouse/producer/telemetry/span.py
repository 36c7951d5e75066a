"""A span: one run, reported at its start and at whatever end it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from types import TracebackType
from typing import Any, Self

import msgspec

from trailhouse.producer.clock import SYSTEM_CLOCK, Clock
from trailhouse.producer.object_fields import read


class Span:
    """Reports a run around a block. Made by `telemetry.span`.

    Attributes:
        result: What the block hands over as the run's result: a mapping, or an object with the
            same names. `duration_ms` is added when it is not there.
    """

    def __init__(
        self,
        run: object,
        session: object,
        on_start: Callable[[object, object], None],
        on_end: Callable[[object, object, object], None],
        on_error: Callable[..., None],
        binds: Callable[[], Iterable[Callable[[object, object], AbstractContextManager[object]]]],
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._clock = clock
        self.result: object = None
        self._run = run
        self._session = session
        self._on_start = on_start
        self._on_end = on_end
        self._on_error = on_error
        self._binds = binds
        self._bound = ExitStack()
        self._started_at = 0.0

    def set_result(self, result: object) -> None:
        """Take the run's result; the same as setting `result`."""
        self.result = result

    def __enter__(self) -> Self:
        self._started_at = self._clock.monotonic_seconds()
        with ExitStack() as bound:
            for bind in self._binds():
                # A run or session that cannot be bound is for the handlers to judge: a span never raises.
                with suppress(Exception):
                    bound.enter_context(bind(self._run, self._session))
            self._on_start(self._run, self._session)
            self._bound = bound.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        duration_ms = round((self._clock.monotonic_seconds() - self._started_at) * 1_000, 3)
        with self._bound:
            self._report_end(error, duration_ms)

    def _report_end(self, error: BaseException | None, duration_ms: float) -> None:
        if error is None:
            self._on_end(self._run, self._session, with_duration(self.result, duration_ms))
        else:
            self._on_error(
                self._run,
                self._session,
                error,
                is_cancelled=is_cancellation(error),
                duration_ms=duration_ms,
            )

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, trace)


def with_duration(result: object, duration_ms: float) -> Mapping[str, Any]:
    """Return *result* as a mapping that has `duration_ms`, its own if it has one."""
    try:
        fields = _fields_of(result)
    except Exception:  # noqa: BLE001 - a span never raises: what cannot be read is for the handlers
        fields = _known_fields_of(result)
    return {"duration_ms": duration_ms} | {
        name: value for name, value in fields.items() if value is not None
    }


def _fields_of(result: object) -> Mapping[str, Any]:
    if result is None:
        return {}
    if isinstance(result, Mapping):
        return dict(result)
    if isinstance(result, msgspec.Struct):
        return msgspec.structs.asdict(result)
    return _known_fields_of(result)


def _known_fields_of(result: object) -> Mapping[str, Any]:
    names = ("token_usage", "cost_usd", "stop_reason", "duration_ms")
    return {name: read(result, name) for name in names}


def is_cancellation(error: BaseException) -> bool:
    """Tell whether *error* stops a run from outside instead of being its failure."""
    # asyncio's and trio's cancellations, Ctrl-C, an exit and a closed generator are no `Exception`.
    return not isinstance(error, Exception)
