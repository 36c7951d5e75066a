"""How a span ended: what its status, its exception and what is in flight say."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from trailhouse.capture.otel.reading import attributes_of
from trailhouse.capture.otel.shapes import ERROR_TYPE
from trailhouse.schemas.event_type import EventType

if TYPE_CHECKING:
    from collections.abc import Mapping

_CANCELLATIONS: Final = frozenset(
    ("CancelledError", "Cancelled", "KeyboardInterrupt", "SystemExit")
)
_TIMEOUTS: Final = frozenset(
    ("TimeoutError", "timeout", "DeadlineExceeded", "WorkflowTimeoutError")
)
SAYING_WELL_OF_ALL: Final = frozenset(("openinference.instrumentation.smolagents",))
"""Scopes that say of each streamed run that it went well, over what they have said of its failure."""
_GENERATOR_EXIT: Final = "GeneratorExit"
ERROR_STATUS: Final = "ERROR"


class Ending(NamedTuple):
    """How a span ended.

    Attributes:
        type: As the type of the event that ends a run.
        error: With a `code` and a `message`; None if it ended well.
        is_open: It ended as its generator was closed: a stream that was broken off, if the root ends so too, and
            if the root ends well nothing but the way in which a healthy one is left.
        is_well: It did not fail, and nothing stopped it.
    """

    type: EventType
    error: Mapping[str, Any] | None = None
    is_open: bool = False
    is_well: bool = False


WELL: Final = Ending(EventType.RUN_COMPLETED, is_well=True)


def in_flight() -> BaseException | None:
    """Return what is being raised past, or handled by, whoever calls us."""
    return sys.exc_info()[1]


def ending_of(span: Any, at_start: BaseException | None) -> Ending:
    """Return how *span* ended.

    Cancellations leave no trace in a span: they are in flight as it ends. One that was so as it started is not its
    own: it was started by whoever handles that. An `Exception` in flight says nothing, since a healthy span may
    end within a handler.
    """
    error = sys.exc_info()[1]
    if error is None and not tells_of_error(span):
        return WELL
    if isinstance(error, Exception) or error is at_start:
        error = None
    described = _described(span)
    if described is None and error is None:
        return WELL
    code = (described or {}).get("code") or (None if error is None else type(error).__name__)
    name = str(code).rpartition(".")[2]
    told = described or {"code": name}
    if isinstance(error, GeneratorExit) or name == _GENERATOR_EXIT:
        return Ending(EventType.RUN_CANCELLED, told, is_open=True)
    if error is not None or name in _CANCELLATIONS:
        return Ending(EventType.RUN_CANCELLED, told)
    return Ending(EventType.RUN_TIMEOUT if name in _TIMEOUTS else EventType.RUN_FAILED, told)


def _described(span: Any) -> dict[str, Any] | None:
    """Return the code and the message of the error that *span* tells of; None if it tells of none."""
    if not tells_of_error(span):
        return None
    status, attributes = getattr(span, "status", None), attributes_of(span)
    error_type = attributes.get(ERROR_TYPE)
    code, message = _exception_of(span)
    description = getattr(status, "description", None) or attributes.get("error.message")
    if message is None and isinstance(description, str):
        head, separator, tail = description.partition(": ")
        # The SDK describes an exception as "ValueError: what it says".
        is_named = bool(separator) and head.isidentifier() and code in (None, head)
        message, code = (
            (tail, code or head) if is_named and head[:1].isupper() else (description, code)
        )
    if isinstance(error_type, str) and error_type not in ("", "_OTHER"):
        code = code or error_type
    return {"code": code, "message": message}


def tells_of_error(span: Any) -> bool:
    """Tell whether the status or the error type of *span* says that it failed."""
    code: Any = getattr(span.status, "status_code", None)
    if getattr(code, "_name_", "") == ERROR_STATUS or ERROR_TYPE in attributes_of(span):
        return True
    scope = getattr(span.instrumentation_scope, "name", None)
    return scope in SAYING_WELL_OF_ALL and _exception_of(span) != (None, None)


def _exception_of(span: Any) -> tuple[str | None, str | None]:
    for event in reversed(getattr(span, "events", ())):
        if event.name == "exception":
            said: Any = event.attributes or {}
            code, message = said.get("exception.type"), said.get("exception.message")
            name = code.rpartition(".")[2] if isinstance(code, str) else None
            return name or None, message if isinstance(message, str) else None
    return None, None
