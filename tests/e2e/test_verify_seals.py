"""Seals, held by verify against what is stored: whatever Kafka lost or gained before storage is found."""

import base64
import datetime as dt
import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from made_keys import made_key
from proven import ORIGIN, ProvenLog, log_key
from sealing_scene import Logger, claimed
from trailhouse.consumer.monitoring.stored_ends import ends_block
from trailhouse.operate.erase.blank import blank
from trailhouse.operate.verify.duties.seals import lagging_logs, seals
from trailhouse.operate.verify.logs import LogId
from trailhouse.operate.verify.state import Kept
from trailhouse.operate.verify.verifying import verify
from trailhouse.proof.config import ProofConfig
from trailhouse.proof.erasure import Order, erasure_name
from trailhouse.proof.keys import note_signed
from trailhouse.proof.policy import LogKey, OperatorKey, Policy, ServiceKey, owner_name
from trailhouse.proof.seal import SEAL_TYPE, seal_session
from trailhouse.schemas import AuditEvent
from trailhouse.store import ClickHouse, ClickHouseConfig
from trailhouse.store.erasures import store_order
from trailhouse.store.policies import store_policy

pytestmark = pytest.mark.cluster

LOG = "audit.example.org/agents"
OWNER = made_key(9)
OPERATOR = made_key(8)


@pytest.fixture
def scene(database: ClickHouseConfig, tmp_path: Path) -> Iterator["Scene"]:
    """Return a log, and a logger of the enrolled service `agents`, which may write for tenants a and b."""
    with ClickHouse(database) as clickhouse:
        yield Scene(clickhouse, tmp_path)


class Scene:
    """A database with a policy."""

    def __init__(self, clickhouse: ClickHouse, folder: Path) -> None:
        self.clickhouse = clickhouse
        self.log = ProvenLog(clickhouse, log_key(folder, LOG))
        self.logger = Logger("agents", "p1")
        self.now = time.time()
        """From which all that is so long ago is counted, however long a test takes."""
        self.reasons: tuple[str, ...] = ()
        """What could not be checked when it was last looked for findings."""
        self.proof = ProofConfig(
            log_name=LOG, owner_key=base64.b64encode(OWNER.public_key).decode()
        )

    def put(
        self, events: Sequence[AuditEvent], partition: int = 0, ago_seconds: float = 60
    ) -> None:
        """Store *events* as a worker would."""
        at_ms = round((self.now - ago_seconds) * 1_000)
        self.log.store({partition: events}, appended_ms=at_ms)

    def served(self, ago_seconds: Mapping[int, float], *, topic_id: str = "") -> None:
        """Note so long ago that partitions were stored up to their ends, as a worker would."""
        origin = ORIGIN._replace(topic_id=topic_id or ORIGIN.topic_id)
        for partition, seconds in ago_seconds.items():
            asked_at = dt.datetime.fromtimestamp(self.now - seconds, dt.UTC)
            self.clickhouse.insert(ends_block(origin, {partition: 9}, asked_at))

    def found(
        self, services: Sequence[ServiceKey] | None = None, *, seen: int = 0, **policy: object
    ) -> set[str]:
        """Return the kinds of findings of the seals' duty, where an earlier run has *seen* so many offsets."""
        keys = services if services is not None else (self.logger.key("a", "b"),)
        log_keys = (LogKey(public_key=base64.b64encode(made_key(1).public_key).decode()),)
        made = Policy(log_name=LOG, version=1, log_keys=log_keys, services=tuple(keys), **policy)  # type: ignore[arg-type]  # fields of the policy
        store_policy(self.clickhouse, made, note_signed(made.text, OWNER, owner_name(LOG)))
        log = LogId(*ORIGIN, 0, "1")
        roots = ("00" * 32,) * seen.bit_count()
        since = {log: Kept(log=log, size=seen, roots=roots, checkpoint="")} if seen else None
        report = verify(self.clickhouse, proof=self.proof, duties=(seals.DUTY,), since=since)
        self.reasons = report.duties[0].reasons
        return {each.kind for each in report.findings}


def test_what_was_sealed_and_is_stored_is_in_order(scene: Scene) -> None:
    """Several seals, the last of which closes; copies, tenants, partitions, and strangers of another service."""
    events = [scene.logger.log(tenant_id="ab"[place % 2]) for place in range(6)]
    first = scene.logger.seal()
    later = scene.logger.log(tenant_id="a")
    last = scene.logger.seal(is_last=True)
    scene.put(events[:3], 1)
    scene.put([*events[3:], events[1], first], 0)
    scene.put([later, last, first, last, claimed("other", "p1", 2)], 0)
    assert scene.found() == set()


def test_a_record_that_kafka_lost_is_told(scene: Scene) -> None:
    """Its number is within a seal, and it is not stored."""
    events = [scene.logger.log(tenant_id="a") for _ in range(4)]
    scene.put([*events[:2], events[3], scene.logger.seal(is_last=True)])
    assert scene.found() == {"sealed_record_missing"}


def test_what_is_new_is_held_against_seals_old_and_new(scene: Scene) -> None:
    """Of what an earlier run has seen nothing is read, but where a stranger writes under a sealed number."""
    scene.put([*(scene.logger.log(tenant_id="a") for _ in range(4)), scene.logger.seal()])
    later = [scene.logger.log(tenant_id="a") for _ in range(3)]
    scene.put([later[0], later[2], scene.logger.seal()])
    assert scene.found(seen=5) == {"sealed_record_missing"}
    assert scene.found(seen=8) == set()
    scene.put([later[1]])
    assert scene.found(seen=8) == scene.found() == set()
    scene.clickhouse.command(
        "ALTER TABLE event_log DELETE WHERE seq = 1 SETTINGS mutations_sync = 2"
    )
    assert scene.found(seen=5) == set()
    assert scene.found() == {"sealed_record_missing"}
    scene.put([claimed("agents", "p1", 2, tenant_id="a")])
    assert scene.found(seen=9) == {"contradicts_seal", "sealed_record_missing"}


def test_what_a_killed_worker_has_not_come_to_is_not_said_to_be_lost(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has signed the end of the seal's log; of what was sealed long before, the records should be there."""
    monkeypatch.setattr(lagging_logs, "SIGNED_WITHIN_SECONDS", 0.5)
    events = [scene.logger.log(tenant_id="a") for _ in range(4)]
    scene.put([*events[:2], scene.logger.seal()])
    signed = int(scene.clickhouse.query("SELECT max(size) FROM log_checkpoints").rows[0][0])
    assert scene.found() == {"sealed_record_missing"}
    scene.clickhouse.command(
        "ALTER TABLE log_checkpoints DELETE WHERE true SETTINGS mutations_sync = 2"
    )
    assert scene.found() == set()
    assert ["let one run until it has" in each for each in scene.reasons] == [True]
    scene.put(events[2:], partition=1)
    assert scene.found() == set() == set(scene.reasons)
    scene.clickhouse.command(
        "ALTER TABLE event_log DELETE WHERE seq = 3 SETTINGS mutations_sync = 2"
    )
    scene.put([scene.logger.log(tenant_id="a") for _ in range(2)], ago_seconds=-120)
    scene.clickhouse.command(
        f"ALTER TABLE log_checkpoints DELETE WHERE kafka_partition = 0 AND size > {signed} SETTINGS mutations_sync = 2"
    )
    assert scene.found() == {"sealed_record_missing"}


def test_what_a_worker_catches_up_with_is_not_said_to_be_lost(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A partition grows while it is looked at, and is not as far as the seal; where it stands still, they are lost."""
    events = [scene.logger.log(tenant_id="a") for _ in range(4)]
    scene.put(events[:1], partition=1, ago_seconds=300)
    scene.put([scene.logger.seal()])
    left = [events[1]]

    def stored_meanwhile(_: float) -> None:
        if left:
            scene.put([left.pop()], partition=1, ago_seconds=250)
        monkeypatch.setattr(lagging_logs, "SETTLED_SECONDS", 0)

    monkeypatch.setattr(lagging_logs, "pause", stored_meanwhile)
    monkeypatch.setattr(lagging_logs, "SETTLED_SECONDS", 600)
    assert scene.found() == set() == set(left)
    assert ["let one run until it has" in each for each in scene.reasons] == [True]
    monkeypatch.setattr(lagging_logs, "SETTLED_SECONDS", 600)
    assert scene.found() == {"sealed_record_missing"}
    scene.put(events[2:], partition=1, ago_seconds=250)
    assert scene.found() == set() == set(scene.reasons)


def test_another_worker_is_given_the_time_to_take_a_partition_over(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one that was killed while it had nothing to do there is no trace: the seal must be a minute old."""
    event = scene.logger.log(tenant_id="a")
    scene.put([claimed("other", "p1", 2)], partition=1, ago_seconds=300)
    scene.put([scene.logger.seal()], ago_seconds=20)
    waited: list[float] = []

    def taken_over(seconds: float) -> None:
        waited.append(seconds)
        scene.put([event], partition=1, ago_seconds=15)

    monkeypatch.setattr(lagging_logs, "pause", taken_over)
    assert scene.found() == set() == set(scene.reasons)
    assert len(waited) == 1


def test_what_lies_in_a_partition_that_no_worker_serves_is_not_said_to_be_lost(
    scene: Scene,
) -> None:
    """Its end is signed, and nothing happens in it: that it was stored up to its end was noted before the seal."""
    events = [scene.logger.log(tenant_id="a") for _ in range(3)]
    scene.put(events[:1], partition=1, ago_seconds=900)
    scene.put([events[1], scene.logger.seal(is_last=True)], ago_seconds=600)
    scene.served({0: 300, 1: 605, 2: 300})
    assert scene.found() == set()
    assert ["up to the end of partition 1 since 20" in each for each in scene.reasons] == [True]
    scene.served({1: 300})
    assert scene.found() == {"sealed_record_missing"}
    scene.put(events[2:], partition=1, ago_seconds=601)
    assert scene.found() == set() == set(scene.reasons)


def test_a_partition_that_has_stored_nothing_yet_may_hold_what_was_sealed(scene: Scene) -> None:
    """A worker has noted that it was empty, and none has served it since."""
    scene.logger.log(tenant_id="a")
    scene.put([scene.logger.seal(is_last=True)], ago_seconds=600)
    scene.served({0: 300, 1: 700})
    assert scene.found() == set()
    assert ["up to the end of partition 1 since 20" in each for each in scene.reasons] == [True]


def test_what_nobody_serves_any_more_is_lost(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The topic was made anew, or a day has gone by: whoever keeps workers away hides nothing for longer."""
    scene.logger.log(tenant_id="a")
    scene.put([claimed("other", "p1", 2)], partition=1, ago_seconds=900)
    scene.put([scene.logger.seal(is_last=True)], ago_seconds=600)
    scene.served({0: 300, 1: 700})
    assert scene.found() == set()
    with monkeypatch.context() as patched:
        patched.setattr(lagging_logs, "UNSERVED_SECONDS", 599)
        assert scene.found() == {"sealed_record_missing"}
    scene.served({0: 300}, topic_id="another")
    assert scene.found() == {"sealed_record_missing"}


def test_it_is_waited_for_that_a_partition_is_noted_as_stored_up_to_its_end(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two minutes after the seal at most; what is missing then is lost."""
    scene.logger.log(tenant_id="a")
    scene.put([claimed("other", "p1", 2)], partition=1, ago_seconds=900)
    scene.put([scene.logger.seal(is_last=True)], ago_seconds=40)
    scene.served({0: 20, 1: 50})
    waited: list[float] = []

    def noted(seconds: float) -> None:
        waited.append(seconds)
        scene.served({1: 30})

    monkeypatch.setattr(lagging_logs, "pause", noted)
    assert scene.found() == {"sealed_record_missing"}
    assert len(waited) == 1


def test_a_strangers_record_is_told(scene: Scene) -> None:
    """It names service, logger and number of a sealed one, or a number after the last."""
    events = [scene.logger.log(tenant_id="a") for _ in range(2)]
    last = scene.logger.seal(is_last=True)
    scene.put([*events, last, claimed("agents", "p1", 1, tenant_id="a")])
    assert scene.found() == {"contradicts_seal"}


def test_a_record_after_the_last_is_told(scene: Scene) -> None:
    """The logger has said that it makes no more."""
    scene.put([scene.logger.log(), scene.logger.seal(is_last=True), claimed("agents", "p1", 7)])
    assert scene.found([scene.logger.key("*")]) == {"contradicts_seal"}


def test_a_tenant_that_the_service_may_not_write_for_is_told(scene: Scene) -> None:
    """Its own seal says that it did."""
    scene.put([scene.logger.log(tenant_id="c"), scene.logger.seal(is_last=True)])
    assert scene.found() == {"wrong_tenant"}


def test_a_seal_between_two_that_is_gone_is_told(scene: Scene) -> None:
    """The numbers that it was about are in none; and its own, which the next one is about, is missing."""
    events = [scene.logger.log(tenant_id="a")]
    first = scene.logger.seal()
    events.append(scene.logger.log(tenant_id="a"))
    scene.logger.seal()
    events.append(scene.logger.log(tenant_id="a"))
    scene.put([*events, first, scene.logger.seal(is_last=True)])
    assert scene.found() == {"seal_missing", "sealed_record_missing"}


def test_a_seal_by_another_key_is_told_and_says_nothing(scene: Scene) -> None:
    """A stranger has no key that the policy names, or does not have it: forged, whatever it is about."""
    other = Logger("agents", "p1", made_key(3))
    other.log(tenant_id="a")
    scene.put([scene.logger.log(tenant_id="a"), scene.logger.seal(is_last=True), other.seal()])
    assert scene.found() == {"forged_seal"}


def test_two_seals_that_differ_are_told(scene: Scene) -> None:
    """Who has the service's key too cannot take back what was sealed."""
    twin = Logger("agents", "p1", scene.logger.signer)
    scene.put([scene.logger.log(tenant_id="a"), scene.logger.seal()])
    scene.put([twin.log(tenant_id="b"), twin.seal()])
    assert "seals_differ" in scene.found()


def test_a_promised_seal_that_does_not_come_is_told_even_where_an_old_one_is_sent_again(
    scene: Scene,
) -> None:
    """What is due is told by the newest of all that is stored: a log that stands still owes nothing."""
    event, seal = scene.logger.log(tenant_id="a"), scene.logger.seal()
    scene.put([event, seal], ago_seconds=3_600)
    assert scene.found() == set()
    scene.put([seal, claimed("other", "q", 0)], ago_seconds=5)
    assert scene.found() == {"seal_overdue"}


def test_a_seal_that_may_lie_in_a_partition_that_no_worker_serves_is_not_overdue(
    scene: Scene,
) -> None:
    """Its logger goes on in another partition; once the one is served up to its end, the seal should be there."""
    scene.put([scene.logger.log(tenant_id="a"), scene.logger.seal()], ago_seconds=7_200)
    scene.put([scene.logger.log(tenant_id="a")], partition=1, ago_seconds=5)
    scene.served({0: 7_190, 1: 0})
    assert scene.found() == set()
    assert ["up to the end of partition 0 since 20" in each for each in scene.reasons] == [True]
    scene.served({0: 0})
    assert scene.found() == {"seal_overdue"}


def test_an_event_without_a_seal_is_told_where_the_policy_demands_one(scene: Scene) -> None:
    """For a tenant that nobody may write for without a key; its newest events may still be sealed."""
    scene.put([claimed("other", "q", 0, tenant_id="x")], ago_seconds=3_600)
    scene.put([claimed("other", "q", 1, tenant_id="y")], ago_seconds=3_600)
    scene.put([claimed("other", "q", 2, tenant_id="x")], ago_seconds=1)
    assert scene.found(unsealed_tenants=("y", "")) == {"unsealed_event"}


def test_an_event_whose_seal_may_lie_in_a_partition_that_no_worker_serves_could_not_be_checked(
    scene: Scene,
) -> None:
    """Of a service that seals; once the partition is served up to its end, the seal should be there."""
    scene.put([scene.logger.log(tenant_id="a")], ago_seconds=3_600)
    scene.put([claimed("other", "q", 0)], partition=1, ago_seconds=7_200)
    scene.put([claimed("other", "q", 1)], ago_seconds=5)
    scene.served({0: 0, 1: 7_190})
    assert scene.found(unsealed_tenants=("",)) == set()
    assert ["up to the end of partition 1 since 20" in each for each in scene.reasons] == [True]
    scene.served({1: 0})
    assert scene.found(unsealed_tenants=("",)) == {"unsealed_event"}
    assert not any("are not sealed" in each for each in scene.reasons)


def test_an_event_of_a_service_without_a_key_is_told_whatever_no_worker_serves(
    scene: Scene,
) -> None:
    """No seal of it is awaited anywhere."""
    scene.put([claimed("other", "q", 0, tenant_id="x")], ago_seconds=3_600)
    scene.put([claimed("other", "q", 1)], partition=1, ago_seconds=7_200)
    scene.put([claimed("other", "q", 2)], ago_seconds=5)
    scene.served({0: 0, 1: 7_190})
    assert scene.found(unsealed_tenants=("",)) == {"unsealed_event"}


def test_what_a_revoked_key_sealed_without_an_anchor_counts_for_nothing(scene: Scene) -> None:
    """Whoever stole it neither attests anything, nor is anybody's record told to be missing."""
    scene.put([scene.logger.log(tenant_id="a"), scene.logger.seal(is_last=True)])
    scene.put([claimed("agents", "p1", 0, tenant_id="a")])
    assert scene.found([scene.logger.key("a", last_anchor=3)]) == set()


def test_records_that_come_after_their_seal_are_waited_for(scene: Scene) -> None:
    """They lie in another partition, whose batch may be stored a little later; one that stays away is told."""
    scene.logger.log(tenant_id="a")
    scene.put([scene.logger.seal(is_last=True)], ago_seconds=8)
    assert scene.found() == {"sealed_record_missing"}


def _erased(scene: Scene, event: AuditEvent) -> tuple[OperatorKey]:
    """Erase *event* by order while others go on; return the operator."""
    digest = hashlib.sha256(event.record).digest()
    order = Order(LOG, "erase", 1, "ops", round(scene.now * 1_000), 0, "asked for", (digest,))
    store_order(scene.clickhouse, order, note_signed(order.text, OPERATOR, erasure_name(LOG)))
    blank(scene.clickhouse, [digest])
    scene.put([claimed("other", "p9", 0)], ago_seconds=10)
    scene.served({0: 10})
    return (OperatorKey(name="ops", public_key=base64.b64encode(OPERATOR.public_key).decode()),)


def test_an_erased_seal_excuses_nothing_after_it(scene: Scene) -> None:
    """What it covered is held against none; where its logger has sealed since, what is due after that is due."""
    for _ in range(2):
        scene.logger.log(tenant_id="a")
        scene.logger.seal()
    scene.put(scene.logger.events, ago_seconds=7_200)
    assert scene.found(operators=_erased(scene, scene.logger.events[1])) == {"seal_overdue"}


def test_an_erased_seal_of_what_another_left_is_that_others(scene: Scene) -> None:
    """It lies in the session of the logger that is gone, under a number of the one that has sealed it."""
    for is_last in (False, True):
        scene.logger.log(tenant_id="a")
        sealed = scene.logger.seal(is_last=is_last)
    carried = claimed("agents", "p2", 0, SEAL_TYPE, seal_session("p1"), data=sealed.data)
    scene.put([*scene.logger.events[:-1], carried], ago_seconds=7_200)
    assert scene.found(operators=_erased(scene, carried)) == set()
