"""Records that somebody made to hurt: the worker goes on, and each is stored or quarantined whole."""

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from trailhouse.consumer.config import WorkerConfig
from trailhouse.consumer.membership.source import KafkaSource, Listener
from trailhouse.schemas import KafkaConfig
from trailhouse.store import ClickHouseConfig
from waiting import DEADLINE_SECONDS, eventually
from worker_process import WorkerSite, place, some_events

pytestmark = pytest.mark.cluster

SEND_A_HEADER_THAT_IS_NOT_UTF8 = """
import asyncio, sys
from aiokafka import AIOKafkaProducer

class Name(str):
    def encode(self, *_):
        return b"\\xff\\xfe"

async def main(servers, topic, records):
    async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
        for record in records:
            await producer.send_and_wait(
                topic, record.encode(), b"k", 0, headers=[(Name("x"), b"v")]
            )

asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
"""
PIECES = (
    b"{", b"}", b"[", b'"', b"\\", b",", b"\x00", b"\xff", b"\xed\xa0\x80", b"\\ud800", b"1e999", b"9" * 400,
)  # fmt: skip


@pytest.fixture
def here(kafka: KafkaConfig, database: ClickHouseConfig, tmp_path: Path) -> Iterator[WorkerSite]:
    """Return a fresh topic and database, and an empty folder for workers to run in."""
    folder = tmp_path / "cwd"
    folder.mkdir()
    with place(kafka, database, folder) as ready:
        yield ready


def test_header_names_that_are_no_text_stop_nothing(here: WorkerSite) -> None:
    """An event is stored whatever its headers; a bad record's reason says that its headers are lost."""
    event = some_events(1)[0]
    worker = here.start()
    worker.wait_until_ready()
    # CPython makes a call quick once it has been made a few times, and then checks less of it.
    here.send([b"no event"] * 50, partition=1)
    eventually(lambda: here.count("quarantine") == 50, f"50 quarantined records, log: {worker.log}")
    subprocess.run(
        [
            sys.executable,
            "-c",
            SEND_A_HEADER_THAT_IS_NOT_UTF8,
            here.kafka.bootstrap_servers,
            here.kafka.topic,
            "no event",
            event.record.decode(),
        ],
        env=os.environ | {"AIOKAFKA_NO_EXTENSIONS": "1"},  # its compiled half takes no such name
        check=True,
        timeout=DEADLINE_SECONDS,
    )
    eventually(lambda: here.count("quarantine") == 51, f"one more of them, log: {worker.log}")
    found = "FROM quarantine WHERE kafka_partition = 0"
    assert here.rows(f"SELECT record, key, headers {found}", "record") == [(b"no event", "k", [])]
    assert "headers are lost" in here.rows(f"SELECT reason {found}")[0][0]
    eventually(lambda: here.stored_records() == [event.record], "the event")
    assert worker.process.poll() is None, f"the same worker goes on, log: {worker.log}"


def test_damaged_events_are_stored_or_quarantined_byte_for_byte(here: WorkerSite) -> None:
    """Of events with bytes flipped, cut out and put in, each is in exactly one of the two tables."""
    chance = random.Random(5)  # noqa: S311 - a seed, so that a failure comes again
    whole = [event.record for event in some_events(1_000)]
    records: list[bytes | None] = [
        record if number % 2 else damaged(record, chance) for number, record in enumerate(whole)
    ]
    worker = here.start()
    here.send(records)
    eventually(
        lambda: here.count("event_log") + here.count("event_quarantine") == len(records),
        f"{len(records)} records in one of the tables, log: {worker.log}",
    )
    rows = here.rows(
        "SELECT kafka_offset, record FROM event_log UNION ALL SELECT kafka_offset, record FROM event_quarantine",
        "record",
    )
    assert [record for _, record in sorted(rows)] == records
    assert set(here.stored_records()) >= set(whole[1::2]), "every undamaged event is stored"
    assert worker.process.poll() is None, f"the same worker goes on, log: {worker.log}"


def test_one_read_never_holds_more_than_the_queue(here: WorkerSite) -> None:
    """However many large records wait, what one read returns is bounded by bytes, so memory is too."""
    here.send([bytes(900_000)] * 60)
    listener = Listener(
        on_assigned=lambda numbers: source.begin(dict.fromkeys(numbers, 0)),
        on_revoked=lambda: None,
        on_lost=lambda: None,
    )
    source = KafkaSource(here.kafka, WorkerConfig(group_id=here.kafka.topic), listener)
    sizes: list[int] = []

    def has_read_all() -> bool:
        read = source.read(2_000, 2.0)
        sizes.append(sum(len(message.value() or b"") for message in read))
        return sum(sizes) >= 54_000_000

    try:
        eventually(has_read_all, f"54 MB read, got {sizes}")
    finally:
        source.close()
    assert max(sizes) < 20_000_000


def damaged(record: bytes, chance: random.Random) -> bytes:
    """Return *record* with one to four small wounds."""
    body = bytearray(record)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(body))
        match chance.randrange(3):
            case 0:
                body[at] ^= 1 << chance.randrange(8)
            case 1:
                del body[at : at + chance.choice((1, 1, 8))]
            case _:
                body[at:at] = chance.choice(PIECES)
    return bytes(body)
