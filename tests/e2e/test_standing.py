"""Standing against the real engine: who stands behind a stored event, and that strangers change no attested answer."""

import uuid
from collections.abc import Iterator

import pytest

from cluster import Cluster
from sealing_scene import Logger, Topic, claimed, judged, policy_of
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
