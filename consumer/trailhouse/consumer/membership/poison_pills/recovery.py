"""Gets failing partitions past what cannot be read, while the others are read on.

A batch that cannot be opened is looked at and passed over. What a worker that died may have died of is
read by a child process first.
"""

from collections.abc import Callable

from trailhouse.consumer.batch.batch import Batch
from trailhouse.consumer.membership.poison_pills.inspection import Passage, PoisonPillInspection
from trailhouse.consumer.membership.poison_pills.subprocess_reader import SubprocessReader
from trailhouse.consumer.membership.source import KafkaSource
from trailhouse.consumer.monitoring.background_query import BackgroundQuery, ask_until_answered
from trailhouse.consumer.monitoring.health import Health
from trailhouse.consumer.monitoring.heartbeat import Heartbeat
from trailhouse.schemas.ranges import Range

FAILURES_BEFORE_INSPECTION = 3
"""What comes only once may be the network's fault."""


class PoisonPillRecovery:
    """Used by the one thread that reads *source*; nothing here blocks."""

    def __init__(
        self,
        source: KafkaSource,
        inspection: PoisonPillInspection,
        isolate: Callable[[dict[int, Range]], SubprocessReader],
        health: Health,
        heartbeat: Heartbeat,
    ) -> None:
        self._source = source
        self._inspection = inspection
        self._health = health
        self._heartbeat = heartbeat
        self._isolate = isolate
        self._open: dict[int, BackgroundQuery[Passage]] = {}
        self._subprocess_reader: SubprocessReader | None = None
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
        if suspects and self._subprocess_reader is None:
            self._ends = {number: part.last + 1 for number, part in suspects.items()}
            self._subprocess_reader = self._isolate(suspects)
        if self._subprocess_reader is not None:
            self._take(self._subprocess_reader, batch)
        for number, failure in list(self._source.failing.items()):
            if failure.suspect is not None:
                continue
            if number in self._open:
                self._finish(number, batch)
            elif failure.times >= FAILURES_BEFORE_INSPECTION:
                self._open[number] = self._ask(number, next_offset(number), failure.name)

    def leave(self) -> None:
        """Forget every open question: the partitions are no longer ours, or are read anew."""
        for question in self._open.values():
            question.stop()
        self._open.clear()
        if self._subprocess_reader is not None:
            self._subprocess_reader.drop()
            self._subprocess_reader = None

    def _take(self, subprocess_reader: SubprocessReader, batch: Batch) -> None:
        while not batch.is_full and (chunk := subprocess_reader.take()) is not None:
            batch.add(chunk.records)
            if chunk.placeholder is not None:
                batch.add_placeholder(chunk.placeholder)
                self._ends[chunk.placeholder.number] = max(
                    self._ends[chunk.placeholder.number], chunk.placeholder.last_offset + 1
                )
            for number in chunk.through:
                if number in self._ends:
                    self._source.go_on(number, self._ends.pop(number))
        # All suspects are read to their end: the worker reads on by itself.
        if not self._ends:
            subprocess_reader.drop()
            self._subprocess_reader = None

    def _ask(self, number: int, offset: int, why: str) -> BackgroundQuery[Passage]:
        inspection = self._inspection
        return ask_until_answered(
            lambda: inspection.passage(number, offset, why), self._health, self._heartbeat
        )

    def _finish(self, number: int, batch: Batch) -> None:
        question = self._open[number]
        if not question.is_answered:
            return
        del self._open[number]
        placeholder, next_offset = question.answer()
        if placeholder is not None:
            batch.add_placeholder(placeholder)
        self._source.go_on(number, next_offset)
        self._health.note_ready("kafka")
