"""The ceiling: records out of Kafka and into one column, nothing decoded, nothing checked, nothing promised.

confluent-kafka's `Consumer.consume` (docs.confluent.io, "Kafka Python Client"), and the bytes as RowBinary
over HTTP (clickhouse.com/docs, "RowBinary"), one insert while the next batch is read.
"""

# mypy: ignore-errors
# pyright: basic

from concurrent.futures import ThreadPoolExecutor

from confluent_kafka import Consumer
from store import BATCH_ROWS, Table, arguments


def varint(value: int) -> bytes:
    """Return LEB128 without sign."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


LENGTHS = [varint(length) for length in range(1 << 17)]


def main() -> None:
    """Drain the topic."""
    given = arguments()
    table = Table(given)
    consumer = Consumer({
        "bootstrap.servers": given.bootstrap,
        "group.id": given.group,
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "queued.max.messages.kbytes": 65_536,
        "fetch.max.bytes": 4_194_304,
        "fetch.wait.max.ms": 100,
    })  # fmt: skip
    consumer.subscribe([given.topic])

    def store(records: list[bytes]) -> int:
        parts: list[bytes] = []
        for record in records:
            parts += (LENGTHS[len(record)], record)
        table.client.raw_insert("raw_events", ["record"], b"".join(parts), fmt="RowBinary")
        return len(records)

    with ThreadPoolExecutor(1) as pool:
        flight, records = None, []
        while True:
            messages = consumer.consume(2_000, 0.05)
            if messages:
                table.began()
                records += [message.value() for message in messages if message.error() is None]
            if records and (len(records) >= BATCH_ROWS or not messages):
                if flight is not None and table.count(flight.result()):
                    break
                flight, records = pool.submit(store, records), []
            elif not messages and flight is not None:
                if table.count(flight.result()):
                    break
                flight = None
    consumer.close()


main()
