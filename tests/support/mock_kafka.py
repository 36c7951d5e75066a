"""librdkafka's own mock of a broker, in this process and on a real port: for programs that read by offset."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager

from confluent_kafka import Producer

from trailhouse.schemas.kafka_config import KafkaConfig
from waiting import DEADLINE_SECONDS


@contextmanager
def mock_kafka(values: Sequence[bytes], partition: int = 0) -> Generator[KafkaConfig]:
    """Yield how a broker is reached that has *values* at the offsets 0, 1, 2 … of a topic."""
    options = {"test.mock.num.brokers": 1, "log_level": 0, "message.max.bytes": 10_000_000}
    producer = Producer(options)
    config = KafkaConfig()
    for value in values:
        producer.produce(config.topic, value, b"key", partition)
    assert producer.flush(DEADLINE_SECONDS) == 0
    [broker] = producer.list_topics(timeout=DEADLINE_SECONDS).brokers.values()
    # As long as the producer lives, so does its mock.
    yield KafkaConfig(bootstrap_servers=f"{broker.host}:{broker.port}")
    producer.purge()
