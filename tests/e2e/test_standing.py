"""Standing against the real engine: who stands behind a stored event, and that strangers change no attested answer."""

import datetime as dt
import uuid
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from cluster import Cluster
from sealing_scene import START, Logger, Topic, claimed, judged, policy_of
from trailhouse.proof.seal import SEAL_TYPE
from trailhouse.query import AuditReader
from trailhouse.schemas import AuditEvent
from trailhouse.store import ClickHouse
from trailhouse.store.migrate import migrate

pytestmark = pytest.mark.cluster


@pytest.fixture
def clickhouse(cluster: Cluster) -> Iterator[ClickHouse]:
    """Return a database of its own."""
    config = cluster.clickhouse_config(f"trailhouse_{uuid.uuid4().hex[:12]}")
    migrate(config)
    with ClickHouse(config) as opened:
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
    strangers = [
        claimed("billing", "p-1", 1, tenant_id="acme", data={"forged": True}),
        claimed("billing", "p-1", 77, tenant_id="acme"),
        claimed("billing", "p-2", 0, tenant_id="acme"),
        claimed("other", "p-1", 1, tenant_id="acme"),
        AuditEvent(type="message_sent", session_id="s", tenant_id="acme"),
    ]
    topic.append([*strangers, *logger.events])
    policy = policy_of([logger.key("acme")])
    assert judged(clickhouse, policy).seals == 2
    found = standings(clickhouse)
    assert of(logger.events, found) == [
        "attested", "attested", "disputed", "attested", "attested", "attested",
    ]  # fmt: skip
    assert of(strangers, found) == [
        "disputed", "disputed", "unattested", "unattested", "unattested",
    ]  # fmt: skip


ANSWERS = ("attested", "pending", "unattested", "disputed")


class Scene:
    """A service whose logger has recorded a run with a call that was denied; strangers may add what they like."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self.topic = Topic(clickhouse)
        self.logger = Logger("billing", "p-1")
        self.policy = policy_of([self.logger.key("acme")])
        run = {"tenant_id": "acme", "run_id": "run-1", "agent_id": "planner"}
        call = {"tool_name": "refund", "tool_call_id": "call-1", "approval_id": "a-1"}
        log = self.logger.log
        log("run_started", **run)
        log("tool_approval_requested", data=call, **run)
        log("tool_approval_denied", data=call, actor={"type": "user", "id": "mary"}, **run)
        log("token_usage_updated", data={"input_tokens": 100, "cost_usd": "0.25"}, **run)
        log("run_completed", **run)
        self.logger.seal(is_last=True)

    def forgeries(self) -> list[AuditEvent]:
        """Return what a stranger writes: in others' names and numbers, with other contents, many times over."""
        run: dict[str, Any] = {"tenant_id": "acme", "run_id": "run-1", "agent_id": "planner"}
        call = {"tool_name": "refund", "tool_call_id": "call-1", "approval_id": "a-1"}
        mary = {"type": "user", "id": "mary"}
        later = START + dt.timedelta(seconds=5)
        made = [
            claimed("billing", "p-1", 2, "tool_approval_granted", data=call, actor=mary, **run),
            claimed("billing", "p-1", 99, "tool_approval_granted", data=call, actor=mary, occurred_at=later, **run),
            claimed("billing", "p-9", 0, "tool_approval_granted", data=call, actor=mary, **run),
            claimed("billing", "p-1", 3, "token_usage_updated", data={"input_tokens": 7, "cost_usd": "9"}, **run),
            claimed("stranger", "p-1", 4, "run_failed", occurred_at=later, **run),
            claimed("billing", "p-1", 0, "run_started", session_id="another", **run),
            claimed("billing", "p-1", 1, "run_started", tenant_id="globex", run_id="run-1"),
            AuditEvent(type="run_cancelled", session_id="s", occurred_at=later, **run),
            AuditEvent(type="tool_call_started", session_id="s", data=call, occurred_at=later, **run),
        ]  # fmt: skip
        made += [
            claimed("billing", "p-1", number, data={"n": number}, **run) for number in range(6)
        ]
        made += [claimed("billing", "p-1", 4, data={"n": n}, **run) for n in range(100)]
        # True bytes in other hands: a copy of an event, and of the seal around another session.
        closing = self.logger.events[-1]
        made.append(claimed("stranger", "x", 0, SEAL_TYPE, "seal:x", data=closing.data))
        made.append(claimed("billing", "p-1", 5, SEAL_TYPE, "seal:p-1", data=closing.data))
        return made


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
