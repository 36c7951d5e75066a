"""How long each partition has stood still while records of it wait. Pure.

What counts is the offset up to which a partition is stored and committed, held against an end of its
log that was asked for by another client than the one that reads: a consumer that delivers nothing may
know no newer end either.
"""

from collections.abc import Collection, Mapping


class PartitionStalls:
    """Adds up, from call to call. A step counts for *longest_step_seconds* at most: in a longer one it
    was the process itself that was stopped."""

    def __init__(self, longest_step_seconds: float) -> None:
        self._longest_step_seconds = longest_step_seconds
        self._positions: dict[int, int] = {}
        self._seconds: dict[int, float] = {}
        self._asked_at_seconds: float | None = None

    def forget(self) -> None:
        """Start anew: other partitions are ours now."""
        self._positions.clear()
        self._seconds.clear()

    def seconds(
        self, now_seconds: float, waiting: Mapping[int, int], excused: Collection[int] = ()
    ) -> dict[int, float]:
        """Return for each partition in *waiting* how long its position is what it is.

        Args:
            now_seconds: The time of a clock that does not jump.
            waiting: The partitions of which records wait, with their positions.
            excused: Those of them that did what they could since the last call, or must wait.
        """
        before = now_seconds if self._asked_at_seconds is None else self._asked_at_seconds
        step_seconds = min(now_seconds - before, self._longest_step_seconds)
        self._asked_at_seconds = now_seconds
        self._seconds = {
            number: self._seconds[number] + step_seconds
            if number not in excused and self._positions.get(number) == position
            else 0.0
            for number, position in waiting.items()
        }
        self._positions = dict(waiting)
        return dict(self._seconds)
