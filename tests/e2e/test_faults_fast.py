"""A quick selection of the faults, under the oracle's eyes; all of them are in tests/faults."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from fault_proxy import Action, http_proxy
from fault_scene import Scene, numbered, pause, scene
from faulty_programs import at
from trailhouse.schemas import KafkaConfig
from trailhouse.store import ClickHouseConfig
from waiting import DEADLINE_SECONDS, eventually

pytestmark = pytest.mark.cluster

INSERT = "trailhouse.store.clickhouse:ClickHouse.insert"


@pytest.fixture
def stage(kafka: KafkaConfig, database: ClickHouseConfig, tmp_path: Path) -> Iterator[Scene]:
    """Return a fresh topic and database under the oracle's eyes, without workers and producers."""
    with scene(kafka, database, tmp_path) as ready:
        yield ready


@pytest.mark.long
def test_killed_producer_and_killed_worker(stage: Scene) -> None:
    """Producers and workers killed under load, at an exact instant and at any: nothing lost, nothing seen twice."""
    doomed = stage.worker(at(INSERT, "after", "kill", table="event_log", nth=2))
    for _ in range(3):
        load = stage.load(rate=600)
        load.wait_for(load.taken + 150)
        load.kill()
    assert doomed.process.wait(DEADLINE_SECONDS) == -signal.SIGKILL
    stage.worker()
    stage.start_and_end_a_logger()
    stage.settle()
    assert not stage.spooled_folders(), "expected every spool to be settled and gone"


@pytest.mark.long
def test_lost_replies_and_a_zombie(stage: Scene) -> None:
    """Inserts whose answers get lost, and a worker stopped meanwhile: every look shows each event once."""
    with http_proxy(stage.place.database.url) as proxy:

        def lose_the_first_two(query: str) -> Action:
            return "drop_reply" if "INSERT" in query and proxy.dropped < 2 else "pass"

        proxy.rule = lose_the_first_two
        stage.emit(numbered(600))
        worker = stage.worker(clickhouse_url=proxy.url)
        eventually(lambda: proxy.dropped == 2, "lost replies")
        worker.process.send_signal(signal.SIGSTOP)
        pause(1.0)
        worker.process.send_signal(signal.SIGCONT)
        stage.settle()


def test_a_spool_that_no_broker_has_seen(stage: Scene) -> None:
    """A producer killed before anything was sent: the next start sends all of it, in order."""
    load = stage.load(stage.offline(), events=200, rate=0)
    load.wait_for(200)
    load.kill()
    stage.worker()
    stage.start_and_end_a_logger()
    view = stage.settle()
    assert len(view) == 200, f"expected 200 events, got {len(view)}"
