"""Where logs and keys end: rows above the last leaf, keys that follow upon others, and loggers that were killed."""

import base64
import datetime as dt
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kafka_records import Record
from made_keys import made_key
from proven import LOG_NAME, ProvenLog, log_key
from sealing_scene import Logger, claimed
from stored import Placed
from trailhouse.broker.origin import Origin
from trailhouse.consumer.batch.batch import Batch, Limits
from trailhouse.consumer.batch.writer import BatchWriter
from trailhouse.consumer.monitoring.stored_ends import ends_block
from trailhouse.operate.proof_keys.closing import rotated
from trailhouse.operate.verify.duties import rows
from trailhouse.operate.verify.duties.leaves import leaves, tails
from trailhouse.operate.verify.duties.seals import seals
from trailhouse.operate.verify.duty import Duty
from trailhouse.operate.verify.report import DutyReport
from trailhouse.operate.verify.verifying import verify
from trailhouse.proof.config import ProofConfig
from trailhouse.proof.keys import note_signed, read_key_file
from trailhouse.proof.policy import LogKey, Policy, owner_name
from trailhouse.schemas import AuditEvent
from trailhouse.store import ClickHouse, ClickHouseConfig
from trailhouse.store.policies import store_policy
from worker_rows import store_rows

pytestmark = pytest.mark.cluster

OWNER = made_key(41)
ORIGIN = Origin("cluster-1", "trailhouse.events", "topic-1")


class Scene:
    """A proven log with a policy, of which the service `agents` seals."""

    def __init__(self, clickhouse: ClickHouse, folder: Path) -> None:
        self.clickhouse = clickhouse
        self.logger = Logger("agents", "p1")
        key = log_key(folder)
        self.log = ProvenLog(clickhouse, key, ORIGIN)
        public = read_key_file(Path(key.key_file)).public_key
        self.policy = Policy(
            log_name=LOG_NAME,
            version=1,
            log_keys=(LogKey(public_key=base64.b64encode(public).decode()),),
            services=(self.logger.key("a"),),
        )
        self.publish(self.policy)
        pin = base64.b64encode(OWNER.public_key).decode()
        self.proof = ProofConfig(log_name=LOG_NAME, owner_key=pin)

    def publish(self, policy: Policy) -> None:
        """Put *policy* into force."""
        store_policy(self.clickhouse, policy, note_signed(policy.text, OWNER, owner_name(LOG_NAME)))

    def put(self, events: list[AuditEvent], partition: int, *, ago_seconds: float) -> None:
        """Store and sign *events*, which the broker took so long ago."""
        self.log.store({partition: events}, appended_ms=ago_ms(ago_seconds))

    def said(self, duty: Duty) -> DutyReport:
        """Return what *duty* says."""
        return verify(self.clickhouse, proof=self.proof, duties=(duty,)).duties[0]

    def found(self, duty: Duty) -> set[str]:
        """Return the kinds of what *duty* finds."""
        return {each.kind for each in self.said(duty).findings}


@pytest.fixture
def scene(database: ClickHouseConfig, tmp_path: Path) -> Iterator[Scene]:
    """Return a log without a record."""
    with ClickHouse(database) as clickhouse:
        yield Scene(clickhouse, tmp_path)


def ago_ms(seconds: float) -> int:
    """Return the time so long ago in milliseconds since 1970."""
    return round((time.time() - seconds) * 1_000)


def notes(count: int) -> list[AuditEvent]:
    """Return some events that nobody seals."""
    return [AuditEvent(type="note", session_id=f"s{number}") for number in range(count)]


@pytest.mark.long
def test_a_row_at_the_end_is_found_once_the_topic_has_moved_on(scene: Scene) -> None:
    """A killed worker leaves such rows, and the next one reads them again; minutes later nobody has."""
    scene.put(notes(3), 0, ago_seconds=600)
    scene.put(notes(2), 1, ago_seconds=600)
    [added] = notes(1)
    store_rows(scene.clickhouse.config, [Placed(added, 0, 3, ago_ms(300))])
    young = scene.said(rows.DUTY)
    assert not young.findings
    assert any("have no leaf yet" in reason for reason in young.reasons)

    _entered_earlier(scene, 10, "1")
    assert not scene.said(rows.DUTY).findings, "expected nothing where no worker has come since"
    scene.put(notes(1), 1, ago_seconds=130)
    assert not scene.said(rows.DUTY).findings, "expected nothing where a worker has just come"
    _entered_earlier(scene, 2, "first_offset = 2")
    scene.put(notes(1), 1, ago_seconds=5)
    assert scene.found(rows.DUTY) == {"row_without_leaf"}


@pytest.mark.long
def test_a_row_that_kafka_did_not_have_is_found_in_a_quiet_topic(scene: Scene) -> None:
    """A worker has noted long after the row's time that its partition, and not another one, ended below it."""
    scene.put(notes(3), 0, ago_seconds=3_600)
    [added] = notes(1)
    store_rows(scene.clickhouse.config, [Placed(added, 0, 3, ago_ms(3_000))])
    now = dt.datetime.now(dt.UTC)
    scene.clickhouse.insert(ends_block(ORIGIN, {1: 0}, now))
    scene.clickhouse.insert(ends_block(ORIGIN, {0: 3}, now - dt.timedelta(seconds=3_100)))
    assert not scene.said(rows.DUTY).findings
    scene.clickhouse.insert(ends_block(ORIGIN, {0: 3}, now))
    assert scene.found(rows.DUTY) == {"row_without_leaf"}


@pytest.mark.long
def test_a_row_of_a_partition_that_no_worker_serves_is_no_finding(scene: Scene) -> None:
    """A killed worker has left it, and whoever has the partition stands still while others go on."""
    scene.put(notes(3), 0, ago_seconds=600)
    [left] = notes(1)
    store_rows(scene.clickhouse.config, [Placed(left, 0, 3, ago_ms(590))])
    _entered_earlier(scene, 10, "1")
    scene.put(notes(1), 1, ago_seconds=130)
    _entered_earlier(scene, 2, "kafka_partition = 1")
    scene.put(notes(1), 1, ago_seconds=5)
    assert scene.found(rows.DUTY) == {"row_without_leaf"}
    now = dt.datetime.now(dt.UTC)
    scene.clickhouse.insert(ends_block(ORIGIN, {1: 2}, now))
    said = scene.said(rows.DUTY)
    assert not said.findings
    assert any("have no leaf yet" in reason for reason in said.reasons)


@pytest.mark.long
def test_rows_of_a_partition_without_a_leaf_are_found_unless_a_killed_worker_may_have_left_them(
    scene: Scene,
) -> None:
    """From its very first offset on, where nothing shows that Kafka has the partition; other rows wait for a worker."""
    [left, added] = notes(2)
    store_rows(scene.clickhouse.config, [Placed(left, 1, 0, ago_ms(5))])
    assert scene.found(rows.DUTY) == set(), "expected nothing where nothing was proven yet"
    scene.put(notes(3), 0, ago_seconds=30)
    assert scene.found(rows.DUTY) == {"row_without_leaf"}
    scene.clickhouse.insert(ends_block(ORIGIN, {1: 0}, dt.datetime.now(dt.UTC)))
    said = scene.said(rows.DUTY)
    assert not said.findings
    assert any("1 rows from offset 0 to 0 have no leaf yet" in each for each in said.reasons), said
    store_rows(scene.clickhouse.config, [Placed(added, 2, 0, ago_ms(5))])
    assert scene.found(rows.DUTY) == {"row_without_leaf"}


@pytest.mark.parametrize(("seconds_behind", "found"), [(2, set()), (270, {"uncovered"})])
def test_an_end_that_a_clock_behind_has_dated_is_no_finding(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, seconds_behind: int, found: set[str]
) -> None:
    """A worker was killed before it signed, after another leader had come whose clock is behind by seconds."""
    monkeypatch.setattr(tails, "SIGNED_WITHIN_SECONDS", 0.0)
    scene.put(notes(3), 0, ago_seconds=30)
    scene.put(notes(2), 0, ago_seconds=30 + seconds_behind)
    for table, where in (("log_checkpoints", "size > 3"), ("batch_ledger", "last_offset > 2")):
        scene.clickhouse.command(
            f"ALTER TABLE {table} DELETE WHERE {where} SETTINGS mutations_sync = 2"
        )
    said = scene.said(leaves.DUTY)
    assert {each.kind for each in said.findings} == found
    assert found or any("nobody has signed its end yet" in reason for reason in said.reasons)


def test_leaves_above_where_a_worker_saw_the_partition_end_are_found(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has signed them, and no worker will; what came about then may be one's that was killed."""
    monkeypatch.setattr(tails, "SIGNED_WITHIN_SECONDS", 0.0)
    scene.put(notes(3), 0, ago_seconds=6_000)
    scene.put(notes(1), 0, ago_seconds=3_000)
    scene.clickhouse.command("DELETE FROM log_checkpoints WHERE size = 4")
    now = dt.datetime.now(dt.UTC)
    for end_offset, seconds_ago in ((3, 2_500), (4, 1_000)):
        asked_at = now - dt.timedelta(seconds=seconds_ago)
        scene.clickhouse.insert(ends_block(ORIGIN, {0: end_offset}, asked_at))
        said = scene.said(leaves.DUTY)
        assert not said.findings, end_offset
        assert any("nobody has signed its end yet" in reason for reason in said.reasons), said
    scene.clickhouse.insert(ends_block(ORIGIN, {0: 3}, now))
    assert scene.found(leaves.DUTY) == {"uncovered"}


def test_rows_that_a_worker_reaches_while_verify_looks_are_no_finding(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that comes back stores again what has no leaf, and its leaves may come right after the last look."""
    scene.put(notes(3), 0, ago_seconds=600)
    [added] = notes(1)
    store_rows(scene.clickhouse.config, [Placed(added, 0, 3, ago_ms(300))])
    ask = ClickHouse.query
    came = count()

    def query(self: ClickHouse, statement: str, *given: Any, **named: Any) -> Any:
        if "argMax(appended_ms, kafka_offset)" in statement and not next(
            came
        ):  # the last look is over
            scene.log.store({0: [added, *notes(1)]}, appended_ms=ago_ms(300))
        return ask(self, statement, *given, **named)

    monkeypatch.setattr(ClickHouse, "query", query)
    said = scene.said(rows.DUTY)
    assert next(came), "expected verify to look for the last leaf"
    assert not said.findings
    assert not said.reasons


@pytest.mark.long
def test_quarantine_that_a_killed_worker_left_is_no_finding(scene: Scene) -> None:
    """It is stored before its leaf, as events are; one that stands higher than the next offsets was added."""
    scene.put(notes(3), 0, ago_seconds=30)
    _quarantine(scene, 3, ago_ms(10))
    said = scene.said(rows.DUTY)
    assert not said.findings
    assert any("1 rows from offset 3 to 3 have no leaf yet" in reason for reason in said.reasons), (
        said
    )
    _quarantine(scene, 300, ago_ms(5))
    assert scene.found(rows.DUTY) == {"row_without_leaf"}


def _quarantine(scene: Scene, offset: int, appended_ms: int) -> None:
    """Store a record that is no event as a worker does which is killed before it writes the leaf."""
    batch = Batch(Limits(rows=10, size_bytes=10_000), time.monotonic)
    batch.add([Record(b"no event", partition=0, offset=offset, appended_ms=appended_ms)])
    assert batch.bad
    BatchWriter(scene.clickhouse, ORIGIN, lambda: dt.datetime.now(dt.UTC)).store(batch)


def _entered_earlier(scene: Scene, minutes: int, which: str) -> None:
    """Have the batches of *which* been entered so many minutes before."""
    scene.clickhouse.command(
        f"ALTER TABLE batch_ledger UPDATE written_at = written_at - INTERVAL {minutes} MINUTE WHERE {which}"
        " SETTINGS mutations_sync = 2"
    )


def test_a_key_that_follows_has_signed_where_it_begins(scene: Scene) -> None:
    """A rotation leaves a checkpoint of each log that both keys have signed; who takes it away is found."""
    scene.put(notes(3), 0, ago_seconds=60)
    scene.publish(rotated(scene.clickhouse, scene.policy, made_key(42), 1))
    assert scene.said(leaves.DUTY).findings == ()
    assert scene.found(leaves.DUTY) == set()
    scene.clickhouse.command(
        "DELETE FROM log_checkpoints WHERE length(checkpoint) = (SELECT max(length(checkpoint)) FROM log_checkpoints)"
    )
    assert scene.found(leaves.DUTY) == {"rotation_unsigned"}


def test_a_logger_that_was_killed_is_no_finding_while_its_spool_may_be_adopted(
    scene: Scene,
) -> None:
    """Nothing came of it since its seal: for some minutes that could not be checked; it goes on unsealed: found."""
    event, seal = scene.logger.log(tenant_id="a"), scene.logger.seal()
    scene.put([event, seal], 0, ago_seconds=400)
    scene.put([claimed("other", "q", 0)], 1, ago_seconds=5)
    said = scene.said(seals.DUTY)
    assert not said.findings
    assert any("agents p1 has sealed nothing after" in reason for reason in said.reasons), said

    scene.put([scene.logger.log(tenant_id="a")], 0, ago_seconds=4)
    assert scene.found(seals.DUTY) == {"seal_overdue"}


def test_a_logger_that_was_killed_before_its_first_seal_is_no_finding_either(scene: Scene) -> None:
    """For as long as one that was killed later, though the policy demands seals; it goes on unsealed: found."""
    first = scene.policy
    demanding = {"version": 2, "previous": first.sha256, "unsealed_tenants": ("",)}
    scene.publish(msgspec.structs.replace(first, **demanding))
    scene.put([scene.logger.log(tenant_id="a")], 0, ago_seconds=600)
    scene.put([claimed("other", "q", 0)], 1, ago_seconds=5)
    said = scene.said(seals.DUTY)
    assert not said.findings
    assert any("killed before its first seal" in reason for reason in said.reasons), said

    scene.put([scene.logger.log(tenant_id="a")], 0, ago_seconds=4)
    assert scene.found(seals.DUTY) == {"unsealed_event"}
