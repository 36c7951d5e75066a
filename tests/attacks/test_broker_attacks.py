"""Every attack through a real broker: found by the duty that must; no attested answer or number is changed by it."""

import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from attack import Attack, without
from attack_choice import chosen, judge, named
from attack_table import as_property, found_line, missed_line
from broker_scene import BrokerScene, a_scene
from cluster import Cluster
from trailhouse.operate.verify.duties.seals import lagging_logs
from trailhouse.store import ClickHouseConfig

pytestmark = pytest.mark.cluster


@pytest.fixture
def scene(
    cluster: Cluster,
    database: ClickHouseConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[BrokerScene]:
    """Return a topic that real loggers have written to, and no worker has read."""
    # Each worker ends in order: nobody takes over what it has left.
    monkeypatch.setattr(lagging_logs, "TAKEN_OVER_SECONDS", lagging_logs.SETTLED_SECONDS)
    kafka = cluster.kafka_config(f"attacked-{uuid.uuid4().hex[:12]}", partitions=3)
    with a_scene(cluster, kafka, database, tmp_path) as made:
        yield made


@pytest.mark.parametrize("attack", chosen(on_broker=True), ids=named)
def test_an_attack_through_a_broker_is_found_and_moves_no_attested_answer(
    attack: Attack, scene: BrokerScene, request: pytest.FixtureRequest
) -> None:
    """By the first `verify` after the next seals were stored; what is harmless is not, and no record is lost by it."""
    assert attack.on_broker is not None
    attack.on_broker(scene)
    began = time.monotonic()
    scene.finish()
    if without():
        line = missed_line(attack, lambda duties: scene.verify(without=duties))
        request.node.user_properties.append(as_property(line))
        return
    report = scene.verify()
    seconds = time.monotonic() - began
    alone = scene.verify(outside=False)
    delay = f"next verify after the next seals ({seconds:.1f} s)"
    line = found_line(attack, report, alone, delay)
    request.node.user_properties.append(as_property(line))
    judge(attack, report, alone)
    scene.check_standings()
