"""The same steps written out plainly: id, time, a few checks, encode, write to a file, produce."""

# mypy: ignore-errors
# pyright: basic

import datetime as dt
import os
import socket
import uuid
from pathlib import Path

import msgspec
from caller import arguments, recorded, run
from confluent_kafka import Producer

given = arguments()
encode = msgspec.json.Encoder(order="sorted").encode
TEXTS = ("type", "session_id", "run_id", "agent_id")
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
    producer, arrived, seq = Producer(OPTIONS), [], 0
    file = os.open(Path(given.folder) / "plain.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    source = {
        "service": "bench",
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "producer_id": str(uuid.uuid4()),
    }

    def report(error, message) -> None:
        if error is None:
            arrived.append(message.offset())

    def log(fields) -> None:
        nonlocal seq
        for name in TEXTS:
            value = fields.get(name)
            if value is not None and (not isinstance(value, str) or not 0 < len(value) <= 256):
                raise ValueError(name)
        if not isinstance(fields.get("data", {}), dict):
            raise TypeError("data")
        record = encode({
            **fields,
            "event_id": str(uuid.uuid4()),
            "occurred_at": dt.datetime.now(dt.UTC),
            "metadata": {},
            "schema_version": 1,
            "source": source | {"seq": seq},
        })  # fmt: skip
        seq += 1
        os.write(file, record + b"\n")
        producer.produce(given.topic, record, fields["session_id"].encode(), on_delivery=report)
        producer.poll(0)

    def finish() -> int:
        producer.flush(120)
        return len(arrived)

    return log, finish


run(given, recorded(given), make)
