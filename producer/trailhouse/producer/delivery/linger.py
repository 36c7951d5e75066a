"""How long what has arrived may wait for more: so that batches are made by need, and a busy caller pays for few."""

from __future__ import annotations

from typing import NamedTuple

SHORTEST_SECONDS = 0.001
BATCH_SECONDS = 0.1
BATCH_BYTES = 24_576
"""What is worth a request of its own: it goes once the last batch is `BATCH_SECONDS` old."""
FULL_BYTES = 262_144
"""What goes at once: some milliseconds of a caller that logs as fast as it can."""
LEAST_EVENT_BYTES = 200
NEVER_BYTES = 1 << 62


class Pause(NamedTuple):
    """How long the sender may sleep, and how much must have arrived to end that: 0 is any event."""

    seconds: float
    wake_at_bytes: int

    @property
    def is_lingering(self) -> bool:
        """Whether it is for a batch to fill: then it has an end on the clock, whatever else is done meanwhile."""
        return 0 < self.wake_at_bytes < NEVER_BYTES


class Linger:
    """Spaces batches: the first event after a pause goes at once, those behind it share a batch.

    A batch begins *linger_seconds* after the last one, or earlier as more has arrived. With a bound of
    *queue_events* and *queue_bytes* it begins long before there is no room.
    """

    def __init__(self, linger_seconds: float, queue_events: int, queue_bytes: int) -> None:
        self.seconds = max(SHORTEST_SECONDS, linger_seconds)
        self._batch_seconds = min(self.seconds, BATCH_SECONDS)
        room_bytes = min(queue_bytes, queue_events * LEAST_EVENT_BYTES)
        self._full_bytes = min(FULL_BYTES, room_bytes // 4)
        self._batch_bytes = min(BATCH_BYTES, self._full_bytes)
        self._next_at_seconds = self._batch_at_seconds = float("-inf")
        self._is_stream = False

    def note_sent(self, now_seconds: float, size_bytes: int) -> None:
        """Count from now on: a batch of *size_bytes* has been handed over."""
        self._next_at_seconds = now_seconds + self.seconds
        self._batch_at_seconds = now_seconds + self._batch_seconds
        self._is_stream = size_bytes >= 2 * self._batch_bytes

    def pause(self, now_seconds: float, arrived_bytes: int) -> Pause:
        """Return how long *arrived_bytes*, the size of what waits, may go on waiting; 0 s: it goes now."""
        if arrived_bytes >= self._full_bytes:
            return Pause(0.0, NEVER_BYTES)
        is_early = now_seconds < self._batch_at_seconds
        # After twice a batch the next one will be worth it, too: to be woken when it is would be once too often.
        if arrived_bytes >= self._batch_bytes or (self._is_stream and is_early):
            return Pause(max(0.0, self._batch_at_seconds - now_seconds), self._full_bytes)
        return Pause(max(0.0, self._next_at_seconds - now_seconds), self._batch_bytes)
