"""The process that opens what may kill; a worker starts it by its name, with `python -m`.

It reads ranges of partitions as the worker would, decodes each record as the worker would, and hands them
over on its standard output. Its memory is limited; if it dies, the worker knows of what.
"""

import os
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec
from confluent_kafka import Consumer, Message, TopicPartition

from trailhouse.broker.options import AT_THE_END
from trailhouse.consumer.batch.batch import Batch, Limits

MEMORY_BYTES = 536_870_912
SILENCE_SECONDS = 10.0
BUSY_SECONDS = 0.5
READ_RECORDS = 500
FRAME_BYTES = 4_194_304
"""What one frame holds at most, unless a single record is larger: the worker keeps some of them in memory."""
LENGTH_BYTES = 4
OUT_OF_MEMORY = 86
"""Its exit code then; every other death of interest is by a signal."""
ONE_BATCH_AT_A_TIME = {
    "message.max.bytes": 1_000,  # or librdkafka takes no lower fetch.max.bytes
    "fetch.max.bytes": 1_000,
    "max.partition.fetch.bytes": 1,
    "fetch.min.bytes": 1,
    "queued.min.messages": 1,
    "queued.max.messages.kbytes": 1,
}
"""Kafka answers with the first batch alone, however large it is, and nothing is fetched before it is read."""

Ended = Literal["done", "unreadable", "silent"]


class Order(msgspec.Struct):
    """What is to be read: the first and the last offset of each partition; *options* are librdkafka's."""

    topic: str
    options: dict[str, str | int | float | bool]
    limits: Limits
    ranges: dict[int, tuple[int, int]]
    is_careful: bool


class Frame(msgspec.Struct, array_like=True):
    """What the child says: records that it begins to decode, or that it has decoded them, or its end."""

    records: list[tuple[int, int, tuple[int, int], bytes | None, bytes | None]] = []
    is_decoded: bool = False
    ended: Ended | None = None
    partition: int = -1
    why: str = ""


def main() -> None:
    """Read the order from standard input and obey."""
    order = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Order)
    _limit_memory()
    options = order.options | {
        "group.id": "trailhouse-by-offset",
        "client.id": "trailhouse-isolated",
        "enable.partition.eof": True,
    }
    consumer = Consumer(options | (ONE_BATCH_AT_A_TIME if order.is_careful else {}))
    consumer.assign(
        [TopicPartition(order.topic, n, first) for n, (first, _) in order.ranges.items()]
    )
    say(_read(consumer, order))
    os._exit(0)  # a consumer that closes asks Kafka first, which may be away


def say(frame: Frame) -> None:
    """Hand *frame* over; blocks while the worker has enough in hand."""
    content = msgspec.msgpack.encode(frame)
    sys.stdout.buffer.write(len(content).to_bytes(LENGTH_BYTES, "big") + content)
    sys.stdout.buffer.flush()


def _read(consumer: Consumer, order: Order) -> Frame:
    left = dict(order.ranges)
    parent, heard_at, busy_seconds = os.getppid(), time.monotonic(), time.process_time()
    while left:
        messages = consumer.consume(1 if order.is_careful else READ_RECORDS, 0.1)
        if os.getppid() != parent:
            os._exit(1)
        # On a busy machine a batch may take longer to open than Kafka may be silent: then we compute, and do not wait.
        is_opening = time.process_time() - busy_seconds > BUSY_SECONDS
        if messages or is_opening:
            heard_at, busy_seconds = time.monotonic(), time.process_time()
        elif time.monotonic() - heard_at > SILENCE_SECONDS:
            return Frame(ended="silent")
        wanted, problem = _sorted_out(messages, left)
        for part in _portions(wanted):
            say(Frame([_plain(message) for message in part]))
            Batch(order.limits, time.monotonic).add(part)  # type: ignore[arg-type]  # without an error
            say(Frame(is_decoded=True))
        if problem is not None:
            error = problem.error()
            name = "" if error is None else error.name()
            return Frame(ended="unreadable", partition=problem.partition() or 0, why=name)
    return Frame(ended="done")


def _sorted_out(
    messages: list[Message], left: dict[int, tuple[int, int]]
) -> tuple[list[Message], Message | None]:
    """Return the records that are wanted, and the first problem; ranges that are through leave *left*."""
    wanted: list[Message] = []
    for message in messages:
        number, offset, error = message.partition(), message.offset(), message.error()
        if number is None or number not in left:
            continue
        if error is not None and error.name() != AT_THE_END:
            return wanted, message
        if error is None and offset is not None and offset <= left[number][1]:
            wanted.append(message)
        if error is not None or offset is None or offset >= left[number][1]:
            del left[number]
    return wanted, None


def _portions(messages: list[Message]) -> Iterator[list[Message]]:
    """Yield *messages* in order, as many at once as a frame may hold."""
    part: list[Message] = []
    size_bytes = 0
    for message in messages:
        size_bytes += len(message.value() or b"")
        if part and size_bytes > FRAME_BYTES:
            yield part
            part, size_bytes = [], len(message.value() or b"")
        part.append(message)
    if part:
        yield part


def _plain(message: Message) -> tuple[int, int, tuple[int, int], bytes | None, bytes | None]:
    place = message.partition() or 0, message.offset() or 0
    # With its kind: whether the time is the broker's or the sender's is judged by who stores it.
    return *place, message.timestamp(), message.key(), message.value()


def _limit_memory() -> None:
    """Have what takes more memory than a batch should fail here, and not in the worker."""
    status = Path("/proc/self/status")
    used_kb = 0
    if status.exists():
        lines = status.read_text(encoding="ascii").splitlines()
        used_kb = next((int(line.split()[1]) for line in lines if line.startswith("VmData")), 0)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = used_kb * 1_024 + MEMORY_BYTES
    soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    try:
        main()
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
