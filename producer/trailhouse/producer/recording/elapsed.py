"""How long a run or a tool call took."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trailhouse.producer.recording.registry import Registry

_MILLISECOND = dt.timedelta(milliseconds=1)
_utc = dt.UTC


def start_ns(clock: Registry, at: dt.datetime | None) -> int:
    """Return *at* as Unix nanoseconds, now if it is None or no time; 0 for one that `elapsed_ms` takes as it is."""
    return 0 if type(at) is dt.datetime and at.tzinfo is _utc else clock.now_ns(at)


def elapsed_ms(
    clock: Registry, started_at: dt.datetime | None, started_ns: int, at: dt.datetime | None
) -> float:
    """Return the milliseconds until *at*, to three digits; 0 where that was before the start.

    Args:
        clock: Whose time it is.
        started_at: When it started, where that was told.
        started_ns: What `start_ns` says of that.
        at: When it ended; now if it is None, or no time.
    """
    if started_at is not None and not started_ns:
        if type(at) is dt.datetime and at.tzinfo is _utc:
            return max(0.0, (at - started_at) / _MILLISECOND)
        started_ns = clock.now_ns(started_at)
    return max(0.0, round((clock.now_ns(at) - started_ns) / 1_000_000, 3))
