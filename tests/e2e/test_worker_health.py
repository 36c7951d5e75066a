"""What /health says while the worker waits for an answer."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from trailhouse.schemas import KafkaConfig
from trailhouse.store import ClickHouseConfig
from waiting import eventually
from worker_process import RUN_WORKER, WorkerSite, place, some_events

pytestmark = pytest.mark.cluster

COMMIT_WAITS_FOR_A_FILE = f"""
import threading
from pathlib import Path
from trailhouse.consumer.membership.source import KafkaSource

answered, commit = Path("answer").absolute(), KafkaSource.commit

def wait_and_commit(self, next_offsets):
    while not answered.exists():
        threading.Event().wait(0.05)
    return commit(self, next_offsets)

KafkaSource.commit = wait_and_commit
{RUN_WORKER}
"""


@pytest.fixture
def here(kafka: KafkaConfig, database: ClickHouseConfig, tmp_path: Path) -> Iterator[WorkerSite]:
    """Return a fresh topic and database, and an empty folder for workers to run in."""
    folder = tmp_path / "cwd"
    folder.mkdir()
    with place(kafka, database, folder) as ready:
        yield ready


@pytest.mark.long
def test_a_commit_without_an_answer_is_said(here: WorkerSite) -> None:
    """While Kafka leaves a commit unanswered, /health is not ready; with the answer it is again."""
    worker = here.start(COMMIT_WAITS_FOR_A_FILE)
    worker.wait_until_ready()
    here.emit(some_events(10))
    eventually(lambda: not worker.is_ready(), "not ready while the commit waits")
    assert "no answer to a commit" in worker.health()[1]["kafka"]["reason"]

    (here.folder / "answer").touch()
    eventually(worker.is_ready, "ready once the commit is answered")
    worker.wait_for("records_stored_total", 10)
    assert worker.end() == 0
