"""A broker that comes back with less than it had acknowledged: what it takes then is stored, at whatever offset."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from broker_disk import BrokerDisk
from cluster import Cluster
from trailhouse.broker.topic_identity import TopicIdentity
from trailhouse.schemas import AuditEvent, KafkaConfig
from trailhouse.store import ClickHouseConfig
from waiting import eventually
from worker_process import WorkerSite, place, some_events

pytestmark = [pytest.mark.cluster, pytest.mark.long]

STORED, CUT_AT = 60, 20


class Scene:
    """A topic whose partition 0 is stored up to its end."""

    def __init__(self, here: WorkerSite, cluster: Cluster) -> None:
        self.here = here
        self._cluster = cluster
        self._group = f"{here.kafka.topic}-group"
        self.events = some_events(STORED)
        # A batch that begins below goes as a whole.
        self.send(self.events[:CUT_AT])
        self.send(self.events[CUT_AT:])

    def send(self, events: Sequence[AuditEvent]) -> None:
        """Put *events* into partition 0."""
        self.here.send([event.record for event in events])

    def cut_off(self) -> None:
        """Take away what lies from CUT_AT on, as the election of a leader that lags does."""
        if self._cluster.stack is None:
            pytest.skip("the broker of a container keeps its files to itself")
        BrokerDisk(self._cluster.stack, self.here.kafka.topic, 0).cut(CUT_AT)

    def wait_until_all_is_stored(self, events: Sequence[AuditEvent]) -> None:
        """Wait until readers see what was stored before, and *events*."""
        wanted = sorted(event.record for event in [*self.events, *events])
        eventually(
            lambda: self.here.stored_records() == wanted,
            f"all of {len(wanted)} events",
        )
        eventually(self._is_committed, "all of it committed")

    def _is_committed(self) -> bool:
        with TopicIdentity(self.here.kafka) as admin:
            [part] = [each for each in admin.lag(self._group) if each.partition == 0]
        return part.committed_offset == part.end_offset

    def incidents(self) -> list[tuple[str, int, int]]:
        """Return kind, first and last offset of each."""
        rows = self.here.rows(
            "SELECT kind, first_offset, last_offset FROM incidents ORDER BY kind, first_offset"
        )
        return [(str(kind), int(first), int(last)) for kind, first, last in rows]


@pytest.fixture
def scene(
    cluster: Cluster, kafka: KafkaConfig, database: ClickHouseConfig, tmp_path: Path
) -> Iterator[Scene]:
    """Return one."""
    with place(kafka, database, tmp_path) as here:
        yield Scene(here, cluster)


def test_what_came_while_nobody_read_is_stored(scene: Scene) -> None:
    """It lies below the committed offset, where other records were: reading begins at the first of them."""
    worker = scene.here.start()
    scene.wait_until_all_is_stored([])
    assert worker.end() == 0
    scene.cut_off()
    later = some_events(3 * STORED)
    scene.send(later)
    scene.here.start()
    scene.wait_until_all_is_stored(later)
    assert ("truncated", CUT_AT, STORED - 1) in scene.incidents()


@pytest.mark.parametrize("has_read", [True, False])
def test_what_comes_while_a_worker_runs_is_stored(scene: Scene, *, has_read: bool) -> None:
    """It stands at an offset that is within the log again before it asks for more, whether it has read since or not."""
    worker = scene.here.start()
    scene.wait_until_all_is_stored([])
    if not has_read:
        assert worker.end() == 0
        worker = scene.here.start()
        worker.wait_until_ready()
    scene.cut_off()
    later = some_events(3 * STORED)
    scene.send(later)
    scene.wait_until_all_is_stored(later)
    assert worker.process.poll() is None, worker.log
    assert ("truncated", CUT_AT, STORED - 1) in scene.incidents()
