"""`verify` over real tables: what an administrator of ClickHouse changes is found, and what is legitimate is not."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from trailhouse.cli.main import main
from trailhouse.operate.verify.duties.leaves import tails
from trailhouse.operate.verify.registry import DUTIES
from trailhouse.operate.verify.report import Outcome
from trailhouse.operate.verify.rows import scan
from trailhouse.operate.verify.scope import Scope
from trailhouse.operate.verify.state import read_state, write_state
from trailhouse.proof.config import ProofConfig
from trailhouse.proof.keys import FileSigner
from trailhouse.proof.merkle import CompactRange
from trailhouse.schemas import Actor, AuditEvent
from trailhouse.store import ClickHouseConfig
from verified_log import DUTIES_OF_ROWS, START_MS, VerifiedLog

pytestmark = pytest.mark.cluster

START = dt.datetime.fromtimestamp(START_MS / 1_000, dt.UTC)
SYNC = "SETTINGS mutations_sync = 2"


def events(count: int, session: str = "s") -> list[bytes]:
    """Return records of events, each different from every other."""
    return [
        AuditEvent(
            type="tool_call_completed",
            session_id=f"{session}-{place % 3}",
            tenant_id="acme",
            actor=Actor(type="user", id="ada.lovelace@example.org"),
            data={"tool_name": "search", "duration_ms": 1.5, "input_tokens": place},
        ).record
        for place in range(count)
    ]


@pytest.fixture
def log(database: ClickHouseConfig, monkeypatch: pytest.MonkeyPatch) -> Iterator[VerifiedLog]:
    """Return a proven log of two partitions, with a bad record and one that is null; no worker is waited for."""
    monkeypatch.setattr(tails, "SIGNED_WITHIN_SECONDS", 0.0)
    made = VerifiedLog(database)
    made.append(events(20))
    made.append([b"no event", None, *events(3)], partition=1)
    made.append(events(10), holes_before=2)
    with made.clickhouse:
        yield made


@pytest.mark.parametrize("held_at_once", [1, 1_000])
@pytest.mark.parametrize("quick", [False, True])
def test_nothing_is_read_twice_where_rows_and_leaves_are_the_same(
    log: VerifiedLog, monkeypatch: pytest.MonkeyPatch, held_at_once: int, *, quick: bool
) -> None:
    """Nor are bad records, few or many: their rows are taken away from the sums as those of events are."""
    monkeypatch.setattr(scan, "HELD_AT_ONCE", held_at_once)
    steps: list[str] = []
    report = log.verify(quick=quick, tell=steps.append)
    assert report.findings == ()
    assert [step for step in steps if "once more" in step] == []


def test_what_nobody_touched_is_intact(log: VerifiedLog) -> None:
    """Every leaf, row and column is looked at, and nothing is found."""
    report = log.verify()
    assert [duty.reasons for duty in report.duties if duty.reasons] == []
    assert report.findings == ()
    assert report.verdict is Outcome.INTACT
    by_name = {duty.name: duty for duty in report.duties}
    assert by_name["leaves"].checked == 35
    assert by_name["rows"].checked == 35
    assert sum(report.sizes.values()) == 37


@pytest.mark.long
@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (
            f"ALTER TABLE event_log UPDATE tool_name = 'delete' WHERE kafka_offset = 3 {SYNC}",
            {("columns", "columns"), ("columns", "derived_rows")},
        ),
        (
            "ALTER TABLE event_log UPDATE record = replaceOne(record, 'search', 'delete')"
            f" WHERE kafka_offset = 3 {SYNC}",
            {
                ("columns", "columns"),
                ("records", "record_gone"),
                ("rows", "other_record"),
            },
        ),
        (
            f"ALTER TABLE event_log DELETE WHERE kafka_offset = 3 AND kafka_partition = 0 {SYNC}",
            {("records", "record_gone"), ("columns", "derived_rows")},
        ),
        (
            f"ALTER TABLE event_log UPDATE record = '' WHERE kafka_offset = 3 {SYNC}",
            {("records", "blanked"), ("columns", "derived_rows")},
        ),
        (
            "INSERT INTO event_log SELECT * REPLACE (appended_at - 1 AS appended_at) FROM event_log"
            " WHERE kafka_offset = 3 AND kafka_partition = 0",
            {("rows", "other_time")},
        ),
        (
            "INSERT INTO event_log SELECT * REPLACE (kafka_offset + 1 AS kafka_offset) FROM ("
            "SELECT * FROM event_log WHERE kafka_offset = 3 AND kafka_partition = 0)",
            {("rows", "other_record")},
        ),
        (
            "INSERT INTO event_log SELECT * REPLACE (kafka_offset + 1000 AS kafka_offset) FROM ("
            "SELECT * FROM event_log WHERE kafka_offset = 3 AND kafka_partition = 0)",
            {("rows", "row_without_leaf")},
        ),
        (
            "INSERT INTO event_log SELECT * REPLACE (kafka_partition + 7 AS kafka_partition) FROM ("
            "SELECT * FROM event_log WHERE kafka_offset = 3 AND kafka_partition = 0)",
            {("rows", "row_without_leaf")},
        ),
        (
            "INSERT INTO event_log SELECT * REPLACE (20 AS kafka_offset) FROM ("
            "SELECT * FROM event_log WHERE kafka_offset = 3 AND kafka_partition = 0)",
            {("rows", "row_without_leaf")},
        ),
        (
            f"ALTER TABLE event_quarantine UPDATE record = '' WHERE isNull(record) {SYNC}",
            {("records", "record_gone"), ("rows", "other_record")},
        ),
        (
            f"ALTER TABLE event_quarantine DELETE WHERE kafka_offset = 0 {SYNC}",
            {("records", "record_gone")},
        ),
        (
            f"ALTER TABLE log_leaves DELETE WHERE kafka_offset = 3 AND kafka_partition = 0 {SYNC}",
            {
                ("leaves", "root_differs"),
                ("rows", "row_without_leaf"),
                ("records", "hole_without_incident"),
            },
        ),
        (
            "INSERT INTO log_leaves SELECT * REPLACE (appended_ms - 1 AS appended_ms) FROM log_leaves"
            " WHERE kafka_offset = 3 AND kafka_partition = 0",
            {("leaves", "two_leaves"), ("leaves", "root_differs")},
        ),
        (
            f"ALTER TABLE event_index DELETE WHERE session_id = 's-1' {SYNC}",
            {("columns", "derived_rows")},
        ),
    ],
)
def test_what_is_changed_is_found(
    log: VerifiedLog, sql: str, expected: set[tuple[str, str]]
) -> None:
    """One row that is altered, blanked, deleted or dated anew is found by each duty that it offends.

    Where ClickHouse hashes and adds up, by the same ones: but for columns, of which it holds none against a record.
    """
    log.attack(sql)
    report = log.verify()
    assert {(each.duty, each.kind) for each in report.findings} == expected
    assert report.verdict is Outcome.FOUND
    unseen = {("columns", "columns")} if "tool_name" in sql else set()
    assert log.found(quick=True) == expected - unseen


def test_an_event_is_hidden_by_moving_it_into_quarantine(log: VerifiedLog) -> None:
    """Every byte and leaf is there, and still it is found: the record is an event, decided again."""
    log.attack(
        "INSERT INTO event_quarantine (kafka_cluster, kafka_topic, kafka_topic_id, kafka_partition, kafka_offset,"
        " appended_at, last_offset, size_bytes, record_hash, record) SELECT kafka_cluster, kafka_topic,"
        " kafka_topic_id, kafka_partition, kafka_offset, appended_at, kafka_offset, length(record), SHA256(record),"
        " record FROM event_log WHERE kafka_offset = 3 AND kafka_partition = 0"
    )
    # Beside its row it harms nobody.
    assert log.found() == set()
    for table in ("event_log", "event_index", "event_usage"):
        place = "record_key IN (SELECT toFixedString(substring(record_hash, 1, 16), 16) FROM event_quarantine)"
        log.attack(f"ALTER TABLE {table} DELETE WHERE {place} {SYNC}")
    assert log.found() == {("verdicts", "hidden_event")}
    assert log.found(without={"verdicts"}) == set()


def test_an_insert_alone_rewrites_nothing_unseen(log: VerifiedLog) -> None:
    """A row of the same key with an earlier time wins, and a merge destroys the true one: both are found."""
    log.attack(
        "INSERT INTO event_log SELECT * REPLACE (appended_at - 1 AS appended_at, 'harmless' AS tool_name)"
        " FROM event_log WHERE kafka_offset = 3 AND kafka_partition = 0"
    )
    assert log.found() >= {("rows", "other_time"), ("columns", "columns")}
    log.attack("OPTIMIZE TABLE event_log FINAL")
    assert log.found() >= {("rows", "other_time"), ("columns", "columns")}


def test_copies_that_are_merged_away_are_no_loss(log: VerifiedLog) -> None:
    """A record that was sent again keeps both leaves, and one row of it is enough."""
    again = log.clickhouse.query(
        "SELECT record FROM event_log WHERE kafka_offset < 5 AND kafka_partition = 0",
        bytes_columns=("record",),
    ).rows
    log.append([record for (record,) in again])
    log.attack("OPTIMIZE TABLE event_log FINAL")
    assert log.clickhouse.query("SELECT count() FROM event_log").rows[0][0] == 33
    assert log.verify().verdict is Outcome.INTACT
    assert log.verify(quick=True).verdict is Outcome.INTACT


def test_what_is_written_again_is_no_contradiction(log: VerifiedLog) -> None:
    """A replay, a zombie and a part that is attached again write the same rows and leaves once more."""
    for table in ("event_log", "event_quarantine", "log_leaves", "log_checkpoints"):
        log.attack(f"INSERT INTO {table} SELECT * FROM {table}")
    assert log.verify().verdict is Outcome.INTACT
    assert log.verify(quick=True).verdict is Outcome.INTACT


def test_a_smaller_true_checkpoint_is_legitimate_and_a_forged_one_is_not(log: VerifiedLog) -> None:
    """Whatever size a checkpoint has, its root must be that of the leaves; one that is not says who signed it."""
    other = CompactRange()
    other.extend([b"x" * 32] * 3)
    log.sign(tree=other, signer=FileSigner(Ed25519PrivateKey.generate()))
    assert log.found() == {("leaves", "forged_checkpoint")}
    log.sign(tree=other)
    assert log.found() == {("leaves", "forged_checkpoint"), ("leaves", "root_differs")}


def test_without_a_pin_or_a_signature_nothing_is_called_intact(log: VerifiedLog) -> None:
    """Where no owner is pinned, or nobody has signed, the answer is that it could not be checked."""
    assert log.verify(proof=ProofConfig()).verdict is Outcome.COULD_NOT_CHECK
    log.attack(f"ALTER TABLE log_checkpoints DELETE WHERE 1 {SYNC}")
    assert log.verify().verdict is not Outcome.INTACT


def test_an_end_that_nobody_signed_cannot_be_checked_unless_something_shows_that_it_was(
    log: VerifiedLog,
) -> None:
    """It is as a killed worker leaves it; leaves that are minutes older than those before no broker has appended."""
    rest = "log_checkpoints WHERE size > 20 AND kafka_partition = 0"
    log.attack(f"DELETE FROM {rest}")
    report = log.verify()
    assert report.verdict is Outcome.COULD_NOT_CHECK
    assert report.findings == ()
    assert "start one" in next(each for each in report.duties if each.name == "leaves").reasons[0]
    log.attack(
        "INSERT INTO log_leaves SELECT * REPLACE (32 AS kafka_offset, appended_ms - 120000 AS appended_ms) FROM ("
        "SELECT * FROM log_leaves WHERE kafka_offset = 3 AND kafka_partition = 0)"
    )
    assert ("leaves", "uncovered") in log.found()


def test_a_signed_hole_at_the_end_needs_a_reason_too(log: VerifiedLog) -> None:
    """A worker that signs past records which it has not stored says why, or is found."""
    log.trees[1].extend_holes(2)
    log.sign(1)
    assert log.found() == {("records", "hole_without_incident")}
    log.store_holes(5, 6, partition=1)
    assert log.verify().verdict is Outcome.INTACT


def test_a_log_of_which_the_tail_is_cut_is_found(log: VerifiedLog) -> None:
    """Whoever deletes the last rows with their leaves leaves a signed size that nothing reaches."""
    for table in ("event_log", "log_leaves"):
        log.attack(
            f"ALTER TABLE {table} DELETE WHERE kafka_offset > 25 AND kafka_partition = 0 {SYNC}"
        )
    assert ("leaves", "root_differs") in log.found()


def test_a_session_or_a_tenant_is_verified_by_itself(log: VerifiedLog) -> None:
    """Only its rows are looked at, each of them against its leaf; that none is missing is not said."""
    report = log.verify(scope=Scope(session_id="s-1"))
    assert report.verdict is Outcome.INTACT
    assert 0 < next(each.checked for each in report.duties if each.name == "rows") < 33
    assert log.verify(scope=Scope(tenant_id="acme")).verdict is Outcome.INTACT
    # A name that was mistyped is not intact.
    assert log.verify(scope=Scope(session_id="s-11")).verdict is Outcome.COULD_NOT_CHECK
    log.attack(
        "INSERT INTO event_log SELECT * REPLACE (kafka_offset + 1 AS kafka_offset) FROM event_log"
        " WHERE session_id = 's-1' LIMIT 1"
    )
    assert log.found(scope=Scope(session_id="s-1")) == {("rows", "other_record")}
    assert log.found(scope=Scope(session_id="s-2")) == set()


def test_a_stretch_of_time_is_verified_by_itself(log: VerifiedLog) -> None:
    """Leaves and rows of that time are matched, both ways."""
    scope = Scope(since=START + dt.timedelta(milliseconds=4))
    assert log.verify(scope=scope).verdict is Outcome.INTACT
    log.attack(
        f"ALTER TABLE event_log DELETE WHERE kafka_offset = 3 AND kafka_partition = 0 {SYNC}"
    )
    assert log.verify(scope=scope).verdict is Outcome.INTACT
    log.attack(
        f"ALTER TABLE event_log DELETE WHERE kafka_offset = 5 AND kafka_partition = 0 {SYNC}"
    )
    gone = {("records", "record_gone"), ("columns", "derived_rows")}
    assert log.found(scope=scope) == log.found(scope=scope, quick=True) == gone


def test_a_later_run_goes_on_from_what_an_earlier_one_has_kept(
    log: VerifiedLog, tmp_path: Path
) -> None:
    """Only what is new is read; what was signed before binds what is signed now."""
    path = tmp_path / "verified.json"
    write_state(path, log.verify().kept)
    log.append(events(4))
    for quick in (True, False):
        report = log.verify(since=read_state(path), quick=quick)
        assert report.verdict is Outcome.INTACT
        by_name = {each.name: each.checked for each in report.duties}
        assert by_name["leaves"] == by_name["rows"] == 4
    log.attack(f"ALTER TABLE event_log UPDATE tool_name = 'x' WHERE kafka_offset = 33 {SYNC}")
    assert log.found(since=read_state(path)) == {("columns", "columns")}


def test_the_command_says_it_by_its_exit_code(
    log: VerifiedLog,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """0 intact, 1 found, 2 could not be checked; a line a duty, and a file of metrics to alert on."""
    config = log.config
    monkeypatch.setenv("TRAILHOUSE_CLICKHOUSE_URL", config.url)
    monkeypatch.setenv("TRAILHOUSE_CLICKHOUSE_DATABASE", config.database)
    monkeypatch.setenv("TRAILHOUSE_CLICKHOUSE_USER", config.user)
    monkeypatch.setenv("TRAILHOUSE_CLICKHOUSE_PASSWORD", config.password)
    monkeypatch.setenv("TRAILHOUSE_PROOF_LOG_NAME", log.proof.log_name)
    monkeypatch.setenv("TRAILHOUSE_PROOF_OWNER_KEY", log.proof.owner_key)
    others = [duty.name for duty in DUTIES if duty not in DUTIES_OF_ROWS]
    metrics = tmp_path / "trailhouse.prom"
    line = ["verify", "--no-event", "--metrics", str(metrics)]
    for name in others:
        line += ["--without", name]

    assert main(line) == 0
    told = capsys.readouterr().out
    assert "intact: all of the log; 2 logs of 37 offsets as signed" in told
    assert "trailhouse_verify_verdict 0" in metrics.read_text()

    state = ["--incremental", "--state", str(tmp_path / "state.json")]
    assert main([*line, *state]) == 0
    log.attack(f"ALTER TABLE event_log UPDATE tool_name = 'x' WHERE kafka_offset = 3 {SYNC}")
    assert main([*line, *state]) == 0  # what was seen is not looked at again
    capsys.readouterr()
    assert main([*line, "--format", "json"]) == 1
    found = msgspec.json.decode(capsys.readouterr().out)
    assert found["verdict"] == "found"
    assert found["duties"][5]["findings"][0]["place"]["first_offset"] == 3
    assert "ada.lovelace@example.org" not in msgspec.json.encode(found).decode()

    monkeypatch.setenv("TRAILHOUSE_PROOF_OWNER_KEY", "")
    assert main([*line, "--session", "none"]) == 2
    monkeypatch.setenv("TRAILHOUSE_CLICKHOUSE_URL", "http://127.0.0.1:1")
    assert main(line) == 2


def test_quickly_the_server_hashes_and_the_report_says_that_it_is_trusted(log: VerifiedLog) -> None:
    """Bytes that were changed are found as well; what rests on the server is named."""
    report = log.verify(quick=True)
    assert report.verdict is Outcome.INTACT
    assert all(
        any("server" in trusted for trusted in duty.trusts)
        for duty in report.duties
        if duty.name in {"records", "rows"}
    )
    log.attack(
        "ALTER TABLE event_log UPDATE record = replaceOne(record, 'search', 'delete')"
        f" WHERE kafka_offset = 3 {SYNC}"
    )
    assert ("rows", "other_record") in log.found(quick=True)


def test_quickly_a_key_that_is_not_its_records_is_found(log: VerifiedLog) -> None:
    """Readers take two rows of one record for one by it, and so does a merge."""
    log.attack(
        "INSERT INTO event_log SELECT * REPLACE (toFixedString('of nobody', 16) AS record_key) FROM event_log"
        " WHERE kafka_offset = 3 AND kafka_partition = 0"
    )
    assert ("columns", "columns") in log.found() & log.found(quick=True)


def test_quickly_rows_from_before_the_first_leaf_are_told(log: VerifiedLog) -> None:
    """They were stored before the log was proven: nothing is said of them, and that is said."""
    log.attack(
        f"ALTER TABLE log_leaves DELETE WHERE kafka_offset < 4 AND kafka_partition = 0 {SYNC}"
    )
    for quick in (True, False):
        report = log.verify(quick=quick)
        assert any("4 rows of" in each for duty in report.duties for each in duty.reasons), quick
