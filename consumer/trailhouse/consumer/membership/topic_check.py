"""Asks Kafka whether the topic is the same as before, and set as it must be."""

import logging
import time
from collections.abc import Callable
from typing import NamedTuple

from trailhouse.broker.origin import Origin
from trailhouse.broker.topic_identity import TopicIdentity
from trailhouse.consumer.membership.group_warnings import topic_settings
from trailhouse.consumer.monitoring.background_query import BackgroundQuery, SkipsWhileIdle
from trailhouse.consumer.monitoring.health import Health
from trailhouse.schemas.kafka_config import KafkaConfig

log = logging.getLogger(__name__)

FIRST_AFTER_SECONDS = 5.0
"""Not at once: whoever joined has just asked, and a worker that begins has records to read."""
ID_EVERY_SECONDS = 10.0
IDLE_TURNS = 6
"""While nothing is read, nothing can come into the wrong topic's name: it is asked so many times less often."""
SETTINGS_EVERY_SECONDS = 60.0


class TopicState(NamedTuple):
    """What is known of the topic.

    Attributes:
        is_other_topic: Whether the name now means another topic than it did.
        retention_seconds: How long Kafka keeps a record; infinite without a limit, None while unknown.
    """

    is_other_topic: bool = False
    retention_seconds: float | None = None


class TopicCheck:
    """Asks on behalf of one membership, whose topic is *origin*; for one thread at a time."""

    def __init__(
        self,
        kafka: KafkaConfig,
        ask_kafka: Callable[[], TopicIdentity],
        origin: Origin,
        health: Health,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kafka = kafka
        self._ask_kafka = ask_kafka
        self._origin = origin
        self._health = health
        self._clock = clock
        self._retention_seconds: float | None = None
        self._settings_due_at_seconds = clock()

    def in_background(self, moved: Callable[[], object] = object) -> BackgroundQuery[TopicState]:
        """Return the question, to be started; it is asked less often while what *moved* returns stays the same."""
        return BackgroundQuery(
            self.look,
            name="topic",
            every_seconds=ID_EVERY_SECONDS,
            first_after_seconds=FIRST_AFTER_SECONDS,
            is_needed=SkipsWhileIdle(moved, IDLE_TURNS),
            # Not said on /health: whoever reads the topic meets the same trouble and says it.
            on_failure=lambda error: log.debug("the topic cannot be asked after: %s", error),
        )

    def look(self) -> TopicState:
        """Ask for the topic's id, and now and then for its settings; what is wrong with these is on /health.

        Raises:
            BrokerError: Kafka does not answer (retriable) or refuses (permanent). Ask again.
        """
        # A new client: one from before an outage may not answer for a minute.
        with self._ask_kafka() as admin:
            if admin.origin(self._kafka) != self._origin:
                return TopicState(True, self._retention_seconds)
            if self._clock() >= self._settings_due_at_seconds:
                self._look_at_settings(admin)
                self._settings_due_at_seconds = self._clock() + SETTINGS_EVERY_SECONDS
        return TopicState(False, self._retention_seconds)

    def _look_at_settings(self, admin: TopicIdentity) -> None:
        topic = admin.topic()
        if topic is None:
            return
        kept_ms = int(topic.options["retention.ms"])
        self._retention_seconds = kept_ms / 1_000 if kept_ms >= 0 else float("inf")
        self._health.warn("topic_settings", topic_settings(self._kafka, topic.options))
