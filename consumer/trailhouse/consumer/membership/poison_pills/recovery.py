"""Gets failing partitions past what cannot be read, while the others are read on.

A batch that cannot be opened is looked at and passed over. What a worker that died may have died of is
read by a child process first.
"""

from collections.abc import Callable

from trailhouse.consumer.batch.batch import Batch
from trailhouse.consumer.membership.poison_pills.inspection import Examination, Passage
from trailhouse.consumer.membership.poison_pills.subprocess_reader import IsolatedReading
from trailhouse.consumer.membership.source import KafkaSource
from trailhouse.consumer.monitoring.background_query import BackgroundQuery, ask_until_answered
from trailhouse.consumer.monitoring.health import Health
from trailhouse.consumer.monitoring.heartbeat import Progress
from trailhouse.schemas.ranges import Range

FAILURES_BEFORE_EXAMINATION = 3
"""What comes only once may be the network's fault."""


class Detour:
    """Used by the one thread that reads *source*; nothing here blocks."""

    def __init__(
        self,
        source: KafkaSource,
        examination: Examination,
        isolate: Callable[[dict[int, Range]], IsolatedReading],
        health: Health,
        progress: Progress,
    ) -> None:
        self._source = source
        self._examination = examination
        self._health = health
        self._progress = progress
        self._isolate = isolate
        self._open: dict[int, BackgroundQuery[Passage]] = {}
        self._isolated: IsolatedReading | None = None
        self._ends: dict[int, int] = {}

    def step(self, batch: Batch, next_offset: Callable[[int], int]) -> None:
        """Go on: what is passed over goes into *batch*, after all that was read before it.

        Args:
            batch: The one that is being filled.
            next_offset: Returns the offset after the last one that was read of a partition.

        Raises:
            BrokerUnavailableError: Kafka failed. Retriable with a new source.
        """
        suspects = {n: each.suspect for n, each in self._source.failing.items() if each.suspect}
        if suspects and self._isolated is None:
            self._ends = {number: part.last + 1 for number, part in suspects.items()}
            self._isolated = self._isolate(suspects)
        if self._isolated is not None:
            self._take(self._isolated, batch)
        for number, failure in list(self._source.failing.items()):
            if failure.suspect is not None:
                continue
            if number in self._open:
                self._finish(number, batch)
            elif failure.times >= FAILURES_BEFORE_EXAMINATION:
                self._open[number] = self._ask(number, next_offset(number), failure.name)

    def leave(self) -> None:
        """Forget every open question: the partitions are no longer ours, or are read anew."""
        for question in self._open.values():
            question.stop()
        self._open.clear()
        if self._isolated is not None:
            self._isolated.drop()
            self._isolated = None

    def _take(self, isolated: IsolatedReading, batch: Batch) -> None:
        while not batch.is_full and (chunk := isolated.take()) is not None:
            batch.add(chunk.records)
            if chunk.stand_in is not None:
                batch.add_stand_in(chunk.stand_in)
                self._ends[chunk.stand_in.number] = max(
                    self._ends[chunk.stand_in.number], chunk.stand_in.last_offset + 1
                )
            for number in chunk.through:
                if number in self._ends:
                    self._source.go_on(number, self._ends.pop(number))
        if not self._ends:
            isolated.drop()
            self._isolated = None

    def _ask(self, number: int, offset: int, why: str) -> BackgroundQuery[Passage]:
        examination = self._examination
        return ask_until_answered(
            lambda: examination.passage(number, offset, why), self._health, self._progress
        )

    def _finish(self, number: int, batch: Batch) -> None:
        question = self._open[number]
        if not question.is_answered:
            return
        del self._open[number]
        stand_in, next_offset = question.answer()
        if stand_in is not None:
            batch.add_stand_in(stand_in)
        self._source.go_on(number, next_offset)
        self._health.note_ready("kafka")
