"""Proofs, manifests and bundles out of the real engine, checked by check.py and by the second checker."""

import base64
import datetime as dt
import itertools
import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from bundle_checkers import codes_of_both
from cluster import Cluster
from made_keys import made_key
from proven import LOG_NAME, ProvenLog, log_key
from trailhouse.anchoring.anchorer import Anchorer
from trailhouse.anchoring.day_manifests import (
    made_manifest,
    make_finished_days,
    not_anchored_yet,
    stored_days,
)
from trailhouse.anchoring.stored_log import stored_logs
from trailhouse.cli.main import main
from trailhouse.operate.erase.blank import blank
from trailhouse.operate.prove.bundling import bundle_events, bundle_session, write_bundle
from trailhouse.operate.prove.check import read_archive
from trailhouse.operate.prove.proving import Prover, prove_event
from trailhouse.operate.prove.stored_events import KEY_BYTES, events_of_session, logged
from trailhouse.proof.config import ProofConfig
from trailhouse.proof.keys import fingerprint, is_signed_by, note_signed, read_key_file
from trailhouse.proof.manifest import DAY_MS, first_ms
from trailhouse.proof.merkle import leaf_hash, root_by_inclusion
from trailhouse.proof.note import signers
from trailhouse.proof.policy import LogKey, Policy, owner_name
from trailhouse.proof.tlog_proof import parse_tlog_proof
from trailhouse.schemas import AuditEvent
from trailhouse.schemas.errors import ConfigError, IntegrityError, ProofError
from trailhouse.store import ClickHouse, ClickHouseConfig
from trailhouse.store.policies import store_policy

pytestmark = pytest.mark.cluster

OWNER = made_key(2)
PIN = fingerprint(OWNER.public_key)
FIRST_DAY = "2026-09-21"
START_MS = first_ms(FIRST_DAY) + 3_600_000
DAYS = 3


def _now() -> dt.datetime:
    return dt.datetime.fromtimestamp(START_MS / 1000, dt.UTC) + dt.timedelta(days=30)


class Scene(NamedTuple):
    """A log of several days in two partitions, anchored, and its events."""

    clickhouse: ClickHouse
    config: ProofConfig
    log: ProvenLog
    events: list[AuditEvent]

    def of(self, session: str) -> list[AuditEvent]:
        """Return the events of a session."""
        return [each for each in self.events if each.session_id == session]

    def anchor(self) -> None:
        """Make what manifests are due, and anchor once."""
        make_finished_days(self.clickhouse, LOG_NAME, _now)
        signer = read_key_file(Path(self.config.key_file))
        policy = _policy(signer.public_key)
        run = Anchorer(
            self.clickhouse,
            log_name=LOG_NAME,
            signer=signer,
            policy=lambda: policy,
            manifests=not_anchored_yet(self.clickhouse, LOG_NAME),
        ).run()
        assert not run.contradictions


def _with_zero_at(event: AuditEvent, place: int) -> AuditEvent:
    attempts = (
        msgspec.structs.replace(event, data=dict(event.data) | {"attempt": attempt})
        for attempt in itertools.count()
    )
    return next(each for each in attempts if sha256(each.record).digest()[place] == 0)


def _policy(public_key: bytes) -> Policy:
    key = LogKey(public_key=base64.b64encode(public_key).decode())
    return Policy(log_name=LOG_NAME, version=1, log_keys=(key,))


@pytest.fixture(scope="module")
def scene(
    database_of_module: ClickHouseConfig, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    """Fill a database: six sessions a day on three days and the next, one session resent, a hole, a bad record."""
    signing = log_key(tmp_path_factory.mktemp("keys"))
    owner = base64.b64encode(OWNER.public_key).decode()
    config = ProofConfig(log_name=LOG_NAME, key_file=signing.key_file, owner_key=owner)
    with ClickHouse(database_of_module) as clickhouse:
        log = ProvenLog(clickhouse, config)
        made: list[AuditEvent] = []
        for day in range(DAYS + 1):
            at_ms = START_MS + day * DAY_MS
            events = [
                AuditEvent(
                    type="message_sent",
                    session_id=f"s-{number % 6}",
                    tenant_id="acme" if number % 6 else None,
                    data={"n": number, "day": day},
                    occurred_at=dt.datetime.fromtimestamp(at_ms / 1000, dt.UTC),
                )
                for number in range(300)
            ]
            if day == 1:  # of what is resent, hashes that end in a zero byte, in either half
                events[1] = _with_zero_at(events[1], KEY_BYTES - 1)
                events[7] = _with_zero_at(events[7], 31)
            made += events
            halves = {
                part: [e for e in events if int(e.session_id[2]) % 2 == part] for part in (0, 1)
            }
            log.store({0: [*halves[0], b"no event"], 1: halves[1]}, appended_ms=at_ms)
            if (
                day == 1
            ):  # a resend: the same records at other offsets, whose rows a merge takes away
                log.store({1: halves[1][:20]}, appended_ms=at_ms + 1000)
        clickhouse.command("OPTIMIZE TABLE event_log FINAL")
        policy = _policy(read_key_file(Path(config.key_file)).public_key)
        store_policy(clickhouse, policy, note_signed(policy.text, OWNER, owner_name(LOG_NAME)))
        scene = Scene(clickhouse, config, log, made)
        scene.anchor()
        yield scene


def test_an_event_is_proven(scene: Scene) -> None:
    """Its file leads from the record's digest to a signed checkpoint, in at most 4 kB."""
    event = scene.events[100]
    (proven,) = prove_event(scene.clickhouse, scene.config, event.event_id)
    proof, checkpoint, note = parse_tlog_proof(proven.proof.text)
    key = read_key_file(Path(scene.config.key_file)).public_key
    assert signers(note, {checkpoint.origin: key}, is_signed_by) == {checkpoint.origin}
    found = root_by_inclusion(leaf_hash(proof.leaf), proof.offset, checkpoint.size, proof.hashes)
    assert found == checkpoint.root
    assert proven.logged.event.record == event.record
    assert proven.anchor is not None
    assert len(proven.proof.text) <= 4096


def test_of_copies_the_first_is_proven(scene: Scene) -> None:
    """A record that was sent twice has one proof: that of the copy whose row is kept."""
    event = next(e for e in scene.of("s-1") if e.data["day"] == 1)
    (proven,) = prove_event(scene.clickhouse, scene.config, event.event_id)
    assert proven.proof.offset < 400


def test_what_is_not_there_has_no_proof(scene: Scene) -> None:
    """An unknown id gives none; without a named log nothing can be proven, and it is said how it could."""
    assert not prove_event(scene.clickhouse, scene.config, "01900000-0000-7000-8000-000000000000")
    with pytest.raises(ConfigError, match="log_name"):
        Prover(scene.clickhouse, ProofConfig())


@pytest.mark.parametrize("session", ["s-0", "s-1", "s-2"])
def test_a_session_is_bundled_whole(scene: Scene, session: str) -> None:
    """With its resent copies, on the days that are finished; both checkers find it proven, and signed."""
    tenant = "" if session == "s-0" else "acme"
    made = bundle_session(scene.clickhouse, scene.config, session, tenant)
    about = json.loads(read_archive(made.content)["bundle.json"])
    records = [
        data for name, data in read_archive(made.content).items() if name.endswith(".record")
    ]
    assert {each.record for each in scene.of(session)} == set(records)
    assert made.events == len(about["events"]) >= 200
    assert made.days == ("2026-09-21", "2026-09-22", "2026-09-23")
    assert codes_of_both([made.content], PIN) == [(0, 0)]
    assert codes_of_both([made.content], None) == [(2, 2)]


def test_copies_whose_rows_were_merged_are_in_the_session(scene: Scene) -> None:
    """Each leaf of the session is in the bundle, also where its row is gone: the manifest counts it."""
    made = bundle_session(scene.clickhouse, scene.config, "s-1", "acme")
    assert made.events > len(scene.of("s-1"))


def test_absence_is_bundled(scene: Scene) -> None:
    """A session that is not there, or is another tenant's, is shown absent on every day by the manifests alone."""
    for session, tenant in (("nobody", "acme"), ("s-1", "other"), ("s-1", "")):
        made = bundle_session(scene.clickhouse, scene.config, session, tenant)
        assert (made.events, len(made.days)) == (0, DAYS)
        assert codes_of_both([made.content], PIN) == [(0, 0)]


def test_chosen_events_are_bundled(scene: Scene, tmp_path: Path) -> None:
    """Of several sessions; the log's signature says that these were chosen. A file that is there is left alone."""
    wanted = [(e.session_id, e.event_id) for e in scene.events[:200]]
    made = bundle_events(scene.clickhouse, scene.config, wanted)
    assert (made.events, made.is_signed, made.without_leaf) == (200, True, 0)
    assert codes_of_both([made.content], PIN) == [(0, 0)]
    path = tmp_path / "bundle.zip"
    write_bundle(path, made.content)
    assert path.read_bytes() == made.content
    with pytest.raises(FileExistsError):
        write_bundle(path, b"other")
    assert [each.name for each in tmp_path.iterdir()] == ["bundle.zip"]


def test_erased_events_keep_their_proofs(scene: Scene) -> None:
    """A session of which records were erased is bundled whole: nothing is wrong, and the check tells what is gone."""
    before = bundle_session(scene.clickhouse, scene.config, "s-5", "acme")
    gone = [scene.of("s-5")[n] for n in (0, 60)]
    blank(scene.clickhouse, [sha256(each.record).digest() for each in gone])
    made = bundle_session(scene.clickhouse, scene.config, "s-5", "acme")
    assert (made.events, made.days, made.without_leaf) == (before.events, before.days, 0)
    held = [name.endswith(".record") for name in read_archive(made.content)].count(True)
    assert (made.erased, held) == (before.events - held, before.events - made.erased)
    assert made.erased >= 2
    assert codes_of_both([before.content, made.content], PIN) == [(0, 0), (2, 2)]
    (proven,) = prove_event(scene.clickhouse, scene.config, gone[0].event_id)
    assert proven.proof.leaf[-32:] == sha256(gone[0].record).digest()
    chosen = bundle_events(scene.clickhouse, scene.config, [("s-5", gone[1].event_id)])
    assert (chosen.events, chosen.erased, chosen.without_leaf) == (1, 1, 0)


def test_manifests_are_what_leaves_and_rows_say(scene: Scene) -> None:
    """Made again they are the same, follow each other without a gap, and are not made twice."""
    assert make_finished_days(scene.clickhouse, LOG_NAME, _now) == []
    for log in stored_logs(scene.clickhouse):
        days = stored_days(scene.clickhouse, log)
        assert [each.day for each in days] == ["2026-09-21", "2026-09-22", "2026-09-23"]
        origin = str(log.origin(LOG_NAME))
        for before, day in zip([None, *days], days, strict=False):
            again = made_manifest(
                scene.clickhouse, log, origin, day.day, day.first_offset, day.end_offset
            )
            assert (again.root, again.header.sessions) == (day.root, 3)
            assert day.first_offset == (before.end_offset if before else 0)


def test_a_day_is_finished_by_a_record_of_a_later_one(scene: Scene) -> None:
    """The last day has none after it, and no manifest, whatever our clock says."""
    for log in stored_logs(scene.clickhouse):
        assert stored_days(scene.clickhouse, log)[-1].day == "2026-09-23"


def test_days_between_a_wrong_clock_and_now_have_no_manifest(
    database: ClickHouseConfig, tmp_path: Path
) -> None:
    """One record of 1970 is a day, then the next with a record; a session over both is whole to both checkers."""
    signing = log_key(tmp_path)
    owner = base64.b64encode(OWNER.public_key).decode()
    config = ProofConfig(log_name=LOG_NAME, key_file=signing.key_file, owner_key=owner)
    events = [AuditEvent(type="note", session_id="s", data={"n": n}) for n in range(3)]
    with ClickHouse(database) as clickhouse:
        log = ProvenLog(clickhouse, config)
        for event, at_ms in zip(events, (1_000, START_MS, START_MS + DAY_MS), strict=True):
            log.store({0: [event]}, appended_ms=at_ms)
        policy = _policy(read_key_file(Path(config.key_file)).public_key)
        store_policy(clickhouse, policy, note_signed(policy.text, OWNER, owner_name(LOG_NAME)))
        scene = Scene(clickhouse, config, log, events)
        scene.anchor()
        scene.anchor()
        [stored] = stored_logs(clickhouse)
        assert [each.day for each in stored_days(clickhouse, stored)] == ["1970-01-01", FIRST_DAY]
        made = bundle_session(clickhouse, config, "s", "")
        assert (made.events, made.days) == (3, ("1970-01-01", FIRST_DAY))
        assert codes_of_both([made.content], PIN) == [(0, 0)]


def test_a_stranger_row_has_no_proof(scene: Scene) -> None:
    """A row that somebody inserted beside the log has no leaf, and is not proven."""
    scene.clickhouse.command(
        "INSERT INTO event_log SELECT * REPLACE (concat(record, ' ') AS record,"
        " substring(SHA256(concat(record, ' ')), 1, 16) AS record_key, 's-forged' AS session_id,"
        " generateUUIDv4() AS event_id)"
        " FROM (SELECT * FROM event_log WHERE session_id = 's-2' LIMIT 1)"
    )
    events = events_of_session(scene.clickhouse, "s-forged")
    found, missing = logged(scene.clickhouse, events)
    assert (len(found), len(missing)) == (0, 1)
    with pytest.raises(ProofError, match="no leaf"):
        prove_event(scene.clickhouse, scene.config, missing[0].event_id)
    scene.clickhouse.command("DELETE FROM event_log WHERE session_id = 's-forged'")


def test_changed_leaves_prove_nothing(database: ClickHouseConfig, tmp_path: Path) -> None:
    """Where a stored leaf was changed, no proof is given out that would not hold: it is said instead."""
    config = log_key(tmp_path)
    with ClickHouse(database) as clickhouse:
        log = ProvenLog(clickhouse, config)
        events = [AuditEvent(type="message_sent", session_id="s", data={"n": n}) for n in range(8)]
        log.store({0: events})
        clickhouse.command("DELETE FROM log_leaves WHERE kafka_offset = 3")
        found, _ = logged(clickhouse, events_of_session(clickhouse, "s"))
        with pytest.raises(IntegrityError, match="do not lead to the root"):
            Prover(clickhouse, config).proven(found[:2])


@pytest.fixture
def settings(scene: Scene, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the variables by which the program finds this scene."""
    database = scene.clickhouse.config.database
    for name, value in cluster.environment(database=database).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TRAILHOUSE_PROOF_LOG_NAME", LOG_NAME)
    monkeypatch.setenv("TRAILHOUSE_PROOF_KEY_FILE", scene.config.key_file)
    monkeypatch.setenv("TRAILHOUSE_PROOF_OWNER_KEY", scene.config.owner_key)


@pytest.mark.usefixtures("settings")
def test_by_the_command_line(
    scene: Scene, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An event's proof goes to standard output as it is; sessions and selections become bundles that can be checked."""
    event = scene.events[7]
    assert main(["prove", event.event_id]) == 0
    proof, _, _ = parse_tlog_proof(capsys.readouterr().out)
    assert proof.leaf[9:] == sha256(event.record).digest()
    assert main(["prove", "01900000-0000-7000-8000-000000000000"]) == 1
    whole, some = tmp_path / "whole.zip", tmp_path / "some.zip"
    assert main(["prove", "--session", "s-2", "--tenant", "acme", "--to", str(whole)]) == 0
    assert main(["export", "session:s-3", "--bundle", str(some)]) == 0
    for path in (whole, some):
        assert main(["export", "--check", str(path), "--owner", PIN]) == 0
        assert main(["export", "--check", str(path)]) == 2
        path.write_bytes(path.read_bytes().replace(b"message_sent", b"message_seen", 1))
        assert main(["export", "--check", str(path), "--owner", PIN]) == 1
    assert main(["prove", "--session", "s-2", "--tenant", "acme", "--to", str(whole)]) == 2
    assert main(["prove"]) == main(["prove", "--session", "s-2"]) == 2
    assert main(["proof", "manifest"]) == 0
    assert "every finished day" in capsys.readouterr().out
