"""Standing against the real engine: who stands behind a stored event, and that strangers change no attested answer."""

import base64
import datetime as dt
import hashlib
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from made_keys import made_key
from sealing_scene import LOG_NAME, ORIGIN, Logger, Scene, Topic, claimed, judged, policy_of
from trailhouse.operate.account.attested import attested
from trailhouse.operate.account.snapshot import Scope
from trailhouse.operate.erase.orders import Operator, erase
from trailhouse.operate.erase.sought import Found
from trailhouse.operate.verify.duties.standings.rows import MOST_TOLD, unnamed_standings
from trailhouse.proof.anchor import Anchor, anchor_name
from trailhouse.proof.checkpoint import Checkpoint
from trailhouse.proof.keys import FileSigner, note_signed
from trailhouse.proof.policy import OperatorKey
from trailhouse.proof.seal import SEAL_TYPE
from trailhouse.query import AuditReader
from trailhouse.schemas import AuditEvent
from trailhouse.store import ClickHouse, ClickHouseConfig
from trailhouse.store.tables import LOG_ANCHORS

pytestmark = pytest.mark.cluster


@pytest.fixture
def clickhouse(database: ClickHouseConfig) -> Iterator[ClickHouse]:
    """Return a connection to a database with every table."""
    with ClickHouse(database) as opened:
        yield opened


def standings(clickhouse: ClickHouse) -> dict[str, str]:
    """Return the standing of every stored event, by its id."""
    rows = clickhouse.query("SELECT toString(event_id), standing FROM events_with_standing").rows
    return dict(rows)


def of(events: list[AuditEvent], found: dict[str, str]) -> list[str]:
    """Return the standing of each of *events*."""
    return [found[each.event_id] for each in events]


def test_a_sealed_event_is_attested(clickhouse: ClickHouse) -> None:
    """What a seal of a service names that may write for its tenant is attested, its seals too; the rest is not."""
    logger, topic = Logger("billing", "p-1"), Topic(clickhouse)
    for tenant in ("acme", "acme", "globex"):
        logger.log(tenant_id=tenant)
    logger.seal()
    logger.log(tenant_id="acme")
    logger.seal(is_last=True)
    forged = [
        claimed("billing", "p-1", 1, tenant_id="acme", data={"forged": True}),
        claimed("billing", "p-1", 77, tenant_id="acme"),
        claimed("billing", "p-2", 0, tenant_id="acme"),
        claimed("other", "p-1", 1, tenant_id="acme"),
        AuditEvent(type="message_sent", session_id="s", tenant_id="acme"),
    ]
    topic.append([*forged, *logger.events])
    policy = policy_of([logger.key("acme")])
    assert judged(clickhouse, policy).seals == 2
    found = standings(clickhouse)
    assert of(logger.events, found) == [
        "attested", "attested", "disputed", "attested", "attested", "attested",
    ]  # fmt: skip
    assert of(forged, found) == [
        "disputed", "disputed", "unattested", "unattested", "unattested",
    ]  # fmt: skip


def test_an_event_that_was_erased_keeps_its_standing(clickhouse: ClickHouse) -> None:
    """Erased after its seal was judged, or before: the order names the digest that the seal names."""
    operator = made_key(8)
    logger, topic = Logger("billing", "p-1"), Topic(clickhouse)
    first, second = logger.log(tenant_id="acme"), logger.log(tenant_id="acme")
    policy = msgspec.structs.replace(
        policy_of([logger.key("acme")]),
        operators=(
            OperatorKey(name="ops", public_key=base64.b64encode(operator.public_key).decode()),
        ),
    )

    def erased(*events: AuditEvent) -> None:
        digests = tuple(sorted(hashlib.sha256(each.record).digest() for each in events))
        found = Found(digests=digests, sessions=(), hold_keys=frozenset())
        erase(clickhouse, policy, Operator(name="ops", signer=operator), found, reason="asked for")

    topic.append([first, second])
    erased(first)
    topic.append([logger.seal()])
    judged(clickhouse, policy)
    assert of([first, second], standings(clickhouse)) == ["attested", "attested"]
    erased(second)
    assert of([first, second], standings(clickhouse)) == ["attested", "attested"]
    rows = clickhouse.query("SELECT verdict, sealed, missing FROM seal_checks").rows
    assert rows == [("whole", 2, 0)]


ANSWERS = ("attested", "pending", "unattested", "disputed")


def attested_answers(reader: AuditReader) -> dict[str, Any]:
    """Return every answer that is of attested events alone."""
    only = "standing:attested"
    runs = reader.runs(only).items
    approvals = reader.approvals(only).value
    return {
        "search": [each.event_id for each in reader.search(only).items],
        "by append": [each.event_id for each in reader.search(only, by="append").items],
        "of a tenant": [each.event_id for each in reader.search(f"{only} tenant:acme").items],
        "count": reader.count(only).value,
        "histogram": reader.histogram(only, by="day").value,
        "facets": reader.facets(only, fields=["type"]).value,
        "log": [each.event_id for each in reader.get_audit_log("s", standing="attested")],
        "runs": msgspec.to_builtins(runs),
        "sessions": msgspec.to_builtins(reader.sessions(only).items),
        "usage": msgspec.to_builtins(reader.usage(only, by="agent").value),
        "costs": msgspec.to_builtins(reader.costs(only).value),
        "approvals": msgspec.to_builtins(approvals),
        "timeline": msgspec.to_builtins(reader.timeline("s", standing="attested").value),
        "run": msgspec.to_builtins(reader.timeline(run_id="run-1", standing="attested").value),
    }


def test_strangers_change_no_attested_answer(clickhouse: ClickHouse) -> None:
    """Whatever a stranger writes behind the true events, each attested answer is the one without him."""
    scene = Scene(clickhouse)
    with AuditReader(config=clickhouse.config) as reader:
        scene.topic.append(scene.logger.events)
        judged(clickhouse, scene.policy)
        alone = attested_answers(reader)
        assert alone["count"] == len(alone["by append"]) == len(scene.logger.events)
        assert alone["approvals"]["approvals"][0]["status"] == "denied"
        assert alone["runs"][0]["status"] == "completed"
        scene.topic.append(scene.forgeries())
        judged(clickhouse, scene.policy)
        assert attested_answers(reader) == alone
        assert reader.approvals().value.approvals[0].status == "granted"
        by_standing = {name: reader.count(f"standing:{name}").value for name in ANSWERS}
        assert by_standing["attested"] == len(scene.logger.events)
        assert by_standing["disputed"] >= 100
        assert sum(by_standing.values()) == reader.count().value
        assert {each.standing for each in reader.search(limit=1_000).items} == {
            "attested", "unattested", "disputed",
        }  # fmt: skip


def test_strangers_who_came_first_change_no_attested_answer(clickhouse: ClickHouse) -> None:
    """Who has written under a logger's numbers before the logger itself does is disputed when the seal comes."""
    scene = Scene(clickhouse)
    scene.topic.append(scene.forgeries()[:-2])
    scene.topic.append(scene.logger.events)
    judged(clickhouse, scene.policy)
    with AuditReader(config=clickhouse.config) as reader:
        found = attested_answers(reader)
        assert found["log"] == [each.event_id for each in scene.logger.events[:-1]]
        assert found["approvals"]["approvals"][0]["status"] == "denied"
        log = reader.get_audit_log("s")
        wanted = {each.event_id for each in scene.logger.events}
        for each, standing in zip(log, reader.standings(log), strict=True):
            assert (standing == "attested") is (each.event_id in wanted)
            assert standing != "pending"


def test_an_account_says_who_stands_behind_what_is_stored(clickhouse: ClickHouse) -> None:
    """By producer: how far it is sealed, what is missing within seals, what is disputed, and whom nobody attests."""
    assert attested(clickhouse, Scope()) is None
    scene = Scene(clickhouse)
    kept = [each for each in scene.logger.events if each.type != "token_usage_updated"]
    scene.topic.append([*kept, claimed("billing", "p-1", 99), claimed("stranger", "x", 0)])
    judged(clickhouse, scene.policy)
    found = attested(clickhouse, Scope())
    assert found is not None
    counts = (found.attested, found.pending, found.unattested, found.disputed, found.refused_seals)
    assert counts == (len(kept), 0, 1, 1, 0)
    assert found.missing == 0, "a record may yet come"
    clickhouse.command(
        "ALTER TABLE seal_checks UPDATE looks = 7 WHERE 1 SETTINGS mutations_sync = 1"
    )
    found = attested(clickhouse, Scope())
    assert found is not None
    assert found.missing == 1
    named = [
        (each.service, each.sealed_up_to, each.missing, each.disputed, each.unattested)
        for each in found.producers
    ]
    assert named == [("billing", 4, 1, 1, 0), ("stranger", None, 0, 0, 1)]


def test_a_record_that_comes_behind_its_seal_is_attested(
    clickhouse: ClickHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A seal of which records are missing is looked at again, until all are there."""
    scene = Scene(clickhouse)
    *events, last = scene.logger.events
    scene.topic.append([last])
    assert judged(clickhouse, scene.policy).events == 1
    scene.topic.append(events, partition=1)
    assert set(of(events, standings(clickhouse))) == {"disputed"}
    assert judged(clickhouse, scene.policy).seals == 0, "it was looked at just now"
    monkeypatch.setattr("trailhouse.attesting.stored_seals.FIRST_LOOK_AGAIN_SECONDS", 0)
    assert judged(clickhouse, scene.policy).seals == 1
    assert set(of(scene.logger.events, standings(clickhouse))) == {"attested"}


def test_who_has_the_key_later_changes_nothing_that_was_sealed(clickhouse: ClickHouse) -> None:
    """Of two seals of one number the one that was logged first decides, in one round or in two."""
    true, thief = Logger("billing", "p-1"), Logger("billing", "p-1")
    thief.signer = true.signer
    topic, policy = Topic(clickhouse), policy_of([true.key("acme")])
    for logger in (true, thief):
        logger.log(tenant_id="acme", data={"of": id(logger)})
    seal, forged = true.seal(), thief.seal()
    topic.append([true.events[0], seal, thief.events[0], forged])
    judged(clickhouse, policy)
    found = standings(clickhouse)
    assert of([true.events[0], thief.events[0]], found) == ["attested", "disputed"]


def test_a_policy_that_changes_is_heeded(clickhouse: ClickHouse) -> None:
    """A key that is enrolled, or loses a tenant, or is revoked later: its seals are judged anew."""
    scene = Scene(clickhouse)
    events = scene.logger.events[:-1]
    scene.topic.append(scene.logger.events)
    other = Logger("other", "p-2")
    judged(clickhouse, policy_of([other.key("*")]))
    assert set(of(events, standings(clickhouse))) == {"unattested"}
    judged(clickhouse, policy_of([other.key("*"), scene.logger.key("acme")], version=2))
    assert set(of(events, standings(clickhouse))) == {"attested"}
    judged(clickhouse, policy_of([other.key("*"), scene.logger.key("globex")], version=3))
    assert set(of(events, standings(clickhouse))) == {"disputed"}
    judged(clickhouse, policy_of([scene.logger.key("acme")], version=4))
    assert set(of(events, standings(clickhouse))) == {"attested"}
    judged(clickhouse, policy_of([scene.logger.key("acme", last_anchor=7)], version=5))
    assert set(of(events, standings(clickhouse))) == {"unattested"}
    judged(clickhouse, policy_of([other.key("*")], version=6))
    assert set(of(events, standings(clickhouse))) == {"unattested"}
    assert judged(clickhouse, policy_of([other.key("*")], version=6)).seals == 0


def test_of_a_revoked_key_counts_what_an_anchor_covers(clickhouse: ClickHouse) -> None:
    """Its seals below the size that the named anchor has, which a key of the log has signed; nobody else's anchor."""
    logger, topic = Logger("billing", "p-1"), Topic(clickhouse)
    log_key = FileSigner(Ed25519PrivateKey.generate())
    first = logger.log(tenant_id="acme")
    before = logger.seal()
    second = logger.log(tenant_id="acme")
    after = logger.seal()
    topic.append([first, before, second, after])
    policy = policy_of([logger.key("acme", last_anchor=3)], log_key=log_key)
    stranger = FileSigner(Ed25519PrivateKey.generate())
    for signer, size in ((stranger, 4), (log_key, 2)):
        store_anchor(clickhouse, signer, number=3, size=size)
    judged(clickhouse, policy)
    assert of([first, second], standings(clickhouse)) == ["attested", "unattested"]


def store_anchor(clickhouse: ClickHouse, signer: FileSigner, *, number: int, size: int) -> None:
    """Store an anchor in which the log of partition 0 has *size* leaves."""
    origin = f"{LOG_NAME}/{ORIGIN.topic}/{ORIGIN.topic_id}/0/1"
    anchor = Anchor(
        log_name=LOG_NAME,
        number=number,
        at_ms=1,
        policy_version=1,
        policy_sha256="0" * 64,
        previous_sha256="0" * 64,
        checkpoints=(Checkpoint(origin, size, bytes(32)),),
    )
    row: dict[str, Any] = {
        "number": number,
        "anchor": note_signed(anchor.text, signer, anchor_name(LOG_NAME)),
        "cosignatures": (),
        "timestamp_tokens": (),
        "written_to": (),
    }
    clickhouse.insert(LOG_ANCHORS.block({name: [row[name]] for name in LOG_ANCHORS.columns}))


def test_a_view_and_python_have_the_same_rules(clickhouse: ClickHouse) -> None:
    """Each event has one standing, whoever works it out: SQL for all, or Python for those that were read."""
    scene = Scene(clickhouse)
    open_logger = Logger("billing", "p-3", scene.logger.signer)
    for tenant in ("acme", "globex", None):
        open_logger.log(tenant_id=tenant)
    new = [
        *open_logger.events,
        claimed("billing", "p-1", 88, tenant_id="acme", session_id="late"),
        claimed("other", "p-8", 1, tenant_id="acme"),
        claimed("other", "p-8", 1, tenant_id="globex"),
        claimed("", "p-8", 2, tenant_id="globex"),
        AuditEvent(type="message_sent", session_id="s"),
        AuditEvent(type=SEAL_TYPE, session_id="s", data={"no": "seal"}),
    ]
    scene.topic.append(scene.logger.events)
    scene.topic.append(scene.forgeries(), partition=1)
    scene.topic.append(
        new, partition=2, appended_ms=int(dt.datetime.now(dt.UTC).timestamp() * 1_000)
    )
    policy = policy_of([scene.logger.key("acme")], unsealed_tenants=("acme", ""))
    assert judged(clickhouse, policy).refused == 1
    in_sql = standings(clickhouse)
    assert set(in_sql.values()) == set(ANSWERS)
    with AuditReader(config=clickhouse.config) as reader:
        every = reader.search("since:2020-01-01T00:00:00Z until:9999-01-01T00:00:00Z", limit=1_000)
        found = [each.event for each in every.items if each.event is not None]
        assert len(found) == len(in_sql)
        assert {each.event_id: each.standing for each in every.items} == in_sql
        assert {
            each.event_id: standing
            for each, standing in zip(found, reader.standings(found), strict=True)
        } == in_sql


def test_a_seal_of_many_events_is_judged(clickhouse: ClickHouse) -> None:
    """A seal of 20,000 events takes no more memory than ClickHouse has, and a stranger's odd digests stop nothing."""
    logger, topic = Logger("billing", "p-1"), Topic(clickhouse)
    for _ in range(20_000):
        logger.log()
    logger.seal()
    odd = base64.b64encode(b"123456789").decode()
    forged = claimed("billing", "p-2", 0, SEAL_TYPE, data={"digests": odd})
    topic.append([*logger.events, forged])
    assert unnamed_standings(clickhouse) == []
    assert judged(clickhouse, policy_of([logger.key("")])).events == 20_000
    assert unnamed_standings(clickhouse) == []
    clickhouse.command(
        "ALTER TABLE event_log DELETE WHERE type = 'audit_sealed' SETTINGS mutations_sync = 2"
    )
    assert len(unnamed_standings(clickhouse)) == MOST_TOLD
