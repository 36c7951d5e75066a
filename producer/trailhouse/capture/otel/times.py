"""Times and ids of spans, as events have them."""

from __future__ import annotations

import datetime as dt
from typing import Any

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def moment(unix_ns: Any) -> dt.datetime | None:
    """Return a span's time; None if it has none, or one outside the years that there are."""
    if type(unix_ns) is not int:
        return None
    try:
        return _EPOCH + dt.timedelta(microseconds=unix_ns // 1_000)
    except OverflowError:
        return None


def trace_id_of(span: Any) -> str:
    """Return the trace's id in hexadecimal digits."""
    return f"{span.context.trace_id:032x}"


def span_id_of(span: Any) -> str:
    """Return the span's id in hexadecimal digits."""
    return f"{span.context.span_id:016x}"
