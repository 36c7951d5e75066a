"""What ClickHouse reads for `verify` of seals: what is new alone, and the log once for all seals that lie apart."""

import base64
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from made_keys import made_key
from proven import ORIGIN, ProvenLog, log_key
from sealing_scene import START, Logger, judged
from trailhouse.operate.verify.duties.seals import seals
from trailhouse.operate.verify.duties.standings import whole_seals
from trailhouse.operate.verify.duties.standings.whole_seals import attested_versions
from trailhouse.operate.verify.logs import LogId
from trailhouse.operate.verify.report import Outcome
from trailhouse.operate.verify.state import Kept
from trailhouse.operate.verify.verifying import verify
from trailhouse.proof.config import ProofConfig
from trailhouse.proof.keys import is_signed_by, note_signed
from trailhouse.proof.policy import LogKey, Policy, owner_name
from trailhouse.proof.seal import SEAL_TYPE, Seal
from trailhouse.proof.seal_check import check_seal
from trailhouse.schemas import AuditEvent
from trailhouse.store import ClickHouse, ClickHouseConfig
from trailhouse.store.clickhouse import Result
from trailhouse.store.policies import store_policy

pytestmark = pytest.mark.cluster

LOG = "audit.example.org/agents"
OWNER = made_key(9)
SYNC = "SETTINGS mutations_sync = 2"
WHEN_US = round(START.timestamp() * 1_000_000)
WHEN = (WHEN_US, WHEN_US)
"""From when until when all events occurred."""


class Counted(ClickHouse):
    """Counts the statements that it is asked."""

    asked = 0

    def query(self, *args: Any, **options: Any) -> Result:
        """Do what `ClickHouse.query` does."""
        self.asked += 1
        return super().query(*args, **options)

    def read_bytes(self) -> int:
        """Return how much ClickHouse has read for statements until now."""
        sql = "SELECT value FROM system.events WHERE event = 'SelectedBytes'"
        return int(super().query(sql).rows[0][0])


class Scene:
    """A log of the enrolled service `agents`, which may write for tenant a."""

    def __init__(self, clickhouse: Counted, folder: Path) -> None:
        self.clickhouse = clickhouse
        self._log = ProvenLog(clickhouse, log_key(folder, LOG))
        self.key = made_key(11)
        log_keys = (LogKey(public_key=base64.b64encode(made_key(1).public_key).decode()),)
        service = Logger("agents", "", self.key).key("a")
        self.policy = Policy(log_name=LOG, version=1, log_keys=log_keys, services=(service,))
        store_policy(clickhouse, self.policy, note_signed(self.policy.text, OWNER, owner_name(LOG)))

    def put(self, events: Sequence[AuditEvent]) -> None:
        """Store *events* as a worker would."""
        self._log.store({0: events}, appended_ms=round((time.time() - 60) * 1_000))

    def sealed(self, producer: str, count: int) -> list[Seal]:
        """Store *count* seals of two events each, have them judged, and return every second one."""
        logger = Logger("agents", producer, self.key)
        for place in range(count):
            logger.log(tenant_id="a")
            logger.log(tenant_id="a")
            logger.seal(is_last=place == count - 1)
        self.put(logger.events)
        judged(self.clickhouse, self.policy)
        carriers = [each for each in logger.events if each.type == SEAL_TYPE]
        return [check_seal(each.data, self.policy, is_signed_by).seal for each in carriers[::2]]

    def hide(self, seal: Seal) -> tuple[int, str]:
        """Take the standing of the last event of *seal* away; return when it occurred, and its key."""
        key = f"producer_id = '{seal.producer_id}' AND seq = {seal.last_seq}"
        [event] = self.clickhouse.query(
            f"SELECT occurred_us, hex(record_key) FROM event_log WHERE {key}"
        ).rows
        self.clickhouse.command(
            f"ALTER TABLE event_standings DELETE WHERE hex(record_key) = '{event[1]}' {SYNC}"
        )
        return int(event[0]), str(event[1])

    def show(self, event: tuple[int, str]) -> None:
        """Have *event* be shown as attested, as the worker does."""
        self.clickhouse.command(
            f"INSERT INTO event_standings VALUES ({event[0]}, unhex('{event[1]}'), 'attested', 7)"
        )

    def verified(self, seen: int = 0) -> Outcome:
        """Return what the seals' duty finds, where an earlier run has *seen* so many offsets."""
        log = LogId(*ORIGIN, 0, "1")
        kept = Kept(log=log, size=seen, roots=("00" * 32,) * seen.bit_count(), checkpoint="")
        proof = ProofConfig(log_name=LOG, owner_key=base64.b64encode(OWNER.public_key).decode())
        since = {log: kept} if seen else None
        [report] = verify(self.clickhouse, proof=proof, duties=(seals.DUTY,), since=since).duties
        return report.verdict


@pytest.fixture
def scene(database: ClickHouseConfig, tmp_path: Path) -> Iterator[Scene]:
    """Return a log without an event."""
    with Counted(database) as clickhouse:
        yield Scene(clickhouse, tmp_path)


def test_of_what_an_earlier_run_has_seen_no_record_is_read(scene: Scene) -> None:
    """However much the logger that goes on has logged until then; a run that begins anew reads all of it."""
    scene.clickhouse.command("SYSTEM STOP MERGES event_log")
    logger = Logger("agents", "p1", scene.key)
    heavy = {"text": "x" * 100_000}
    for _ in range(8):
        scene.put([logger.log(tenant_id="a", data=heavy) for _ in range(8)])
    scene.put([logger.seal()])
    scene.put([logger.log(tenant_id="a"), logger.seal()])
    before = scene.clickhouse.read_bytes()
    assert scene.verified(seen=65) is Outcome.INTACT
    assert scene.clickhouse.read_bytes() - before < 3_000_000
    before = scene.clickhouse.read_bytes()
    assert scene.verified() is Outcome.INTACT
    assert scene.clickhouse.read_bytes() - before > 6_400_000


def test_seals_that_lie_apart_are_counted_together(scene: Scene) -> None:
    """As many statements as for one, each of which reads the log; and one record that is not shown so is told."""
    apart = scene.sealed("p1", 9)
    asked = scene.clickhouse.asked
    assert attested_versions(scene.clickhouse, apart, WHEN) == {7}
    assert scene.clickhouse.asked == asked + 2
    scene.hide(apart[3])
    assert attested_versions(scene.clickhouse, apart, WHEN) is None
    assert attested_versions(scene.clickhouse, apart[:3], WHEN) == {7}


def test_more_stretches_than_a_statement_takes_are_all_counted(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of a logger that has more than the others, too."""
    monkeypatch.setattr(whole_seals, "MOST_STRETCHES", 2)
    apart = [*scene.sealed("p1", 9), *scene.sealed("p2", 3)]
    for seal in apart:
        hidden = scene.hide(seal)
        assert attested_versions(scene.clickhouse, apart, WHEN) is None
        scene.show(hidden)
    assert attested_versions(scene.clickhouse, apart, WHEN) == {7}
