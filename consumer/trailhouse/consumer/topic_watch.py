"""Asks Kafka now and then, in a thread, whether the topic is the same, and set as it must be."""

import logging
import threading
import time
from collections.abc import Callable

from trailhouse.consumer.group_warnings import topic_settings
from trailhouse.consumer.health import Health
from trailhouse.consumer.kafka_origin import KafkaOrigin
from trailhouse.consumer.rows import Origin
from trailhouse.schemas.config import KafkaConfig
from trailhouse.schemas.errors import DeliveryError

log = logging.getLogger(__name__)

ID_EVERY_SECONDS = 10.0
SETTINGS_EVERY_SECONDS = 60.0


class TopicWatch:
    """What is known of the topic while one membership lasts; `start` and `stop` frame it."""

    def __init__(
        self,
        kafka: KafkaConfig,
        ask_kafka: Callable[[], KafkaOrigin],
        origin: Origin,
        health: Health,
    ) -> None:
        self._kafka = kafka
        self._ask_kafka = ask_kafka
        self._origin = origin
        self._health = health
        self._stop = threading.Event()
        self.is_other_topic = False
        """Whether the name now means another topic than it did."""
        self.retention_seconds: float | None = None
        """How long Kafka keeps a record; infinite without a limit, None while unknown."""

    def start(self) -> None:
        """Begin to ask."""
        threading.Thread(target=self._run, name="trailhouse-topic", daemon=True).start()

    def stop(self) -> None:
        """Ask no more. Does not block."""
        self._stop.set()

    def _run(self) -> None:
        settings_due_at = time.monotonic()
        while not self._stop.is_set() and not self.is_other_topic:
            try:
                # A new client: one from before an outage may not answer for a minute.
                with self._ask_kafka() as admin:
                    self.is_other_topic = admin.origin(self._kafka) != self._origin
                    if time.monotonic() >= settings_due_at:
                        self._ask_settings(admin)
                        settings_due_at = time.monotonic() + SETTINGS_EVERY_SECONDS
            except DeliveryError as error:
                # Not said on /health: whoever reads the topic meets the same trouble and says it.
                log.debug("the topic cannot be asked after: %s", error)
            self._stop.wait(ID_EVERY_SECONDS)

    def _ask_settings(self, admin: KafkaOrigin) -> None:
        topic = admin.topic()
        if topic is None:
            return
        kept_ms = int(topic.options["retention.ms"])
        self.retention_seconds = kept_ms / 1_000 if kept_ms >= 0 else float("inf")
        self._health.warn("topic_settings", topic_settings(self._kafka, topic.options))
