"""Whether the broker's times of a log fit its order, and the anchors that cover it. Pure.

A leaf lay in Kafka before the anchor that covers it was made, and after the leaves before it. How long before the
anchor is not known: a worker may have been away. Clocks of two machines differ: by `SKEW_MS` they may.
"""

from bisect import bisect_right
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from trailhouse.store.tables import LATEST_MS

SKEW_MS = 60_000
"""So far the clocks of brokers, and of who makes anchors, may differ before it is told."""


class Misdated(StrEnum):
    """What is wrong with a leaf's time."""

    SENDER = "sender's time"
    """The topic was switched to its senders' times, by which nothing can be said."""
    NONE = "no time"
    """It is 1970 or before: no broker's clock says so."""
    AFTER_ANCHOR = "after its anchor"
    BACK = "goes back"


class Limit(NamedTuple):
    """An anchor: how many leaves of the log it covers, and when it was made."""

    size: int
    at_ms: int


class Bucket(NamedTuple):
    """Leaves that follow each other: their offsets, times, and the most by which one is before an earlier of them."""

    first_offset: int
    last_offset: int
    least_ms: int
    most_ms: int
    most_back_ms: int


class TimeCheck:
    """Is given the leaves of a log in order of their offsets.

    Args:
        limits: Its anchors, by size.
        now_ms: What limits leaves that no anchor covers yet.
    """

    def __init__(self, limits: Sequence[Limit], now_ms: int) -> None:
        self._sizes = [limit.size for limit in limits]
        self._times = [*(limit.at_ms for limit in limits), now_ms]
        self._newest_ms = 0

    def _limit_ms(self, offset: int) -> int:
        return self._times[bisect_right(self._sizes, offset)] + SKEW_MS

    def is_clean(self, bucket: Bucket) -> bool:
        """Tell whether nothing is wrong with the next leaves, *bucket*; if so they count as taken."""
        latest_ms = min(self._limit_ms(bucket.first_offset), self._limit_ms(bucket.last_offset))
        clean = (
            bucket.least_ms > 0
            and bucket.most_ms <= latest_ms
            and bucket.least_ms + SKEW_MS >= self._newest_ms
            and bucket.most_back_ms <= SKEW_MS
        )
        if clean:
            self._newest_ms = max(self._newest_ms, bucket.most_ms)
        return clean

    def take(self, offset: int, appended_ms: int) -> Misdated | None:
        """Take in the next leaf, and return what is wrong with its time."""
        if appended_ms == LATEST_MS:
            return Misdated.SENDER
        if appended_ms <= 0:
            return Misdated.NONE
        if appended_ms > self._limit_ms(offset):
            return Misdated.AFTER_ANCHOR
        if appended_ms + SKEW_MS < self._newest_ms:
            return Misdated.BACK
        self._newest_ms = max(self._newest_ms, appended_ms)
        return None
