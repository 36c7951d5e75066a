"""Every attack on real tables: found by the duty that must, with what is needed for it; and nothing else is told."""

import shutil
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from clickhouse_connect.driver.httpclient import HttpClient

from attack import Attack, without
from attack_choice import chosen, judge, named, told
from attack_copies import a_copy, a_log, replace_database
from attack_scene import AttackedLog, History, Keys, a_history, make_keys
from attack_table import as_property, found_line, missed_line
from cluster import Cluster
from granted_clickhouse import EVERYTHING, granted
from profiles import PROFILES
from trailhouse.operate.verify.logs import LogId
from trailhouse.operate.verify.report import Outcome
from trailhouse.operate.verify.state import Kept
from trailhouse.store import clickhouse
from trailhouse.store.plain_settings import ask_plainly

pytestmark = pytest.mark.cluster


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


@pytest.fixture
def administered(
    keys: Keys, history: History, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AttackedLog]:
    """Return the same log on a server of its own, whose administrator may make more than tables."""
    folder = tmp_path_factory.mktemp("server")
    with (
        granted(folder, EVERYTHING) as config,
        a_log(partial(replace_database, config), keys, folder / "anchors") as log,
    ):
        log.store(history)
        yield log


@pytest.fixture(scope="module")
def kept(proven: AttackedLog) -> dict[LogId, Kept]:
    """Return what an auditor has kept of the log, which is intact."""
    report = proven.verify()
    assert report.verdict is Outcome.INTACT, told(report)
    return {each.log: each for each in report.kept}


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
        of = request.getfixturevalue("administered") if attack.on_server else proven
        with a_copy(of, folder) as log:
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


@pytest.mark.parametrize("attacked", chosen(on_broker=False), ids=named, indirect=True)
def test_an_attack_is_found_and_what_is_harmless_is_not(
    attacked: tuple[Attack, AttackedLog],
    kept: dict[LogId, Kept],
    request: pytest.FixtureRequest,
) -> None:
    """By each duty that must; without what it needs nothing is found, as the table of threats says."""
    attack, log = attacked
    since = kept if attack.needs == "kept" else None
    if without():
        line = missed_line(attack, lambda duties: log.verify(without=duties, since=since))
        request.node.user_properties.append(as_property(line))
        return
    began = time.monotonic()
    report = log.verify(since=since)
    seconds = time.monotonic() - began
    alone = log.verify(outside=False) if since else log.verify_alone(report)
    line = found_line(attack, report, alone, f"next verify ({seconds:.1f} s)")
    request.node.user_properties.append(as_property(line))
    judge(attack, report, alone)


@pytest.mark.long
@pytest.mark.parametrize("profile", PROFILES)
def test_no_profile_changes_what_is_found(
    profile: str, proven: AttackedLog, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whatever a user's settings are, a log that is intact is called so, and what was deleted is missed."""

    def under_profile(client: HttpClient) -> None:
        client.params.update(PROFILES[profile])
        ask_plainly(client)

    with a_copy(proven, tmp_path / "anchors") as log:
        log.sql(
            "ALTER TABLE event_log DELETE WHERE type = 'tool_approval_denied' SETTINGS mutations_sync = 2"
        )
        monkeypatch.setattr(clickhouse, "ask_plainly", under_profile)
        intact, attacked = proven.verify(), log.verify()
        monkeypatch.undo()  # what drops the copy is no part of it
    assert intact.verdict is Outcome.INTACT, told(intact)
    assert "records" in {each.duty for each in attacked.findings}, told(attacked)
