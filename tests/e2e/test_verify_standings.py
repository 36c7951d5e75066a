"""Duty 15 on the real tables: what readers are shown of seals and standings, of whole seals and of others."""

import base64
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs

from made_keys import made_key
from proven import ORIGIN, ProvenLog, log_key
from sealing_scene import Logger, claimed, judged
from trailhouse.operate.erase.blank import blank
from trailhouse.operate.verify.duties.standings import rows as standing_rows
from trailhouse.operate.verify.duties.standings import standings
from trailhouse.operate.verify.duties.standings.rows import drawn_seals
from trailhouse.operate.verify.leaves import walk as leaf_walk
from trailhouse.operate.verify.logs import LogId
from trailhouse.operate.verify.rows.unseen import unseen
from trailhouse.operate.verify.state import Kept
from trailhouse.operate.verify.verifying import verify
from trailhouse.proof.config import ProofConfig
from trailhouse.proof.keys import note_signed
from trailhouse.proof.policy import LogKey, Policy, owner_name
from trailhouse.store import ClickHouse, ClickHouseConfig
from trailhouse.store.policies import store_policy

pytestmark = pytest.mark.cluster

LOG = "audit.example.org/agents"
OWNER = made_key(9)
SYNC = "SETTINGS mutations_sync = 2"


class Scene:
    """A log of the enrolled service `agents`, which may write for tenant a; what is put is judged at once."""

    def __init__(self, clickhouse: ClickHouse, folder: Path) -> None:
        self.clickhouse = clickhouse
        self.log = ProvenLog(clickhouse, log_key(folder, LOG))
        self.key = made_key(11)
        log_keys = (LogKey(public_key=base64.b64encode(made_key(1).public_key).decode()),)
        service = Logger("agents", "", self.key).key("a")
        self.policy = Policy(log_name=LOG, version=1, log_keys=log_keys, services=(service,))
        store_policy(clickhouse, self.policy, note_signed(self.policy.text, OWNER, owner_name(LOG)))
        self.end = 0

    def put_events(self, logger: Logger, partition: int = 0) -> None:
        """Store what *logger* has made, and judge."""
        at_ms = round((time.time() - 60) * 1_000)
        self.log.store({partition: logger.events}, appended_ms=at_ms)
        judged(self.clickhouse, self.policy)

    def show(self, standing: str, version: int, key: str) -> None:
        """Have readers be shown the event of *key* as *standing*, and nothing else of it."""
        self.attack(f"ALTER TABLE event_standings DELETE WHERE record_key IN ({key}) {SYNC}")
        self.attack(
            f"INSERT INTO event_standings SELECT occurred_us, record_key, '{standing}', {version}"
            f" FROM event_log WHERE record_key IN ({key})"
        )

    def erase(self, key: str) -> None:
        """Make the record of *key* blank, as an operator's order does."""
        [(digest,)] = self.clickhouse.query(
            f"SELECT hex(SHA256(record)) FROM event_log WHERE record_key IN ({key})"
        ).rows
        blank(self.clickhouse, [bytes.fromhex(digest)])

    def revoke(self) -> None:
        """Put a policy into force by which no seal of the service counts, and judge by it."""
        [service] = self.policy.services
        self.policy = structs.replace(
            self.policy,
            version=2,
            previous=self.policy.sha256,
            services=(structs.replace(service, last_anchor=1),),
        )
        note = note_signed(self.policy.text, OWNER, owner_name(LOG))
        store_policy(self.clickhouse, self.policy, note)
        judged(self.clickhouse, self.policy)

    def put(self, producer: str, events: int = 2, seals: int = 3) -> Logger:
        """Store *seals* of *events* each, and the last one; return their logger."""
        logger = Logger("agents", producer, self.key)
        for place in range(seals):
            for _ in range(events):
                logger.log(tenant_id="a")
            logger.seal(is_last=place == seals - 1)
        self.put_events(logger)
        self.end += len(logger.events)
        return logger

    def attack(self, sql: str) -> None:
        """Run *sql* as an administrator of ClickHouse would."""
        self.clickhouse.command(sql)

    def key_of(self, producer: str, seq: int) -> str:
        """Return the statement that gives the key of one record."""
        return f"SELECT record_key FROM event_log WHERE producer_id = '{producer}' AND seq = {seq}"

    def found(self, seen: int = 0) -> set[str]:
        """Return the kinds of what duty 15 finds, where an earlier run has *seen* so many offsets."""
        self.trusted: tuple[str, ...] = ()
        log = LogId(*ORIGIN, 0, "1")
        kept = Kept(log=log, size=seen, roots=("00" * 32,) * seen.bit_count(), checkpoint="")
        proof = ProofConfig(log_name=LOG, owner_key=base64.b64encode(OWNER.public_key).decode())
        [report] = verify(
            self.clickhouse,
            proof=proof,
            duties=(standings.DUTY,),
            since={log: kept} if seen else None,
        ).duties
        assert not report.reasons, report.reasons
        self.trusted = report.trusts
        return {each.kind for each in report.findings}


@pytest.fixture
def scene(database: ClickHouseConfig, tmp_path: Path) -> Iterator[Scene]:
    """Return a log in which two loggers have sealed all that they made."""
    with ClickHouse(database) as clickhouse:
        made = Scene(clickhouse, tmp_path)
        made.put("p1")
        made.put("p2")
        yield made


def test_of_whole_seals_no_record_is_read_one_by_one(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The seals' duty has seen that they are whole; that all are shown so, a count for all of them tells."""

    def fail(*_: object) -> None:
        raise AssertionError("a seal was taken for one that is not whole")

    monkeypatch.setattr(standings, "sealed_records", fail)
    assert scene.found() == set()


def test_copies_of_a_record_are_no_contradiction(scene: Scene) -> None:
    """A resend's row that no merge has met yet counts once."""
    scene.attack("INSERT INTO event_log SELECT * FROM event_log WHERE producer_id = 'p1'")
    assert scene.found() == set()


@pytest.mark.long
@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (
            f"ALTER TABLE event_standings DELETE WHERE record_key IN ({{key}}) {SYNC}",
            {"standing_missing"},
        ),
        (
            f"ALTER TABLE event_standings UPDATE standing = 'disputed' WHERE record_key IN ({{key}}) {SYNC}",
            {"standing_changed"},
        ),
        (
            "INSERT INTO event_standings SELECT occurred_us, record_key, 'attested', 4000000 FROM event_log"
            " WHERE record_key IN ({key})",
            {"standing_changed", "services_missing"},
        ),
        (
            f"ALTER TABLE seal_checks UPDATE verdict = 'broken' WHERE producer_id = 'p2' {SYNC}",
            {"check_changed"},
        ),
        (
            f"ALTER TABLE seal_checks UPDATE looks = 20 WHERE producer_id = 'p2' {SYNC}",
            {"check_changed"},
        ),
    ],
)
def test_what_is_shown_otherwise_is_found(scene: Scene, sql: str, expected: set[str]) -> None:
    """Of one event of a whole seal, or of a seal."""
    scene.attack(sql.format(key=scene.key_of("p2", 4)))
    assert scene.found() == expected


def test_a_standing_at_another_time_is_not_that_of_the_event(scene: Scene) -> None:
    """Readers look for it by time and key: beside the true one it was added, and alone it stands for none."""
    key = scene.key_of("p2", 4)
    scene.attack(
        "INSERT INTO event_standings SELECT occurred_us + 1, record_key, standing, ver FROM event_standings"
        f" WHERE record_key IN ({key})"
    )
    assert scene.found() == {"standing_of_nothing"}
    scene.attack(
        "ALTER TABLE event_standings DELETE WHERE (occurred_us, record_key) IN"
        f" (SELECT occurred_us, record_key FROM event_log WHERE record_key IN ({key})) {SYNC}"
    )
    assert scene.found() == {"standing_missing"}


def test_a_standing_of_another_record_does_not_stand_for_that_of_a_sealed_one(scene: Scene) -> None:
    """Not where the record has the number of the sealed one, nor where its key begins alike."""
    stranger = claimed("other", "p2", 4, tenant_id="a")
    scene.log.store({1: [stranger]}, appended_ms=round((time.time() - 60) * 1_000))
    assert scene.found() == set()
    scene.attack(
        "INSERT INTO event_standings SELECT occurred_us, record_key, 'attested', 7 FROM event_log"
        " WHERE kafka_partition = 1"
    )
    own = f"record_key IN ({scene.key_of('p2', 4)} AND kafka_partition = 0)"
    scene.attack(
        "INSERT INTO event_standings SELECT occurred_us,"
        " toFixedString(concat(substring(record_key, 1, 8), 'of other'), 16), 'attested', 7 FROM event_log"
        f" WHERE {own}"
    )
    scene.attack(f"ALTER TABLE event_standings DELETE WHERE {own} {SYNC}")
    assert scene.found() == {"standing_missing", "standing_of_nothing"}


def test_of_what_an_earlier_run_has_seen_some_is_looked_at_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old standing that was changed is found once its seal is drawn; how many were not is said."""
    seen = scene.end
    scene.put("p3")
    assert scene.found(seen) == set()
    assert not [each for each in scene.trusted if "drawn" in each], "all of six were looked at"
    scene.attack(
        f"ALTER TABLE event_standings DELETE WHERE record_key IN ({scene.key_of('p2', 4)}) {SYNC}"
    )
    assert scene.found(seen) == {"standing_missing"}

    monkeypatch.setattr(standing_rows, "DRAWN_SEALS", 1)
    of_victim = "SELECT record_key FROM event_log WHERE type = 'audit_sealed' AND producer_id = 'p2' AND seq = 5"
    [(victim,)] = scene.clickhouse.query(of_victim).rows
    new = unseen({(ORIGIN.cluster, ORIGIN.topic, ORIGIN.topic_id, 0): seen})
    for is_drawn, expected in ((True, {"standing_missing"}), (False, set[str]())):
        secret = next(
            secret
            for secret in (bytes([place]) * 16 for place in range(256))
            if (victim in drawn_seals(scene.clickhouse, new, secret).keys) is is_drawn
        )
        monkeypatch.setattr(leaf_walk, "new_secret", lambda secret=secret: secret)
        assert scene.found(seen) == expected
        assert "1 of 6 such seals" in " ".join(scene.trusted)
    assert scene.found() == {"standing_missing"}


def test_what_is_new_is_looked_at_in_every_run(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is drawn: a new event's standing that is taken away is found."""
    monkeypatch.setattr(standing_rows, "DRAWN_SEALS", 1)
    seen = scene.end
    scene.put("p3")
    scene.attack(
        f"ALTER TABLE event_standings DELETE WHERE record_key IN ({scene.key_of('p3', 1)}) {SYNC}"
    )
    assert scene.found(seen) == {"standing_missing"}


def test_an_erased_seal_excuses_no_standing_of_another_loggers_event(scene: Scene) -> None:
    """What it has named nobody knows any more, but that it was its own logger's."""
    nobody = Logger("other", "p9", made_key(3))
    nobody.log(tenant_id="a")
    scene.put_events(nobody, partition=1)
    scene.erase(scene.key_of("p1", 8))
    assert scene.found() == set()
    scene.show("attested", 7, scene.key_of("p9", 0))
    assert scene.found() == {"standing_of_nothing"}


def test_what_an_erased_seal_has_named_is_no_forgery_in_a_later_run(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not where an earlier run has seen the seal, and none of those is drawn."""
    monkeypatch.setattr(standing_rows, "DRAWN_SEALS", 0)
    seen = scene.end
    scene.erase(scene.key_of("p1", 2))
    scene.put("p3")
    assert scene.found(seen) == set()


def test_what_counted_before_a_key_was_revoked_does_not_come_back(scene: Scene) -> None:
    """A seal that was judged by the newer policy is judged no more: what the older one made of it is a forgery."""
    scene.revoke()
    assert scene.found() == set()
    scene.show("attested", 7, scene.key_of("p2", 4))
    assert scene.found() == {"standing_changed"}


def test_a_policy_that_no_worker_has_judged_by_yet_changes_nothing(scene: Scene) -> None:
    """What was written by the one before waits for a worker."""
    before = scene.policy
    scene.revoke()
    for table in ("seal_checks", "event_standings"):
        scene.attack(f"TRUNCATE TABLE {table}")
    judged(scene.clickhouse, before)
    assert scene.found() == set()


def test_what_waits_for_a_newer_policy_is_as_the_one_before_has_it(scene: Scene) -> None:
    """A worker that comes judges it again; what is shown until then is not what anybody likes."""
    before = scene.policy
    scene.revoke()
    for table in ("seal_checks", "event_standings"):
        scene.attack(f"TRUNCATE TABLE {table}")
    judged(scene.clickhouse, before)
    scene.show("disputed", 6, scene.key_of("p2", 4))
    assert scene.found() == {"standing_changed"}
    scene.attack(
        f"ALTER TABLE seal_checks UPDATE verdict = 'broken' WHERE producer_id = 'p1' {SYNC}"
    )
    assert scene.found() == {"standing_changed", "check_changed"}


@pytest.mark.parametrize("seen", [False, True])
def test_a_seal_that_does_not_count_names_nothing_where_none_has_judged_it(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, seen: bool
) -> None:
    """A stranger's is the last of its partition, and what was found of it is taken away; in a later run, too."""
    monkeypatch.setattr(standing_rows, "DRAWN_SEALS", 0)
    stranger = Logger("agents", "p9", made_key(3))
    stranger.log(tenant_id="a")
    stranger.seal()
    scene.put_events(stranger)
    end = scene.end + len(stranger.events)
    scene.attack(
        f"ALTER TABLE seal_checks DELETE WHERE service = 'agents' AND producer_id = 'p9' {SYNC}"
    )
    assert scene.found(end if seen else 0) == set()
    scene.show("attested", 7, scene.key_of("p9", 0))
    assert scene.found(end if seen else 0) == {"standing_of_nothing"}


def test_two_seals_of_some_numbers_excuse_no_other_number(scene: Scene) -> None:
    """Which of the two came first decides of those that both name, and of these alone, and as one of the two says."""
    logger = Logger("agents", "p6", scene.key)
    for _ in range(3):
        logger.log(tenant_id="a")
    logger.seal()
    logger.log(tenant_id="a")
    logger.seal(first_seq=2)
    scene.put_events(logger)
    assert scene.found() == set()
    for number in (0, 2):
        scene.show("disputed", 6, scene.key_of("p6", number))
        assert scene.found() == {"standing_changed"}, number
        scene.show("attested", 7, scene.key_of("p6", number))
        assert scene.found() == set(), number
    scene.attack(
        f"ALTER TABLE event_standings DELETE WHERE record_key IN ({scene.key_of('p6', 2)}) {SYNC}"
    )
    assert scene.found() == {"standing_missing"}
