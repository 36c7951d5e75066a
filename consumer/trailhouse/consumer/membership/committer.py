"""Commits offsets to Kafka, for as long as that takes; /health says so when it takes long."""

from collections.abc import Callable, Mapping

from trailhouse.consumer.membership.commit_monitor import CommitMonitor
from trailhouse.consumer.membership.source import CommitOutcome, KafkaSource
from trailhouse.consumer.monitoring.health import Health
from trailhouse.consumer.monitoring.heartbeat import Heartbeat
from trailhouse.schemas.errors import TrailhouseError


class Committer:
    """Used by the one thread that reads *source*."""

    def __init__(
        self,
        source: KafkaSource,
        ask_kafka: Callable[[], None],
        health: Health,
        heartbeat: Heartbeat,
    ) -> None:
        self._source = source
        self._ask_kafka = ask_kafka
        self._health = health
        self._heartbeat = heartbeat
        self._is_overdue = False

    def commit(self, offsets: Mapping[int, int]) -> CommitOutcome:
        """Do as `KafkaSource.commit` says; call it when every record below *offsets* is in the ledger.

        It blocks for as long as Kafka is away: librdkafka goes on trying.

        Raises:
            BrokerRejectedError: The group may not be used. Permanent until mended.
        """
        with CommitMonitor(self._ask_kafka, self._note_overdue, self._heartbeat):
            outcome = self._source.commit(offsets)
        if outcome == "done" and self._is_overdue:
            self._is_overdue = False
            self._health.note_ready("kafka")
        return outcome

    def _note_overdue(self, error: TrailhouseError | None) -> None:
        self._is_overdue = True
        self._health.note_away("kafka", error or self._source.away("no answer to a commit"))
