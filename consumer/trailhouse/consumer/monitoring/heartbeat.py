"""Signs of life of the ingest loop, given by whoever does the work and read by the watchdog.

No answer to a question is one: a worker that is answered and moves no record stands still.
"""

from collections.abc import Mapping


class Heartbeat:
    """Counters that only grow. Safe from any thread: that one may miss a step does not matter."""

    def __init__(self) -> None:
        self.turns = 0
        self.writes = 0
        self.waits = 0
        self.stalled_seconds: Mapping[int, float] = {}
        """How long each partition has stood still while records of it wait; see `PartitionStalls`."""

    def turned(self) -> None:
        """Note that the ingest thread came round, whatever it found."""
        self.turns += 1

    def wrote(self) -> None:
        """Note that a statement which stores a batch came to its end."""
        self.writes += 1

    def waited(self) -> None:
        """Note that Kafka or ClickHouse was found away: there is nothing to be done but to try again."""
        self.waits += 1
