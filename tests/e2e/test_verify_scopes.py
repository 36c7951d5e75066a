"""`verify` of a session, a tenant or a stretch of time does what it can of every duty, and names what it leaves out."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest

from attack_copies import a_copy, a_log
from attack_scene import AttackedLog, a_history, make_keys
from cluster import Cluster
from trailhouse.operate.verify.report import Outcome, Report
from trailhouse.operate.verify.scope import Scope
from trailhouse.operate.verify.verifying import verify

pytestmark = pytest.mark.cluster

NOW = "SETTINGS mutations_sync = 2"
SESSION = Scope(session_id="s0")
TENANT = Scope(tenant_id="a")
TIMES = Scope(since=dt.datetime(2020, 1, 1, tzinfo=dt.UTC), until=dt.datetime.now(dt.UTC))
DENIED = "type = 'tool_approval_denied'"
ATTACKS = {
    "the index of a session": (SESSION, f"ALTER TABLE event_index DELETE WHERE {DENIED} {NOW}", "columns"),
    "the index of a time": (TIMES, f"ALTER TABLE event_index UPDATE agent_id = 'x' WHERE {DENIED} {NOW}", "columns"),
    "the usage of a tenant": (TENANT, f"ALTER TABLE event_usage UPDATE cost_usd = 0 WHERE true {NOW}", "columns"),
    "a sealed event of a session": (SESSION, f"ALTER TABLE event_log DELETE WHERE {DENIED} {NOW}", "seals"),
    "a batch": (SESSION, f"ALTER TABLE batch_ledger UPDATE stored_rows = 9 WHERE first_offset = 4 {NOW}", "ledger"),
    "a list of sessions": (TIMES, "TRUNCATE TABLE session_manifest_entries", "manifests"),
    "an order": (TENANT, "INSERT INTO log_erasures VALUES (1, 'erase', 'nobody''s')", "erasures"),
    "a number": (TENANT, f"ALTER TABLE event_log UPDATE seq = 0 WHERE {DENIED} {NOW}", "numbers"),
}  # fmt: skip


@pytest.fixture(scope="module")
def proven(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AttackedLog]:
    """Return a proven log."""
    keys = make_keys(tmp_path_factory.mktemp("keys"))
    folder = tmp_path_factory.mktemp("proven") / "anchors"
    with a_log(cluster.clickhouse_config, keys, folder) as log:
        log.store(a_history(keys))
        yield log


def _report(log: AttackedLog, scope: Scope) -> Report:
    return verify(log.clickhouse, proof=log.proof, scope=scope)


@pytest.mark.parametrize(
    ("scope", "left_out"),
    [(SESSION, {"records", "standings"}), (TENANT, {"records", "standings"}), (TIMES, {"standings"})],
    ids=["session", "tenant", "times"],
)  # fmt: skip
def test_what_is_intact_is_intact_in_part(
    proven: AttackedLog, scope: Scope, left_out: set[str]
) -> None:
    """And what could not be done of a part is said by name, with the reason."""
    report = _report(proven, scope)
    assert report.verdict is Outcome.INTACT, report.findings
    not_done = {duty.name: duty.reasons for duty in report.duties if duty.verdict == "left_out"}
    assert not_done.keys() == left_out
    assert all(not_done.values())


@pytest.mark.long
@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_on_a_part_is_found_in_that_part(
    proven: AttackedLog, attack: str, tmp_path: Path
) -> None:
    """By the duty that finds it in all of the log."""
    scope, sql, duty = ATTACKS[attack]
    with a_copy(proven, tmp_path / "anchors") as log:
        log.sql(sql)
        report = _report(log, scope)
        assert duty in {each.duty for each in report.findings}, report.findings


def test_what_was_done_elsewhere_is_not_told_of_another_session(
    proven: AttackedLog, tmp_path: Path
) -> None:
    """Only rows of the session are compared: s1 has none of what was taken out of the index."""
    with a_copy(proven, tmp_path / "anchors") as log:
        log.sql(f"ALTER TABLE event_index DELETE WHERE {DENIED} {NOW}")
        report = _report(log, Scope(session_id="s1"))
        assert report.verdict is Outcome.INTACT, report.findings
