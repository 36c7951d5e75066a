"""How long until Kafka's retention deletes a record that nobody has stored. Pure."""

import math
from collections.abc import Mapping

SMOOTHING_SECONDS = 30.0


class Frontier:
    """The time of one partition's oldest record that is not stored, and how fast it moves."""

    __slots__ = ("_asked_at", "_at", "speed")

    def __init__(self) -> None:
        self._at: float | None = None
        self._asked_at: float | None = None
        self.speed = 0.0
        """Seconds of records stored a second, smoothed; 1 keeps up with a steady stream."""

    def age_after(self, at_seconds: float, now_seconds: float) -> float:
        """Take in that the oldest record is of *at_seconds*, and return its age."""
        if self._at is not None and self._asked_at is not None and now_seconds > self._asked_at:
            passed_seconds = now_seconds - self._asked_at
            moved_seconds = max(0.0, at_seconds - self._at)
            weight = 1 - math.exp(-passed_seconds / SMOOTHING_SECONDS)
            self.speed += weight * (moved_seconds / passed_seconds - self.speed)
        self._at, self._asked_at = at_seconds, now_seconds
        return max(0.0, now_seconds - at_seconds)


class TimeToLoss:
    """Answers for all partitions of a worker; times are Unix seconds by the broker's clock."""

    def __init__(self) -> None:
        self._frontiers: dict[int, Frontier] = {}

    def forget(self) -> None:
        """Start anew: other partitions are ours now."""
        self._frontiers.clear()

    def seconds(
        self,
        lag_records: Mapping[int, int],
        oldest_at_seconds: Mapping[int, float],
        retention_seconds: float | None,
        now_seconds: float,
    ) -> float:
        """Return the least of all partitions: infinite when nothing is in danger, NaN when unknown.

        With age a of the oldest record, retention R and speed v: (R - a) / (1 - v), at least 0.
        """
        least = math.inf
        is_unknown = False
        for number, lag in lag_records.items():
            frontier = self._frontiers.setdefault(number, Frontier())
            if not lag:
                frontier.age_after(now_seconds, now_seconds)
                continue
            oldest = oldest_at_seconds.get(number)
            if oldest is None or retention_seconds is None:
                is_unknown = True
                continue
            left_seconds = max(0.0, retention_seconds - frontier.age_after(oldest, now_seconds))
            if frontier.speed < 1:
                least = min(least, left_seconds / (1 - frontier.speed))
        return math.nan if is_unknown and least == math.inf else least
