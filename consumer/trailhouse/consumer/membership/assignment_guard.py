"""Guards one assignment: nothing is read before its offsets are verified, nothing committed that ClickHouse forgot.

Questions are asked in threads of their own, so that the group always hears of us; nothing is read
before the first is answered, and nothing is committed after an outage of ClickHouse before its ledger
was looked at.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from trailhouse.consumer.batch.inflight import BatchInserter
from trailhouse.consumer.batch.span import Span
from trailhouse.consumer.membership.offset_check import OffsetCheck, Starts
from trailhouse.consumer.membership.source import KafkaSource
from trailhouse.consumer.monitoring.background_query import BackgroundQuery, ask_until_answered
from trailhouse.consumer.monitoring.health import Health
from trailhouse.consumer.monitoring.heartbeat import Heartbeat
from trailhouse.consumer.proof_log.restore import Restored
from trailhouse.schemas.errors import OffsetGapError

LEDGER_EVERY_SECONDS = 60.0
MAX_ASTRAY = 5
"""So often in a row Kafka may refuse the offsets that it named itself a moment before."""

Step = Literal["stay", "begin", "drop", "leave"]


class AssignmentGuard:
    """Used by the one thread that reads *source*; nothing here blocks."""

    def __init__(
        self,
        *,
        offset_check: OffsetCheck,
        source: KafkaSource,
        inserter: BatchInserter,
        health: Health,
        heartbeat: Heartbeat,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._offset_check = offset_check
        self._source = source
        self._inserter = inserter
        self._health = health
        self._heartbeat = heartbeat
        self._clock = clock
        self._starts: BackgroundQuery[Starts | None] | None = None
        self._forgotten: BackgroundQuery[dict[int, int]] | None = None
        self._asked_at_outages = 0
        self._sure_at_outages = 0
        self._ledger_due_at_seconds = 0.0
        self._astray_times = 0
        self._stored: dict[int, list[tuple[int, int]]] = {}
        self.logs: Mapping[int, Restored] = {}
        """The logs of the partitions, as they were when the reading began."""

    @property
    def is_open(self) -> bool:
        """Whether the partitions are being read."""
        return self._starts is None

    @property
    def is_asking(self) -> bool:
        """Whether a question is open, whose answer `step` waits for."""
        return self._starts is not None or self._forgotten is not None

    def take(
        self, partitions: Sequence[int], suspect_offsets: Mapping[int, int] | None = None
    ) -> None:
        """Find out where to read *partitions* from; call it when Kafka has assigned them."""
        self.leave()
        # Noted before the question: an outage while it is being answered makes the answer worthless.
        self._asked_at_outages = self._inserter.outages
        offset_check, numbers = self._offset_check, list(partitions)
        self._starts = ask_until_answered(
            lambda: offset_check.starts(numbers, suspect_offsets), self._health, self._heartbeat
        )

    def leave(self) -> None:
        """Forget the partitions and every open question."""
        for question in (self._starts, self._forgotten):
            if question is not None:
                question.stop()
        self._starts = self._forgotten = None
        self._stored = {}

    def step(self) -> Step:
        """Go on: the reading may ``begin``; or ``drop`` what is in hand, since it is read again; or
        ``leave`` the group as well.

        Raises:
            OffsetGapError: Records are gone that nobody stored. Permanent.
        """
        if self._starts is not None:
            return self._begin(self._starts) if self._starts.is_answered else "stay"
        if self._source.is_astray:
            return self._find_again()
        if self._forgotten is not None:
            return self._compare(self._forgotten) if self._forgotten.is_answered else "stay"
        if self._clock() >= self._ledger_due_at_seconds and self._stored:
            self._ask_ledger()
        return "stay"

    def may_commit(self) -> bool:
        """Whether ClickHouse was never away since its ledger was last compared; else it is asked now."""
        if not self.is_open:
            return False
        if self._inserter.outages == self._sure_at_outages:
            return True
        if self._forgotten is None:
            self._ask_ledger()
        return False

    def wait(self, timeout_seconds: float) -> Step:
        """Wait for the answer about the ledger, if it was asked, before a last commit; as `step`."""
        if self._forgotten is not None and self._forgotten.wait(timeout_seconds):
            return self._compare(self._forgotten)
        return "stay"

    def note_commit(self, spans: Mapping[int, Span]) -> None:
        """Take in what has been stored and committed: the ledger must have it from now on."""
        self._astray_times = 0
        for number, span in spans.items():
            self._stored.setdefault(number, []).append((span.first_offset, span.last_offset))

    def _begin(self, question: BackgroundQuery[Starts | None]) -> Step:
        starts = question.answer()
        if starts is None:
            return "leave"
        self._starts = None
        self.logs = starts.logs
        self._source.begin(starts.offsets, starts.suspects, starts.markable, starts.floors)
        self._stored = {
            number: [_one(starts.offsets[number] - 1)]
            for number in starts.verified
            if starts.offsets[number] > 0
        }
        self._settle_ledger()
        return "begin"

    def _find_again(self) -> Step:
        self._astray_times += 1
        # Retention may delete while we ask, once or twice; not time after time.
        if self._astray_times > MAX_ASTRAY:
            raise OffsetGapError(
                f"Kafka refuses the offsets it names itself ({MAX_ASTRAY} times in a row):"
                " look at the topic with kafka-consumer-groups and kafka-get-offsets, and start again"
            )
        return self._again({})

    def _again(self, suspect_offsets: Mapping[int, int]) -> Step:
        partitions = self._source.partitions
        # Nothing is fetched from where we no longer trust the offsets, but the group goes on hearing of us.
        self._source.withhold()
        self.take(partitions, suspect_offsets)
        return "drop"

    def _ask_ledger(self) -> None:
        self._asked_at_outages = self._inserter.outages
        offset_check, stored = (
            self._offset_check,
            {n: list(spans) for n, spans in self._stored.items()},
        )
        self._forgotten = ask_until_answered(
            lambda: offset_check.forgotten(stored), self._health, self._heartbeat
        )

    def _compare(self, question: BackgroundQuery[dict[int, int]]) -> Step:
        suspect_offsets = question.answer()
        self._forgotten = None
        if suspect_offsets:
            return self._again(suspect_offsets)
        # What is complete needs no second look but at its end, which a restored backup would lack.
        self._stored = {number: [_one(spans[-1][1])] for number, spans in self._stored.items()}
        self._settle_ledger()
        return "stay"

    def _settle_ledger(self) -> None:
        self._sure_at_outages = self._asked_at_outages
        self._ledger_due_at_seconds = self._clock() + LEDGER_EVERY_SECONDS


def _one(offset: int) -> tuple[int, int]:
    """Return the range of one offset."""
    return offset, offset
