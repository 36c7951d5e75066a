"""The worker's logs on a real broker and engine: one leaf a record, one root a size, whatever comes in between."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from proof_logs import FoundLog, found_logs
from proven import log_key
from trailhouse.proof.keys import is_signed_by, read_key_file
from trailhouse.proof.note import signers
from trailhouse.schemas import KafkaConfig
from trailhouse.store import ClickHouse, ClickHouseConfig
from worker_process import WorkerSite, eventually, place, some_events

pytestmark = pytest.mark.cluster


@pytest.fixture
def here(kafka: KafkaConfig, database: ClickHouseConfig, tmp_path: Path) -> Iterator[WorkerSite]:
    """Return a fresh topic and database, and an empty folder for workers to run in."""
    folder = tmp_path / "cwd"
    folder.mkdir()
    with place(kafka, database, folder) as ready:
        yield ready


def logs_of(here: WorkerSite) -> dict[int, FoundLog]:
    """Return the logs of a topic of which each partition has one generation."""
    with ClickHouse(here.database) as clickhouse:
        return {partition: log for (_, partition, _), log in found_logs(clickhouse).items()}


def test_every_record_has_its_leaf_and_every_log_is_signed(
    here: WorkerSite, tmp_path: Path
) -> None:
    """Good and bad records alike are leaves of a tree whose root the log's key signs, soon after they came."""
    proof = log_key(tmp_path)
    settings = {"proof_log_name": proof.log_name, "proof_key_file": proof.key_file}
    worker = here.start(**settings)
    worker.wait_until_ready()
    events = some_events(300)
    here.emit(events)
    bad: list[bytes | None] = [None, b"", b"{", b"\xff" * 70_000]
    here.send(bad)
    eventually(lambda: here.count() == 300 and here.count("quarantine") == 4, "all of them")
    eventually(lambda: all(log.size == log.end for log in logs_of(here).values()), "checkpoints")
    logs = logs_of(here)
    leaves = [leaf for log in logs.values() for leaf in log.leaves.values()]
    key = read_key_file(Path(proof.key_file)).public_key

    assert sorted(digest for kind, _, digest in leaves if kind == 1) == sorted(
        sha256(record).digest()
        for record in [*(event.record for event in events), *bad]
        if record is not None
    )
    assert [digest for kind, _, digest in leaves if kind == 2] == [sha256(b"").digest()]
    for log in logs.values():
        _, _, note = log.checkpoints[-1]
        assert note is not None
        name = note.text.split("\n")[0]
        assert signers(note, {name: key}, is_signed_by) == {name}
    assert worker.health()[1]["warnings"] == {}
    assert worker.series()["unsigned_checkpoints"] == 0
    assert {worker.series()[f"log_leaves/{number}"] for number in logs} == {
        log.size for log in logs.values()
    }
