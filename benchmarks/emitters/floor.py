"""The floor: `Producer.produce` of bytes that are ready, with our producer's settings."""

# mypy: ignore-errors
# pyright: basic

from caller import arguments, recorded, run
from confluent_kafka import Producer

from trailhouse.schemas import Source, event_of

given = arguments()
OPTIONS = {
    "bootstrap.servers": given.bootstrap,
    "acks": "all",
    "enable.idempotence": True,
    "compression.type": "lz4",
    "linger.ms": 5,
    "queue.buffering.max.messages": 1_000_000,
}


def make():
    """Return how to log one event, and how to finish."""
    producer, arrived = Producer(OPTIONS), []

    def report(error, message) -> None:
        if error is None:
            arrived.append(message.offset())

    def log(event) -> None:
        key, record = event
        producer.produce(given.topic, record, key, on_delivery=report)
        producer.poll(0)

    def finish() -> int:
        producer.flush(120)
        return len(arrived)

    return log, finish


source = Source(service="bench", host="h", pid=1, producer_id="p", seq=1)
events = [event_of(fields | {"source": source}) for fields in recorded(given)]
run(given, [(event.session_id.encode(), event.record) for event in events], make)
