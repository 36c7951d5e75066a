"""What a worker makes of a child's life and death: which record is to blame, and what is read again."""

import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from textwrap import dedent
from typing import cast

import pytest

from mock_kafka import mock_kafka
from trailhouse.broker.placeholder import Placeholder
from trailhouse.consumer.config import WorkerConfig
from trailhouse.consumer.membership.poison_pills import subprocess_reader as module
from trailhouse.consumer.membership.poison_pills.inspection import Passage, PoisonPillInspection
from trailhouse.consumer.membership.poison_pills.subprocess_reader import (
    DIED,
    Chunk,
    SubprocessReader,
)
from trailhouse.schemas.errors import StorageUnavailableError
from trailhouse.schemas.kafka_config import KafkaConfig
from trailhouse.schemas.ranges import Range
from waiting import eventually

CHILD = dedent("""
    import os, signal, sys
    import msgspec
    order = msgspec.msgpack.decode(sys.stdin.buffer.read())
    def say(*frame):
        content = msgspec.msgpack.encode(frame)
        sys.stdout.buffer.write(len(content).to_bytes(4, "big") + content)
        sys.stdout.buffer.flush()
    def die():
        os.kill(os.getpid(), signal.SIGKILL)
    for number, (first, last) in order["ranges"].items():
        for offset in range(first, last + 1):
            {before}
            say([(number, offset, (2, 9), None, b"v")])
            {within}
            say([], True)
    say([], False, "done")
""")
"""Hands records over one by one, and does at some of them as it is told."""


class Inspection:
    """Notes what is passed over; ClickHouse is away for the first *failures*."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.noted: list[Placeholder] = []
        self.asked: list[tuple[int, int, str]] = []

    def note(self, placeholder: Placeholder) -> None:
        if self.failures:
            self.failures -= 1
            raise StorageUnavailableError("away")
        self.noted.append(placeholder)

    def passage(self, partition: int, offset: int, why: str) -> Passage:
        self.asked.append((partition, offset, why))
        return Passage(None, offset + 1)


@contextmanager
def reading(
    ranges: dict[int, Range],
    inspection: Inspection,
    before: str = "pass",
    within: str = "pass",
) -> Generator[SubprocessReader]:
    """Yield a reader whose children do as they are told."""
    program = CHILD.format(before=before, within=within)
    reader = SubprocessReader(
        KafkaConfig(),
        WorkerConfig(),
        ranges,
        cast("PoisonPillInspection", inspection),
        (sys.executable, "-c", program),
    )
    try:
        yield reader
    finally:
        reader.drop()


def chunks_of(reader: SubprocessReader, numbers: set[int]) -> list[Chunk]:
    """Return all chunks until each of *numbers* is through."""
    found: list[Chunk] = []

    def is_through() -> bool:
        while (chunk := reader.take()) is not None:
            found.append(chunk)
        return numbers <= {number for chunk in found for number in chunk.through}

    eventually(is_through, "the ranges to be through")
    return found


def offsets(chunks: list[Chunk]) -> list[tuple[int, int]]:
    """Return partition and offset of each record in *chunks*."""
    return [(each.partition(), each.offset()) for chunk in chunks for each in chunk.records]


@pytest.fixture(autouse=True)
def without_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once."""
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.001)


def test_what_kills_nobody_is_handed_over() -> None:
    """By the real program, from a broker: each record of the range once, and nothing is blamed."""
    inspection = Inspection()
    with mock_kafka([b"%d" % number for number in range(20)]) as kafka:
        reader = SubprocessReader(
            kafka, WorkerConfig(), {0: Range(3, 12)}, cast("PoisonPillInspection", inspection)
        )
        chunks = chunks_of(reader, {0})
    assert offsets(chunks) == [(0, offset) for offset in range(3, 13)]
    assert (inspection.noted, inspection.asked) == ([], [])


def test_a_record_that_kills_twice_is_blamed_alone() -> None:
    """It is quarantined by its offset; the records beside it are handed over once, in order."""
    inspection = Inspection(failures=1)
    with reading({0: Range(0, 4)}, inspection, within="if offset == 2: die()") as reader:
        chunks = chunks_of(reader, {0})
    assert offsets(chunks) == [(0, 0), (0, 1), (0, 3), (0, 4)]
    [placeholder] = [chunk.placeholder for chunk in chunks if chunk.placeholder]
    assert (placeholder.first_offset, placeholder.last_offset) == (2, 2)
    assert inspection.noted == [placeholder], "written down, with ClickHouse away at first"
    order = [chunk for chunk in chunks if chunk.records or chunk.placeholder]
    assert order[2].placeholder == placeholder, "in its place among the others"


def test_what_kills_while_it_is_fetched_is_looked_at() -> None:
    """No record is begun when the child dies, so the batch at that offset is inspected, by its header."""
    inspection = Inspection()
    with reading({0: Range(0, 3)}, inspection, before="if offset == 1: die()") as reader:
        chunks = chunks_of(reader, {0})
    assert inspection.asked == [(0, 1, DIED)]
    assert offsets(chunks) == [(0, 0), (0, 2), (0, 3)]
    assert inspection.noted == []


def test_what_cannot_be_opened_is_looked_at() -> None:
    """Under librdkafka's name of what it is."""
    inspection = Inspection()
    unreadable = 'if offset == 1: say([], False, "unreadable", number, "_BAD_MSG"); sys.exit()'
    with reading({0: Range(0, 2)}, inspection, before=unreadable) as reader:
        chunks = chunks_of(reader, {0})
    assert inspection.asked == [(0, 1, "_BAD_MSG")]
    assert offsets(chunks) == [(0, 0), (0, 2)]


def test_one_partition_that_kills_leaves_the_others_whole() -> None:
    """They are read again from where they were, each by itself."""
    inspection = Inspection()
    deadly = "if (number, offset) == (1, 1): die()"
    ranges = {0: Range(0, 1), 1: Range(0, 2), 2: Range(0, 1)}
    with reading(ranges, inspection, within=deadly) as reader:
        chunks = chunks_of(reader, {0, 1, 2})
    assert sorted(offsets(chunks)) == [(0, 0), (0, 1), (1, 0), (1, 2), (2, 0), (2, 1)]
    assert [(each.number, each.first_offset) for each in inspection.noted] == [(1, 1)]


def test_a_child_that_fails_otherwise_blames_no_record() -> None:
    """A program that cannot run is tried again, and nothing is passed over for it."""
    inspection = Inspection()
    with reading({0: Range(0, 3)}, inspection, within="if offset == 1: sys.exit(3)") as reader:
        eventually(
            lambda: (chunk := reader.take()) is not None and offsets([chunk]) == [(0, 0)],
            "a record",
        )
    assert (inspection.noted, inspection.asked) == ([], [])


def test_who_drops_it_ends_the_child() -> None:
    """Even one that hangs."""
    hang = "import time; time.sleep(3600)"
    with reading({0: Range(0, 3)}, Inspection(), before=hang) as reader:
        reader.drop()
    eventually(
        lambda: all(each.name != "trailhouse-isolated" for each in threading.enumerate()),
        "the thread that waits for the child to end",
    )
    assert reader.take() is None
