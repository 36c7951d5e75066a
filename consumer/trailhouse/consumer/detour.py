"""Gets failing partitions past what cannot be read, one batch at a time, while the others are read on."""

from collections.abc import Callable

from trailhouse.consumer.batch import Batch
from trailhouse.consumer.examination import Examination, Passage
from trailhouse.consumer.health import Health
from trailhouse.consumer.kafka_source import KafkaSource
from trailhouse.consumer.progress import Progress
from trailhouse.consumer.question import Question

FAILURES_BEFORE_EXAMINATION = 3
"""What comes only once may be the network's fault."""


class Detour:
    """Used by the one thread that reads *source*; nothing here blocks."""

    def __init__(
        self, source: KafkaSource, examination: Examination, health: Health, progress: Progress
    ) -> None:
        self._source = source
        self._examination = examination
        self._health = health
        self._progress = progress
        self._open: dict[int, Question[Passage]] = {}

    def step(self, batch: Batch, next_offset: Callable[[int], int]) -> None:
        """Go on: what is passed over goes into *batch*, after all that was read before it.

        Args:
            batch: The one that is being filled.
            next_offset: Returns the offset after the last one that was read of a partition.

        Raises:
            DeliveryTimeoutError: Kafka failed. Retriable with a new source.
        """
        for number, failure in list(self._source.failing.items()):
            if number in self._open:
                self._finish(number, batch)
            elif failure.times >= FAILURES_BEFORE_EXAMINATION:
                self._open[number] = self._ask(number, next_offset(number), failure.name)

    def leave(self) -> None:
        """Forget every open question: the partitions are no longer ours, or are read anew."""
        for question in self._open.values():
            question.drop()
        self._open.clear()

    def _ask(self, number: int, offset: int, why: str) -> Question[Passage]:
        examination = self._examination
        return Question(
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
