"""Telemetry: what agent code reports, and the handlers that listen.

===================  ====================================================  =======================================
name                 measurements (numbers)                                metadata
===================  ====================================================  =======================================
``run.start``        `system_time_ns`                                      `run`, `session`
``run.stop``         `duration_ms`, token counts, `cost_usd`, when known   `run`, `session`, `result`
``run.exception``    `duration_ms` when known                              `run`, `session`, `error`, `is_cancelled`
``usage.report``     every metric that is a number                         `session`, `metrics`, `run_id`
``adapter.<type>``   none                                                  `run`, `session`, `event`
===================  ====================================================  =======================================

A handler is called on the caller's thread, in the order of attaching. One that raises harms neither
the caller nor the other handlers, stays attached, and is logged.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar, Token
from decimal import Decimal
from typing import Any

from trailhouse.producer.clock import SYSTEM_CLOCK
from trailhouse.producer.object_fields import TOKEN_NAMES, read
from trailhouse.producer.telemetry.span import Span

log = logging.getLogger(__name__)

Bind = Callable[[object, object], AbstractContextManager[object]]
"""Called with (run, session) when a span begins; what it returns is entered around the span's block."""
Handler = Callable[[str, Mapping[str, Any], Mapping[str, Any]], object]
"""Called with (name, measurements, metadata); what it returns is ignored."""

# Changed by one call and copied by one: no lock that an interrupted or forked thread could leave held.
_handlers: dict[str, tuple[frozenset[str], Handler, Bind | None]] = {}
_override: ContextVar[bool | None] = ContextVar("trailhouse_telemetry_enabled", default=None)


def is_enabled() -> bool:
    """Tell whether telemetry is reported in the current context; it is, unless switched off."""
    return _override.get() is not False


def set_enabled(enabled: bool) -> Token[bool | None]:
    """Switch telemetry on or off for the current context: this thread or this task.

    Returns:
        What `reset_enabled` takes to undo it.
    """
    return _override.set(enabled)


def reset_enabled(token: Token[bool | None]) -> None:
    """Undo the `set_enabled` that returned *token*, in the context in which it was called.

    Raises:
        ValueError: It was called in another context.
        RuntimeError: The token has been used.
    """
    _override.reset(token)


def attach(
    handler_id: str, names: str | Iterable[str], handler: Handler, *, bind: Bind | None = None
) -> None:
    """Have *handler* called for *names*; ``adapter.*`` stands for every adapter event.

    Idempotent: attaching the same id again replaces what was attached by it.

    Args:
        bind: What to enter around the block of each span that begins from now on; one that raises is left out.
    """
    wanted = frozenset([names] if isinstance(names, str) else names)
    _handlers[handler_id] = (wanted, handler, bind)


def detach(handler_id: str) -> None:
    """Stop calling the handler of this id; does nothing when there is none."""
    _handlers.pop(handler_id, None)


def emit_run_start(run: object, session: object) -> None:
    """Report that a run started."""
    _emit("run.start", {"system_time_ns": SYSTEM_CLOCK.unix_ns()}, {"run": run, "session": session})


def emit_run_end(run: object, session: object, result: object) -> None:
    """Report that a run ended well; *result* may hold `token_usage`, `cost_usd`, `stop_reason`, `duration_ms`."""
    usage = read(result, "token_usage")
    numbers = {name: read(usage, name) for name in TOKEN_NAMES} | {
        name: read(result, name) for name in ("cost_usd", "duration_ms")
    }
    _emit("run.stop", _numbers(numbers), {"run": run, "session": session, "result": result})


def emit_error(
    run: object,
    session: object,
    error: object,
    *,
    is_cancelled: bool = False,
    duration_ms: float | None = None,
) -> None:
    """Report that a run ended by *error*: a mapping with `code` and `message`, or an exception."""
    metadata = {"run": run, "session": session, "error": error, "is_cancelled": is_cancelled}
    _emit("run.exception", _numbers({"duration_ms": duration_ms}), metadata)


def emit_usage_metrics(
    session: object, metrics: Mapping[str, Any], run_id: str | None = None
) -> None:
    """Report usage: token counts, cost, whatever the application measures."""
    _emit(
        "usage.report",
        _numbers(metrics),
        {"session": session, "metrics": metrics, "run_id": run_id},
    )


def emit_adapter_event(run: object, session: object, event: object) -> None:
    """Report an adapter's own event: a mapping or object with `type`, and maybe `data` and `metadata`."""
    kind = read(event, "type")
    name = str.__str__(kind) if issubclass(type(kind), str) else type(kind).__name__
    _emit(f"adapter.{name}", {}, {"run": run, "session": session, "event": event})


def span(run: object, session: object) -> Span:
    """Report a run's start and end around a block; a context manager, sync and async.

    What is logged in the block, by a logger whose handlers are attached when it begins, belongs to the run:
    *run* and *session* are bound, as by `AuditLogger.bind`. What it yields takes the result:
    ``span.result = {...}``. An exception is reported and goes on; a cancellation is told from a failure.
    """
    return Span(run, session, emit_run_start, emit_run_end, emit_error, _binds)


def _binds() -> list[Bind]:
    return [bind for _, _, bind in list(_handlers.values()) if bind is not None]


def _emit(name: str, measurements: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
    if not is_enabled():
        return
    for handler_id, (names, handler, _) in list(_handlers.items()):
        if not _matches(name, names):
            continue
        try:
            handler(name, measurements, metadata)
        except Exception as error:  # noqa: BLE001 - a handler may raise anything
            # Only the class: a foreign message can hold what must not be logged.
            log.error(
                "telemetry handler %s raised %s at %s", handler_id, type(error).__name__, name
            )


def _matches(name: str, names: frozenset[str]) -> bool:
    return name in names or (name.startswith("adapter.") and "adapter.*" in names)


def _numbers(values: object) -> dict[str, Any]:
    try:
        if not isinstance(values, Mapping):
            return {}
        return {
            name: value
            for name, value in values.items()
            if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)
        }
    except Exception:  # noqa: BLE001 - a report never raises: what the handlers make of it is theirs
        return {}
