"""A worker with a key anchors by itself what it has stored."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from proven import LOG_NAME, log_key
from trailhouse.anchoring.places import read_anchors
from trailhouse.proof.anchor import parse_anchor
from trailhouse.schemas import KafkaConfig
from trailhouse.store import ClickHouseConfig
from waiting import eventually
from worker_process import WorkerSite, place, some_events

pytestmark = pytest.mark.cluster


@pytest.fixture
def here(kafka: KafkaConfig, database: ClickHouseConfig, tmp_path: Path) -> Iterator[WorkerSite]:
    """Return a fresh topic and database, and an empty folder for workers to run in."""
    folder = tmp_path / "cwd"
    folder.mkdir()
    with place(kafka, database, folder) as ready:
        yield ready


def test_a_worker_anchors_what_it_has_stored(here: WorkerSite, tmp_path: Path) -> None:
    """Every event is covered by an anchor in the folder that the settings name, and the metrics say when."""
    kept = tmp_path / "anchors"
    kept.mkdir()
    key = log_key(tmp_path)
    worker = here.start(
        proof_log_name=LOG_NAME,
        proof_key_file=key.key_file,
        proof_anchors=f"folder:{kept}",
        proof_anchor_seconds=1,
    )
    worker.wait_until_ready()
    here.emit(some_events(10))
    worker.wait_for("records_stored_total", 10)

    def anchored() -> int:
        newest = [raw for _, raw in read_anchors(f"folder:{kept}")][-1:]
        return sum(each.size for raw in newest for each in parse_anchor(raw)[0].checkpoints)

    eventually(lambda: anchored() == 10, "all ten events anchored")
    worker.wait_for("last_anchor_timestamp_seconds", 1)
    assert worker.end() == 0
