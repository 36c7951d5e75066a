"""Which cluster and which topic records come from: names may be used again, ids are not."""

from trailhouse.broker.admin import KafkaAdmin
from trailhouse.broker.origin import Origin
from trailhouse.schemas.errors import BrokerRejectedError
from trailhouse.schemas.kafka_config import KafkaConfig

NO_TOPIC = "UNKNOWN_TOPIC_OR_PART"


class TopicIdentity(KafkaAdmin):
    """Asks Kafka who it is."""

    def origin(self, kafka: KafkaConfig) -> Origin:
        """Return the ids of the cluster and of the topic.

        Raises:
            BrokerUnavailableError: Kafka does not answer. Retriable.
            BrokerRejectedError: Kafka refuses, or has no such topic. Permanent until mended.
        """
        cluster_id, _ = self.cluster()
        try:
            return Origin(cluster_id, kafka.topic, str(self._described().topic_id))
        except BrokerRejectedError as error:
            if error.code != NO_TOPIC:
                raise
            raise BrokerRejectedError(
                f"Kafka at {kafka.bootstrap_servers} has no topic {kafka.topic}: run `trailhouse init`",
                NO_TOPIC,
            ) from error
