"""Every attack on real tables: found by the duty that must, with what is needed for it; and nothing else is told."""

import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from attack import VARIABLE, Attack
from attack_list import ATTACKS
from attack_scene import AttackedLog, History, Keys, a_copy, a_history, a_log, make_keys
from attack_table import AttackTable
from cluster import Cluster
from trailhouse.operate.verify.logs import LogId
from trailhouse.operate.verify.report import Outcome, Report
from trailhouse.operate.verify.state import Kept

pytestmark = pytest.mark.cluster

WITHOUT = os.environ.get(VARIABLE, "")
CHOSEN = [attack for attack in ATTACKS if not WITHOUT or WITHOUT in attack.found_by]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """Return the keys of the log."""
    return make_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def history(keys: Keys) -> History:
    """Return what the log has held."""
    return a_history(keys)


@pytest.fixture(scope="module")
def proven(
    cluster: Cluster, keys: Keys, history: History, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AttackedLog]:
    """Return the log that every attack is done to a copy of."""
    folder = tmp_path_factory.mktemp("proven") / "anchors"
    with a_log(cluster.clickhouse_config, keys, folder) as log:
        log.store(history)
        yield log


@pytest.fixture(scope="module")
def kept(proven: AttackedLog) -> dict[LogId, Kept]:
    """Return what an auditor has kept of the log, which is intact."""
    report = proven.verify()
    assert report.verdict is Outcome.INTACT, told(report)
    return {each.log: each for each in report.kept}


@pytest.fixture(scope="module")
def table() -> Iterator[AttackTable]:
    """Return what is printed in the end."""
    found = AttackTable()
    yield found
    found.show()


@pytest.fixture(scope="module")
def passed() -> list[str]:
    """Return the attacks that pass without the duty that is switched off."""
    return []


@pytest.fixture
def attacked(
    request: pytest.FixtureRequest,
    proven: AttackedLog,
    keys: Keys,
    history: History,
    cluster: Cluster,
    tmp_path: Path,
) -> Iterator[tuple[Attack, AttackedLog]]:
    """Return an attack, and the log that it was done to."""
    attack: Attack = request.param
    folder = tmp_path / "anchors"
    if attack.on_copy is not None:
        with a_copy(proven, folder) as log:
            attack.on_copy(log)
            yield attack, log
        return
    assert attack.on_history is not None
    with a_log(cluster.clickhouse_config, keys, folder) as log:
        log.store(attack.on_history(history, keys))
        if attack.is_rewritten:
            shutil.rmtree(folder)
            shutil.copytree(proven.folder, folder)
        yield attack, log


def told(report: Report) -> str:
    """Return what a report says, for the message of a test."""
    lines = [f"{each.duty}: {each.kind} at {each.place}" for each in report.findings]
    lines += [f"{duty.name}: {reason}" for duty in report.duties for reason in duty.reasons]
    return "; ".join(lines) or "nothing"


def named(attack: Attack) -> str:
    """Return an attack's name as pytest shows it."""
    return attack.name.replace(" ", "-")


@pytest.mark.parametrize("attacked", CHOSEN, ids=named, indirect=True)
def test_an_attack_is_found_and_what_is_harmless_is_not(
    attacked: tuple[Attack, AttackedLog],
    kept: dict[LogId, Kept],
    table: AttackTable,
    passed: list[str],
) -> None:
    """By each duty that must; without what it needs nothing is found, as the table of threats says."""
    attack, log = attacked
    if WITHOUT:
        report = log.verify(without=frozenset({WITHOUT}))
        assert WITHOUT not in {each.duty for each in report.findings}
        if report.verdict is not Outcome.FOUND:
            passed.append(attack.name)
        return
    since = kept if attack.needs == "kept" else None
    began = time.monotonic()
    report = log.verify(since=since)
    seconds = time.monotonic() - began
    alone = log.verify(outside=False)
    table.add(attack, report, alone, seconds)
    found = {each.duty for each in report.findings}
    if attack.is_harmless:
        assert report.verdict is Outcome.INTACT, told(report)
        return
    assert report.verdict is Outcome.FOUND, told(report)
    assert attack.found_by <= found, told(report)
    if attack.needs:
        assert alone.verdict is not Outcome.FOUND, told(alone)
    else:
        assert alone.verdict is Outcome.FOUND, told(alone)


@pytest.mark.skipif(not WITHOUT, reason="no duty is switched off; `make attacks-red` does it")
def test_an_attack_passes_that_the_duty_alone_finds(passed: list[str]) -> None:
    """What no other duty finds is missed without it: the duty is needed."""
    assert passed
    sys.stdout.write(f"\nwithout {WITHOUT} these pass: {', '.join(passed)}\n")
