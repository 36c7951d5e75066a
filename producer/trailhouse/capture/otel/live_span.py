"""What is read of each span as it starts and ends: past the SDK's properties, each of which is a call."""

from __future__ import annotations

from operator import attrgetter, itemgetter
from sys import exc_info
from typing import TYPE_CHECKING, Any

from trailhouse.capture.otel.ending import ERROR_STATUS, WELL, ending_of
from trailhouse.capture.otel.reading import attributes_of
from trailhouse.capture.otel.shapes import shape_of
from trailhouse.capture.otel.times import moment

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Mapping

    from trailhouse.capture.otel.ending import Ending
    from trailhouse.capture.otel.shapes import Shape

    Started = tuple[Any, Any, str, str, Mapping[str, Any]]
    """Its context, its parent's, its name, the name of its scope, its attributes."""
    Said = tuple[Mapping[str, Any], Shape, Ending, dt.datetime | None]
    """What a span that has ended says: its attributes, which names they have, how it ended, and when."""
    Ended = tuple[Any, Mapping[str, Any], str, int | None]
    """Its context, its attributes, the name of its status, the Unix nanoseconds of its end."""

_ended = attrgetter("_context", "_attributes._dict", "_status._status_code._name_", "_end_time")
_started = attrgetter(
    "_context", "_parent", "_name", "_instrumentation_scope._name", "_attributes._dict"
)


def started(span: Any) -> Started:
    """Return what *span* says as it starts."""
    try:
        known: Started = _started(span)
    except AttributeError:  # another SDK, or a span of no scope
        scope = span.instrumentation_scope
        scope_name = "" if scope is None else scope.name
        return span.context, span.parent, span.name, scope_name, attributes_of(span)
    return known


def ended(span: Any) -> Ended:
    """Return what *span*, which has ended, says."""
    try:
        known: Ended = _ended(span)
    except AttributeError:
        code = getattr(span.status, "status_code", None)
        return span.context, attributes_of(span), getattr(code, "_name_", ""), span.end_time
    return known


def said_by(
    span: Any,
    attributes: Mapping[str, Any],
    status: str,
    end_ns: Any,
    at_start: BaseException | None,
) -> Said:
    """Return what *span*, which has ended, says; for *at_start* see `ending_of`."""
    shape = shape_of(attributes)
    if status != ERROR_STATUS and exc_info()[1] is None and not shape.has_error:
        return attributes, shape, WELL, moment(end_ns)
    return attributes, shape, ending_of(span, at_start), moment(end_ns)


def hex_ids(ids: tuple[int, int]) -> tuple[str, str]:
    """Return the ids of a trace and a span in hexadecimal digits."""
    return f"{ids[0]:032x}", f"{ids[1]:016x}"


def reader_of_ids() -> Callable[[Any], tuple[int, int]]:
    """Return what reads the trace's and the span's id of a context: at once, where that is a tuple of them."""
    try:
        from opentelemetry.trace import SpanContext

        if SpanContext(1, 2, is_remote=False)[:2] == (1, 2):
            return itemgetter(0, 1)
    except (ImportError, TypeError):
        pass
    return attrgetter("trace_id", "span_id")
