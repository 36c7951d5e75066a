"""Signs of life of the ingest loop, given by whoever does the work and read by the watchdog."""


class Progress:
    """Two counters that only grow. Safe from any thread: that one may miss a step does not matter.

    A loop that turns and moves nothing is as stuck as one that stands still, so both are asked for.
    """

    def __init__(self) -> None:
        self.turns = 0
        self.moves = 0

    def turned(self) -> None:
        """Note that the ingest thread came round, whatever it found."""
        self.turns += 1

    def moved(self) -> None:
        """Note that something came to an end, well or not, or that there is nothing to do.

        Records read, a statement of ClickHouse ended or refused, a commit, no lag, Kafka found away.
        """
        self.moves += 1
