"""What makes a worker die must not make the next one die: it is read by a child process first."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from large_batches import goes_on
from trailhouse.consumer import WorkerConfig
from trailhouse.consumer.membership.poison_pills.inspection import PoisonPillInspection
from trailhouse.consumer.membership.poison_pills.subprocess_main import FRAME_BYTES
from trailhouse.consumer.membership.poison_pills.subprocess_reader import Chunk, SubprocessReader
from trailhouse.schemas import AuditEvent, KafkaConfig
from trailhouse.schemas.ranges import Range
from trailhouse.store import ClickHouseConfig
from waiting import DEADLINE_SECONDS, eventually
from worker_process import RUN_WORKER, WorkerSite, place, some_events

pytestmark = pytest.mark.cluster

DIES_OF_A_RECORD = """
import os, signal, sys
if "trailhouse" in " ".join(sys.orig_argv):
    import trailhouse.consumer.batch.batch as batch
    decode_all = batch.decode_all
    def deadly(records):
        if any(b"DEADLY" in record for record in records):
            os.kill(os.getpid(), signal.SIGKILL)
        return decode_all(records)
    batch.decode_all = deadly
"""


@pytest.fixture
def here(kafka: KafkaConfig, database: ClickHouseConfig, tmp_path: Path) -> Iterator[WorkerSite]:
    """Return a fresh topic and database, and an empty folder for workers to run in."""
    folder = tmp_path / "cwd"
    folder.mkdir()
    with place(kafka, database, folder) as ready:
        yield ready


@pytest.mark.long
def test_a_record_that_kills_who_decodes_it_kills_one_worker(
    here: WorkerSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next worker quarantines that record alone, and stores those beside it in the same batch, once."""
    patch = tmp_path / "patch"
    patch.mkdir()
    (patch / "sitecustomize.py").write_text(DIES_OF_A_RECORD, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(patch))
    events = some_events(40)
    deadly = AuditEvent(type="message_sent", session_id="s", data={"text": "DEADLY"})
    here.send([event.record for event in events[:10]])
    here.send([events[10].record, deadly.record, *(event.record for event in events[11:30])])
    here.send([event.record for event in events[30:]], partition=1)
    first = here.start()
    assert first.process.wait(DEADLINE_SECONDS) == -signal.SIGKILL
    second = here.start()
    eventually(lambda: here.count() == 40, f"every event, log: {second.log}")
    assert here.stored_records() == sorted(event.record for event in events)
    assert here.rows("SELECT kafka_partition, kafka_offset, last_offset, record FROM quarantine", "record") == [
        (0, 11, 11, deadly.record)
    ]  # fmt: skip
    assert here.rows("SELECT kind, first_offset, last_offset FROM incidents") == [
        ("unreadable", 11, 11)
    ]
    goes_on(here, second)


@pytest.mark.long
def test_a_killed_worker_alone_proves_nothing(here: WorkerSite) -> None:
    """After an ordinary kill all is read with care, stored once, and nothing is quarantined."""
    events = some_events(3_000)
    here.emit(events[:1_000])
    first = here.start()
    eventually(lambda: here.count() > 0, f"some events, log: {first.log}")
    os.kill(first.process.pid, signal.SIGKILL)
    here.emit(events[1_000:])
    second = here.start()
    eventually(lambda: here.count() == 3_000, f"every event, log: {second.log}")
    assert here.stored_records() == sorted(event.record for event in events)
    assert here.count("quarantine") == 0
    assert here.count("incidents") == 0
    goes_on(here, second)


def test_a_child_process_hands_over_a_few_megabytes_at_once(here: WorkerSite) -> None:
    """However many large records lie ready, the worker is handed no more of them at once than it can hold."""
    text = "a" * 500_000
    events = [AuditEvent(type="x", session_id="s", data={"text": text}) for _ in range(40)]
    here.send([event.record for event in events])
    never_asked = cast("PoisonPillInspection", None)
    wanted = {0: Range(0, len(events) - 1)}
    reading = SubprocessReader(here.kafka, WorkerConfig(), wanted, never_asked)
    chunks: list[Chunk] = []

    def is_through() -> bool:
        while (chunk := reading.take()) is not None:
            chunks.append(chunk)
        return any(chunk.through for chunk in chunks)

    eventually(is_through, "everything that was asked for")
    reading.drop()
    records = [[record.value() or b"" for record in chunk.records] for chunk in chunks]
    assert [record for part in records for record in part] == [event.record for event in events]
    assert max(sum(map(len, part)) for part in records) <= FRAME_BYTES


@pytest.mark.long
def test_a_child_process_imports_nothing_from_the_working_directory(here: WorkerSite) -> None:
    """A module there that bears the name of one of ours, or of a package we use, is not run."""
    first = here.start([sys.executable, "-P", "-c", RUN_WORKER])
    first.wait_until_ready()
    first.kill()
    ran = here.folder.parent / "ran"
    (here.folder / "msgspec.py").write_text(f"open({str(ran)!r}, 'w')\nraise SystemExit(1)\n")
    here.send([event.record for event in some_events(10)])
    second = here.start([sys.executable, "-P", "-c", RUN_WORKER])
    eventually(lambda: ran.exists() or here.count() == 10, f"every event, log: {second.log}")
    assert not ran.exists()
    goes_on(here, second)
