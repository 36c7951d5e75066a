"""The program that reads what may kill: it obeys its order, says what it is about to decode, and ends."""

import subprocess
import sys
from collections.abc import Iterator

import msgspec
import pytest

from mock_kafka import mock_kafka
from trailhouse.broker.options import consumer_options
from trailhouse.consumer.batch.batch import Limits
from trailhouse.consumer.config import WorkerConfig
from trailhouse.consumer.membership.poison_pills.subprocess_main import (
    FRAME_BYTES,
    LENGTH_BYTES,
    Frame,
    Order,
)
from trailhouse.consumer.membership.poison_pills.subprocess_reader import COMMAND
from trailhouse.schemas.kafka_config import KafkaConfig
from waiting import DEADLINE_SECONDS

# librdkafka's mock keeps 5 MiB of a partition, and drops the oldest beyond.
SIZES = [10] * 5 + [FRAME_BYTES * 11 // 20] * 2 + [10]
VALUES = [b"%d" % number + b"x" * size for number, size in enumerate(SIZES)]


@pytest.fixture(scope="module")
def kafka() -> Iterator[KafkaConfig]:
    """Return a broker with some records, two of them large."""
    with mock_kafka(VALUES) as config:
        yield config


def frames(kafka: KafkaConfig, first: int, last: int, *, is_careful: bool = False) -> list[Frame]:
    """Return all that the program says, given the order to read a range of partition 0."""
    worker = WorkerConfig()
    order = Order(
        kafka.topic,
        consumer_options(kafka, worker.group_id),
        Limits.of(worker),
        {0: (first, last)},
        is_careful,
    )
    ended = subprocess.run(
        COMMAND,
        input=msgspec.msgpack.encode(order),
        capture_output=True,
        timeout=DEADLINE_SECONDS,
        check=True,
    )
    content, said = ended.stdout, []
    while content:
        size = int.from_bytes(content[:LENGTH_BYTES], "big")
        frame, content = content[LENGTH_BYTES:][:size], content[LENGTH_BYTES + size :]
        said.append(msgspec.msgpack.decode(frame, type=Frame))
    return said


@pytest.mark.parametrize("is_careful", [False, True])
def test_a_range_is_handed_over_whole_and_nothing_else(
    kafka: KafkaConfig, is_careful: bool
) -> None:
    """Each record once and in order; with care one at a time."""
    said = frames(kafka, 1, 3, is_careful=is_careful)
    records = [record for frame in said for record in frame.records]
    assert [(number, offset, value) for number, offset, _, _, value in records] == [
        (0, offset, VALUES[offset]) for offset in (1, 2, 3)
    ]
    assert {key for _, _, _, key, _ in records} == {b"key"}
    assert said[-1] == Frame(ended="done")
    if is_careful:
        assert max(len(frame.records) for frame in said) == 1


def test_what_is_decoded_is_said_before_and_after(kafka: KafkaConfig) -> None:
    """So that whoever is left knows of what it died."""
    *said, end = frames(kafka, 0, len(VALUES) - 1)
    assert end.ended == "done"
    begun, decoded = said[::2], said[1::2]
    assert all(frame.records and not frame.is_decoded for frame in begun)
    assert decoded == [Frame(is_decoded=True)] * len(begun)


def test_a_frame_is_bounded(kafka: KafkaConfig) -> None:
    """Two records that together are over the limit come in two frames: the worker keeps some in memory."""
    said = frames(kafka, 0, len(VALUES) - 1)
    assert sum(len(frame.records) for frame in said) == len(VALUES)
    for frame in said:
        assert sum(len(value or b"") for *_, value in frame.records) <= FRAME_BYTES


def test_a_range_that_ends_behind_the_log_is_read_to_the_logs_end(kafka: KafkaConfig) -> None:
    """It is through: what comes later is nobody's suspect."""
    said = frames(kafka, len(VALUES) - 1, 1_000)
    assert [offset for frame in said for _, offset, *_ in frame.records] == [len(VALUES) - 1]
    assert said[-1].ended == "done"


def test_an_offset_that_is_not_there_is_said_with_its_error(kafka: KafkaConfig) -> None:
    """By librdkafka's name of it, with the partition."""
    [end] = frames(kafka, len(VALUES) + 50, len(VALUES) + 60)
    assert (end.ended, end.partition, end.why) == ("unreadable", 0, "_AUTO_OFFSET_RESET")


def test_it_is_started_with_our_own_code_alone() -> None:
    """A file of the working directory that is named as a library is not imported."""
    assert COMMAND[:2] == (sys.executable, "-P")
