"""What `verify` finds where it is asked for less than all: by each way, the duties that docs/proof.md promises."""

import datetime as dt
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from attack import Attack, without
from attack_choice import named, told
from attack_copies import a_copy, a_log
from attack_list import ATTACKS
from attack_scene import AttackedLog, a_history, make_keys
from cluster import Cluster
from trailhouse.operate.verify.logs import LogId
from trailhouse.operate.verify.registry import DUTIES
from trailhouse.operate.verify.report import Outcome
from trailhouse.operate.verify.scope import Scope
from trailhouse.operate.verify.state import Kept

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(bool(without()), reason="all duties are done"),
]

MODULES = ("clickhouse_sly", "operator_attacks", "signed_attacks", "equivocation")
"""Of whose attacks each way is tried."""
ALL = frozenset(duty.name for duty in DUTIES)
WHOLE = frozenset({"policy", "anchors", "leaves", "views", "ledger", "erasures"})
"""What is held whole, whichever rows are asked for."""
_YEARS = dt.timedelta(days=20 * 365)


class Way(NamedTuple):
    """One way to ask for less: which options, and whose findings are promised."""

    options: Mapping[str, Any]
    promised: frozenset[str]
    is_later: bool = False
    """Whether it goes on from what an auditor has kept: another duty may find it then, by what no longer follows."""


def _stretch() -> Scope:
    """Return one that all of the log lies in."""
    now = dt.datetime.now(dt.UTC)
    return Scope(since=now - _YEARS, until=now + _YEARS)


WAYS = {
    "--quick": Way({"quick": True}, ALL - {"columns"}),
    "--session": Way({"scope": Scope(session_id="s0")}, WHOLE),
    "--tenant": Way({"scope": Scope(tenant_id="a")}, WHOLE),
    # Of manifests those of days on which something was stored.
    "--from --to": Way({"scope": _stretch()}, ALL - {"standings", "manifests"}),
    "--incremental": Way({}, frozenset({"policy", "anchors", "views", "erasures"}), is_later=True),
}


@pytest.fixture(scope="module")
def proven(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AttackedLog]:
    """Return the log that every attack is done to a copy of."""
    keys = make_keys(tmp_path_factory.mktemp("keys"))
    folder = tmp_path_factory.mktemp("proven") / "anchors"
    with a_log(cluster.clickhouse_config, keys, folder) as log:
        log.store(a_history(keys))
        yield log


@pytest.fixture(scope="module")
def kept(proven: AttackedLog) -> dict[LogId, Kept]:
    """Return what an auditor has kept of the log."""
    return {each.log: each for each in proven.verify().kept}


def _attacks() -> list[Attack]:
    return [
        each for each in ATTACKS if each.on_copy is not None and each.on_copy.__module__ in MODULES
    ]


@pytest.mark.parametrize("attack", _attacks(), ids=named)
def test_each_way_to_ask_for_less_finds_what_is_promised_of_it(
    attack: Attack, proven: AttackedLog, kept: dict[LogId, Kept], tmp_path: Path
) -> None:
    """By those duties of the attack's that the way does; and what is harmless is told by none."""
    assert attack.on_copy is not None
    with a_copy(proven, tmp_path / "anchors") as log:
        attack.on_copy(log)
        for name, way in WAYS.items():
            report = log.verify(since=kept if way.is_later else None, **way.options)
            if attack.is_harmless:
                assert report.verdict is Outcome.INTACT, f"{name}: {told(report)}"
                continue
            found = {each.duty for each in report.findings}
            missed = (attack.found_by & way.promised) - found
            assert not missed or (way.is_later and found), f"{name} misses {missed}: {told(report)}"
