"""`verify` beside operators: what they order, erase or rebuild while it reads is no finding; what is wrong still is."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from attack_choice import told
from attack_copies import a_log
from attack_scene import AttackedLog, a_history, make_keys, text_of
from cluster import Cluster
from made_keys import made_key
from trailhouse.operate.verify import meanwhile, run
from trailhouse.operate.verify.report import Outcome
from trailhouse.proof.policy import OperatorKey

pytestmark = [pytest.mark.cluster, pytest.mark.long]

UNSEALED = "kafka_partition = 2 AND kafka_offset = 4"


@pytest.fixture
def log(cluster: Cluster, tmp_path: Path) -> Iterator[AttackedLog]:
    """Return a proven log with an operator."""
    keys = make_keys(tmp_path)
    with a_log(cluster.clickhouse_config, keys, tmp_path / "anchors") as made:
        made.store(a_history(keys))
        yield made


def once_read(monkeypatch: pytest.MonkeyPatch, name: str, act: Callable[[], object]) -> None:
    """Have *act* done once, when `verify` has read for the first time what *name* reads."""
    read = getattr(run, name)
    left = [act]

    def read_then_act(*given: Any) -> Any:
        found = read(*given)
        if left:
            left.pop()()
        return found

    monkeypatch.setattr(run, name, read_then_act)


def test_what_is_erased_after_the_orders_were_read_is_looked_at_again(
    log: AttackedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row is blank then, and the orders of a moment before do not say so; one that is blanked without stays found."""
    once_read(monkeypatch, "stored_orders", lambda: log.erase(UNSEALED))
    report = log.verify()
    assert report.verdict is Outcome.INTACT, told(report)
    monkeypatch.undo()
    blanked = (
        "ALTER TABLE event_log UPDATE record = '' WHERE kafka_partition = 2 AND kafka_offset = 1"
    )
    once_read(
        monkeypatch, "stored_orders", lambda: log.sql(f"{blanked} SETTINGS mutations_sync = 2")
    )
    assert {each.kind for each in log.verify().findings} >= {"blanked"}


def test_an_operator_of_a_policy_that_has_just_come_is_known(
    log: AttackedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """He is enrolled and orders after the policies were read: he is no stranger."""
    other = made_key(80)

    def enrolled() -> None:
        names = (*log.policy().operators, OperatorKey(name="second", public_key=text_of(other)))
        log.publish(log.policy(version=2, previous=log.policy().sha256, operators=names))
        log.anchor_under(log.policy(version=2, previous=log.policy().sha256, operators=names))

    once_read(monkeypatch, "stored_policies", enrolled)
    report = log.verify()
    assert report.verdict is Outcome.INTACT, told(report)


def test_it_is_looked_again_a_few_times_at_most(
    log: AttackedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who goes on for ever hides nothing by it."""
    looks: list[int] = []

    def always_other(clickhouse: object) -> int:
        looks.append(len(looks))
        return len(looks)

    for name in ("doings", "settled_doings"):
        monkeypatch.setattr(f"trailhouse.operate.verify.verifying.{name}", always_other)
    log.sql(f"ALTER TABLE event_log DELETE WHERE {UNSEALED} SETTINGS mutations_sync = 2")
    assert log.verify().verdict is Outcome.FOUND
    assert len(looks) == meanwhile.LOOKS
