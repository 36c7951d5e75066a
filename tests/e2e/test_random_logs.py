"""Random honest histories on the real engine: `verify` calls each intact, and bundles and readers say what was logged.

One by default; ``HISTORIES=1-200`` tries those seeds. A failure names the steps of its history.
"""

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from attack_choice import told
from attack_copies import a_log
from attack_scene import LOG, OWNER, make_keys
from bundle_checkers import codes_of_both
from cluster import Cluster
from random_events import seeds
from random_log import RandomLog
from trailhouse.anchoring.day_manifests import made_manifest, stored_days, stored_manifest
from trailhouse.anchoring.stored_log import stored_logs
from trailhouse.operate.prove.bundling import bundle_events, bundle_session
from trailhouse.operate.prove.proving import prove_event
from trailhouse.operate.verify.logs import LogId
from trailhouse.operate.verify.report import Outcome
from trailhouse.operate.verify.scope import Scope
from trailhouse.operate.verify.state import Kept
from trailhouse.operate.verify.verifying import verify
from trailhouse.proof.keys import fingerprint
from trailhouse.proof.standing import Standing
from trailhouse.query import AuditReader
from trailhouse.schemas import AuditEvent

pytestmark = [pytest.mark.cluster, pytest.mark.long]

PIN = fingerprint(OWNER.public_key)


@pytest.mark.parametrize("seed", seeds("HISTORIES", "1-1"))
def test_an_honest_history_is_intact(seed: int, cluster: Cluster, tmp_path: Path) -> None:
    """Whatever its hashes end in, however often a record was stored, and whatever was merged or erased meanwhile."""
    with a_log(cluster.clickhouse_config, make_keys(tmp_path), tmp_path / "anchors") as log:
        history = RandomLog(log, seed)
        try:
            history.grow(history.draw.randrange(3, 9))
            first = log.verify()
            assert first.verdict is Outcome.INTACT, told(first)
            history.operate(history.draw.randrange(1, 6))
            _check_verdicts(history, {each.log: each for each in first.kept})
            _check_manifests(history)
            _check_bundles(history)
            _check_readers(history)
        except Exception as error:
            error.add_note(f"seed {seed}: " + "; ".join(history.steps))
            raise


def _check_verdicts(history: RandomLog, kept: Mapping[LogId, Kept]) -> None:
    log, event = history.log, history.draw.choice(history.events)
    at = dt.datetime.fromtimestamp(history.draw.choice(history.appended).at_ms / 1_000, dt.UTC)
    ways: tuple[dict[str, Any], ...] = (
        {},
        {"quick": True},
        {"since": kept},
        {"scope": Scope(session_id=event.session_id)},
        {"scope": Scope(tenant_id=event.tenant_id or "")},
        {"scope": Scope(since=at)},
        {"scope": Scope(until=at)},
    )
    for how in ways:
        report = verify(log.clickhouse, proof=log.proof, anchors=f"folder:{log.folder}", **how)
        assert report.verdict is Outcome.INTACT, f"{report.scope}, {list(how)}: {told(report)}"


def _check_manifests(history: RandomLog) -> None:
    clickhouse = history.log.clickhouse
    for log in stored_logs(clickhouse):
        origin = str(log.origin(LOG))
        for day in stored_days(clickhouse, log):
            bounds = (day.day, day.first_offset, day.end_offset)
            again = made_manifest(clickhouse, log, origin, *bounds)
            assert (again.root, again.header.sessions) == (day.root, day.sessions)
            assert stored_manifest(clickhouse, log, origin, day).root == day.root


def _check_bundles(history: RandomLog) -> None:
    clickhouse, proof = history.log.clickhouse, history.log.proof
    bundles = [bundle_session(clickhouse, proof, "nobody", "a")]
    allowed = [{0, 2}]
    for event in history.draw.sample(history.events, min(4, len(history.events))):
        same = [each for each in history.events if each.session_id == event.session_id]
        of_id = [each for each in same if each.event_id == event.event_id]
        mine = [each for each in same if each.tenant_id == event.tenant_id]
        bundles.append(bundle_session(clickhouse, proof, event.session_id, event.tenant_id or ""))
        # Of a session something could not be checked also where other logs have manifests of other days.
        allowed.append({2} if any(map(history.is_erased, mine)) else {0, 2})
        bundles.append(bundle_events(clickhouse, proof, [(event.session_id, event.event_id)]))
        allowed.append({2} if any(map(history.is_erased, of_id)) else {0})
        assert prove_event(clickhouse, proof, event.event_id)
    assert [each.without_leaf for each in bundles] == [0] * len(bundles)
    codes = codes_of_both([each.content for each in bundles], PIN)
    for (ours, others), codes_allowed in zip(codes, allowed, strict=True):
        assert ours == others
        assert ours in codes_allowed


def _check_readers(history: RandomLog) -> None:
    left = [each for each in history.events if not history.is_erased(each)]
    with AuditReader(config=history.log.clickhouse.config) as reader:
        for session in {each.session_id for each in history.events}:
            found = reader.get_audit_log(session, on_altered="mark")
            records = [each.record for each in found if isinstance(each, AuditEvent)]
            assert sorted(records) == sorted(e.record for e in left if e.session_id == session)
            of_all = [each for each in history.events if each.session_id == session]
            assert len(found) == len(of_all)
        standings = reader.standings(left)
    for event, standing in zip(left, standings, strict=True):
        sealed = event.record in history.sealed
        assert standing is (Standing.ATTESTED if sealed else Standing.UNATTESTED), event
