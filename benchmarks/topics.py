"""Fills a topic with ready records, as quickly as a plain producer can."""

from confluent_kafka import Producer

from benchmarks.records import ready_records
from trailhouse.schemas import KafkaConfig

FLUSH_SECONDS = 300.0


def fill(kafka: KafkaConfig, events: int, size_bytes: int | None = None) -> int:
    """Send *events* records, wait until the broker has them all, and return the size of their values."""
    producer = Producer(
        kafka.client_options()
        | {
            "acks": "all",
            "compression.type": "lz4",
            "partitioner": "murmur2_random",
            "linger.ms": 20,
            "queue.buffering.max.kbytes": 262_144,
            "message.max.bytes": 1_100_000,
        }
    )
    total_bytes = 0
    for record in ready_records(events, size_bytes):
        total_bytes += len(record.value)
        while True:
            try:
                producer.produce(kafka.topic, record.value, record.key)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    if left := producer.flush(FLUSH_SECONDS):
        raise SystemExit(f"benchmarks: the broker has not taken {left} of {events} records")
    return total_bytes
