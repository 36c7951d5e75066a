"""`verify` beside operators: what they order, erase or rebuild while it reads is no finding; what is wrong still is."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from attack_choice import told
from attack_copies import a_log
from attack_scene import HOUR_MS, AttackedLog, Commit, a_history, make_keys, text_of
from cluster import Cluster
from made_keys import made_key
from sealing_scene import claimed
from trailhouse.operate.verify import meanwhile, run
from trailhouse.operate.verify.report import Outcome
from trailhouse.operate.verify.rows import orders_by_now
from trailhouse.operate.verify.rows.scan import RowScan
from trailhouse.proof.policy import OperatorKey
from trailhouse.store.erasures import stored_orders

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
    module = orders_by_now if hasattr(orders_by_now, name) else run
    read = getattr(module, name)
    left = [act]

    def read_then_act(*given: Any) -> Any:
        found = read(*given)
        if left:
            left.pop()()
        return found

    monkeypatch.setattr(module, name, read_then_act)


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


def test_who_erases_all_day_long_makes_no_finding(
    log: AttackedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it is looked once more, orders come after the orders were read; sealed records and others."""
    left = iter(enumerate([(2, 4), (1, 4), (2, 0), (2, 1), (0, 0)], 1))
    read = stored_orders

    def read_then_erase(*given: Any) -> Any:
        found = read(*given)
        if (following := next(left, None)) is not None:
            number, (partition, offset) = following
            log.erase(f"kafka_partition = {partition} AND kafka_offset = {offset}", number=number)
        return found

    monkeypatch.setattr(orders_by_now, "stored_orders", read_then_erase)
    report = log.verify()
    assert report.verdict is Outcome.INTACT, told(report)


def test_who_erases_bad_records_all_day_long_makes_no_finding(
    log: AttackedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is ordered to be erased, each time, after the orders were read that rows are held against."""
    bad = [f"no event {n}".encode() for n in range(4)]
    log.store_more(Commit({2: bad}, {2: 6}, 2 * HOUR_MS - 150_000))
    left = iter(enumerate(range(6, 10), 1))
    read = RowScan.go

    def erase_then_read(scan: RowScan) -> RowScan:
        if (following := next(left, None)) is not None:
            number, offset = following
            where = f"kafka_partition = 2 AND kafka_offset = {offset}"
            log.erase(where, "event_quarantine", number=number)
        return read(scan)

    monkeypatch.setattr(RowScan, "go", erase_then_read)
    report = log.verify()
    assert next(left, None) is not None, "expected one look, or two"
    assert report.verdict is Outcome.INTACT, told(report)


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


def test_a_leader_that_lacks_records_and_takes_over_meanwhile_is_no_finding(
    log: AttackedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another generation begins after the logs were looked for: what is of it is held against its own leaves."""
    others = [claimed("legacy", "p9", n, session_id="old", tenant_id="a") for n in range(4, 7)]
    fork = Commit({2: others}, {2: 4}, 2 * HOUR_MS - 150_000)
    once_read(monkeypatch, "all_logs", lambda: log.store_more(fork))
    report = log.verify()
    assert report.verdict is Outcome.INTACT, told(report)
    assert len(report.sizes) == 4, "expected the log that has begun"


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
