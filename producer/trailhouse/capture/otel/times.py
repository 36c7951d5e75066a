"""Times and ids of spans, as events have them."""

from __future__ import annotations

import datetime as dt
from typing import Any

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_from_timestamp = dt.datetime.fromtimestamp
_LAST_EXACT_NS = 2**32 * 10**9


def moment(unix_ns: Any) -> dt.datetime | None:
    """Return a span's time; None if it has none, or one outside the years that there are."""
    if type(unix_ns) is not int:
        return None
    try:
        # Until 2106 the step of a float is less than half a microsecond, and so the time is exact.
        if 0 <= unix_ns < _LAST_EXACT_NS:
            return _from_timestamp(unix_ns // 1_000 / 1_000_000, dt.UTC)
        return _EPOCH + dt.timedelta(microseconds=unix_ns // 1_000)
    except OverflowError:
        return None
