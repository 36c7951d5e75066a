"""The wait before another attempt, or another look: each is twice as long as the one before, up to a limit. Pure."""


class Backoff:
    """Waits from *first_seconds* to *longest_seconds*; whoever has one sleeps by itself. For one thread at a time."""

    __slots__ = ("_first_seconds", "_longest_seconds", "seconds")

    def __init__(self, first_seconds: float, longest_seconds: float) -> None:
        self._first_seconds = first_seconds
        self._longest_seconds = longest_seconds
        self.seconds = first_seconds
        """How long the next wait is."""

    @property
    def has_grown(self) -> bool:
        """Whether the next wait is longer than the first one."""
        return self.seconds > self._first_seconds

    def next_seconds(self) -> float:
        """Return how long to wait now; the next time it is twice as long."""
        seconds = self.seconds
        self.grow()
        return seconds

    def grow(self) -> None:
        """Wait twice as long the next time."""
        self.seconds = min(2 * self.seconds, self._longest_seconds)

    def reset(self) -> None:
        """Begin with the shortest wait again: the attempt succeeded, or what was looked at has changed."""
        self.seconds = self._first_seconds
