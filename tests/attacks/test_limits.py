"""What nobody finds, as docs/threats.md says: of each limit what a reader believes, and what is noted all the same."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from attack import without
from attack_choice import told
from attack_copies import a_log
from attack_scene import HOUR_MS, AttackedLog, Commit, a_history, make_keys
from cluster import Cluster
from sealing_scene import claimed
from trailhouse.operate.verify.report import Outcome
from trailhouse.schemas import AuditEvent

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(bool(without()), reason="all duties are done"),
]

LATER_MS = 2 * HOUR_MS - 150_000
ADDED = AuditEvent(
    type="tool_approval_granted", session_id="s0", tenant_id="a", data={"approval_id": "k"}
)


@pytest.fixture
def log(cluster: Cluster, tmp_path: Path) -> Iterator[AttackedLog]:
    """Return a log whose end is about to be written by somebody else."""
    keys = make_keys(tmp_path)
    with a_log(cluster.clickhouse_config, keys, tmp_path / "anchors") as log:
        log.store(a_history(keys))
        yield log


def test_an_event_that_nobody_seals_and_the_logs_key_has_signed_is_not_found(
    log: AttackedLog,
) -> None:
    """It stands as one that nobody attests; the next worker signs another generation, and notes that Kafka differs."""
    log.store_more(Commit({2: [ADDED]}, {2: 6}, LATER_MS))
    true = [claimed("legacy", "p9", n, session_id="old", tenant_id="a") for n in range(4, 8)]
    log.store_more(Commit({2: true}, {2: 6}, LATER_MS), {2: 6})
    log.anchor_under(log.policy())

    report = log.verify()
    assert report.verdict is Outcome.INTACT, told(report)
    shown = "SELECT standing FROM events_with_standing WHERE event_id = {id:UUID}"
    assert log.clickhouse.query(shown, {"id": ADDED.event_id}).rows == [("unattested",)]
    forks = "SELECT first_offset, last_offset FROM incidents WHERE kind = 'forked'"
    assert [tuple(row) for row in log.clickhouse.query(forks).rows] == [(6, 6)]
