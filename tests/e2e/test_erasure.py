"""Erasure on the real tables: what records said is nowhere, what was signed stays true, and nothing comes back."""

import datetime as dt
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet
import pytest

from cluster import Cluster
from erasure_scene import SECRET, TABLES, Scene, an_event, scene_of
from kafka_records import Record
from trailhouse.broker.origin import Origin
from trailhouse.cli.main import main
from trailhouse.consumer.batch.batch import Batch, Limits
from trailhouse.consumer.batch.erasure_orders import ErasureOrders
from trailhouse.consumer.batch.writer import BatchWriter
from trailhouse.operate.derived_rows import compare_derived
from trailhouse.operate.verify.report import Outcome
from trailhouse.proof.erasure import erasure_name
from trailhouse.proof.keys import create_key_file, is_signed_by, note_signed
from trailhouse.proof.note import parse_note, signers
from trailhouse.query import AlteredEvent, AuditReader, parse
from trailhouse.schemas import KafkaConfig
from trailhouse.schemas.errors import IntegrityError
from trailhouse.schemas.record_hash import record_hash
from trailhouse.store import ClickHouseConfig
from verified_log import CLUSTER, NAME, START_MS, TOPIC, TOPIC_ID

pytestmark = pytest.mark.cluster


@pytest.fixture
def scene(
    cluster: Cluster,
    kafka: KafkaConfig,
    database: ClickHouseConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Scene]:
    """Return a log to be erased from."""
    made = scene_of(cluster, kafka, database, tmp_path, monkeypatch)
    with made.storage:
        yield made


def test_nothing_of_a_subject_is_left_and_all_that_was_signed_fits(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    """No column of any table says what the records said, others' rows are as they were, and verify finds nothing."""
    assert scene.holding("lovelace").keys() == set(TABLES)
    before = scene.numbers("event_log")
    assert scene.erase("--subject", "lovelace") == 0
    assert scene.holding("lovelace") == {"event_quarantine": 1}, (
        "what only holds the id within a word"
    )
    assert scene.numbers("event_log") == before
    assert scene.holding("bob")["event_log"] == 2
    report = scene.log.verify()
    assert report.findings == ()
    assert report.verdict is Outcome.INTACT
    assert scene.log.verify(quick=True).verdict is Outcome.INTACT
    assert all(each.is_sound for each in compare_derived(scene.storage))
    assert "2 records" in capsys.readouterr().out


def test_a_text_is_erased_wherever_it_stands(scene: Scene) -> None:
    """By a text, records in quarantine are erased too, their key and headers with them; their hash and size stay."""
    size = len(scene.bad)
    assert scene.erase("--text", SECRET) == 0
    assert scene.holding(SECRET) == {}
    rows = scene.storage.query(
        "SELECT record, key, headers, size_bytes, record_hash FROM event_quarantine WHERE kafka_offset = 0"
    ).rows
    assert rows == [("", None, [], size, record_hash(scene.bad))]
    assert scene.log.found() == set()
    assert scene.log.verify().verdict is Outcome.INTACT
    assert scene.log.verify(quick=True).verdict is Outcome.INTACT


def test_reads_say_by_which_order_an_event_was_erased(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    """A session's log leaves out what was erased, names the order on request, and still tells what was altered."""
    assert scene.erase("--subject", "lovelace") == 0
    with AuditReader(config=scene.storage.config) as reader:
        assert [event.record for event in reader.get_audit_log("s-1")] == scene.bob[:1]
        marked = reader.get_audit_log("s-1", on_altered="mark")
        erased = [each for each in marked if isinstance(each, AlteredEvent)]
        assert [each.reason for each in erased] == ["its record was erased by order 1"] * 2
        assert [each.erased_by for each in erased] == [1, 1]
        scene.log.attack(
            "ALTER TABLE event_log UPDATE record = '' WHERE session_id = 's-2'"
            " SETTINGS mutations_sync = 2"
        )
        with pytest.raises(IntegrityError, match="no order of erasure names it"):
            reader.get_audit_log("s-2")
        page = reader.search(parse("session:s-1"))
        problems = [found.problem for found in page.items if found.problem]
        assert len(problems) == 2
        assert all("erased" in problem for problem in problems)
    capsys.readouterr()
    assert main(["log", "s-1", "--format", "jsonl"]) == 0
    shown = capsys.readouterr()
    assert shown.out.encode() == scene.bob[0] + b"\n"
    assert shown.err.count("erased by order 1") == 2


def test_an_export_says_what_was_erased_and_what_was_altered(
    scene: Scene, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lines leave out both and count each by its name; columns mark each; a check repeats what was erased."""
    assert scene.erase("--subject", "lovelace") == 0
    with AuditReader(config=scene.storage.config) as reader:
        there = reader.count().value
        whole = reader.export(tmp_path / "whole")
        assert (whole.rows, whole.erased, whole.altered) == (there - 2, 2, 0)
        scene.log.attack(
            "ALTER TABLE event_log UPDATE record = '' WHERE session_id = 's-2'"
            " SETTINGS mutations_sync = 2"
        )
        blank = reader.count("session:s-2").value
        found = reader.export(tmp_path / "lines")
        assert (found.rows, found.erased, found.altered) == (there - 2 - blank, 2, blank)
        reader.export(tmp_path / "columns", format="parquet")
    [file] = (tmp_path / "columns").glob("*.parquet")
    table = pyarrow.parquet.read_table(file)
    assert sum(table["is_erased"].to_pylist()) == 2
    assert sum(table["is_altered"].to_pylist()) == blank
    capsys.readouterr()
    assert main(["export", "--check", str(tmp_path / "whole")]) == 0
    assert "2 rows erased by order" in capsys.readouterr().out


def test_blank_without_an_order_is_found(scene: Scene) -> None:
    """The very same blank row is found where nobody who may has ordered it."""
    assert scene.erase("--subject", "lovelace") == 0
    scene.storage.command("TRUNCATE TABLE log_erasures")
    assert ("records", "blanked") in scene.log.found()


def test_an_order_stands(scene: Scene) -> None:
    """A replay and a late copy of an erased record are stored blank, and a restored backup is blanked again."""
    assert scene.erase("--text", SECRET) == 0
    orders = ErasureOrders(scene.storage, scene.log.proof)
    writer = BatchWriter(scene.storage, Origin(CLUSTER, TOPIC, TOPIC_ID), _now, orders.among)
    batch = Batch(Limits(rows=100, size_bytes=10**9), time.monotonic)
    records = [*scene.ada, *scene.bob, *scene.ada]
    batch.add(
        [
            Record(value, partition=0, offset=offset, appended_ms=START_MS + offset)
            for offset, value in enumerate(records)
        ]
    )
    batch.add([Record(scene.bad, partition=1, offset=0, appended_ms=START_MS)])
    stored = writer.write(batch)
    assert (stored.stored_rows, stored.quarantined_rows) == (6, 1)
    assert scene.holding(SECRET) == {}
    assert scene.storage.query("SELECT count() FROM event_log WHERE record = ''").rows[0][0] >= 2
    assert all(each.is_sound for each in compare_derived(scene.storage))
    # As a backup of before brings them back: the rows as they were, behind the worker's back.
    scene.log.store_rows([scene.ada[0]], [0], [START_MS])
    assert scene.holding(SECRET).keys() == {"event_log"}
    assert main(["erase", "--reapply"]) == 0
    assert scene.holding(SECRET) == {}
    assert main(["erase", "--reapply"]) == 0


def test_an_order_counts_at_once_where_partitions_were_just_assigned(scene: Scene) -> None:
    """Who takes over reads again what a killed worker has stored; later, what was asked counts for half a minute."""
    at_seconds = [0.0]
    orders = ErasureOrders(scene.storage, scene.log.proof, clock=lambda: at_seconds[0])
    batch = Batch(Limits(rows=100, size_bytes=10**9), time.monotonic)
    batch.add([Record(scene.ada[0], partition=0, offset=0, appended_ms=START_MS)])
    assert orders.among(batch.spans.values()) == frozenset()
    assert scene.erase("--text", SECRET) == 0
    at_seconds[0] = 29.0
    assert orders.among(batch.spans.values()) == frozenset()
    orders.note_assigned()
    assert len(orders.among(batch.spans.values())) == 1


def test_an_order_of_nobody_who_may_blanks_nothing(scene: Scene) -> None:
    """A forged order, which whoever writes to ClickHouse can store, has no effect on what a worker stores."""
    digest = record_hash(scene.bob[0])
    assert scene.erase("--subject", "lovelace") == 0
    [row] = scene.storage.query("SELECT erasure FROM log_erasures").rows
    text = parse_note(row[0]).text.replace(row[0].split("\n")[9], digest.hex())
    stranger = create_key_file(scene.folder / "stranger.pem")
    forged = note_signed(text, stranger, erasure_name(NAME))
    scene.storage.command(
        "INSERT INTO log_erasures VALUES (7, 'erase', {forged:String})",
        {"forged": forged},
    )
    batch = Batch(Limits(rows=100, size_bytes=10**9), time.monotonic)
    batch.add([Record(scene.bob[0], partition=0, offset=2, appended_ms=START_MS + 2)])
    assert ErasureOrders(scene.storage, scene.log.proof).among(batch.spans.values()) == frozenset()


def test_what_is_held_is_not_erased_until_it_is_lifted(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    """A hold on a session, a subject, a tenant, an event or everything refuses the whole order; lifting it lets it."""
    for option in (
        ["--session", "s-1"],
        ["--subject", "lovelace"],
        ["--tenant", "acme"],
        ["--everything"],
    ):
        assert main(["hold", *option, *scene.who]) == 0
        assert scene.erase("--subject", "lovelace") == 2
        assert "under a legal hold" in capsys.readouterr().err
        assert scene.holding("lovelace").keys() == set(TABLES)
        assert main(["hold", *option, "--lift", *scene.who]) == 0
    assert main(["hold", "--session", "s-2", *scene.who]) == 0
    assert main(["hold", "--session", "s-3", "--lift", *scene.who]) == 2
    assert scene.erase("--subject", "lovelace") == 0
    capsys.readouterr()
    assert main(["hold", "--list"]) == 0
    listed = capsys.readouterr().out
    assert "9  hold  1  by alice: request 12" in listed
    assert "s-2" not in listed


def test_an_event_is_held_however_its_id_is_written(scene: Scene) -> None:
    """Digits in capitals, in the record or in the command, are the same id."""
    record = an_event("s-9", "eve", "x")
    event_id = json.loads(record)["event_id"]
    scene.log.append([record.replace(event_id.encode(), event_id.upper().encode())])
    assert main(["hold", "--event", event_id.replace("-", ""), *scene.who]) == 0
    assert scene.erase("--subject", "eve") == 2
    assert main(["hold", "--event", event_id.upper(), "--lift", *scene.who]) == 0
    assert scene.erase("--subject", "eve") == 0


def test_nothing_is_erased_of_which_no_certificate_can_be_written(scene: Scene) -> None:
    """A file that is there is not replaced, a folder that is not there is told: before anything is ordered."""
    for name in ("alice.pem", "none/certificate"):
        target = ["--certificate", str(scene.folder / name), "--yes"]
        assert main(["erase", "--subject", "lovelace", *scene.who, *target]) == 2
    assert scene.storage.query("SELECT count() FROM log_erasures").rows == [(0,)]
    assert scene.holding("lovelace").keys() == set(TABLES)


def test_only_an_operator_of_the_policy_orders(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another key, another name, no reason, nothing that narrows it: nothing is ordered, no row is touched."""
    create_key_file(scene.folder / "other.pem")
    other = ["--operator-key", str(scene.folder / "other.pem"), "--reason", "r", "--yes"]
    assert main(["erase", "--subject", "lovelace", "--operator", "alice", *other]) == 1
    assert main(["erase", "--subject", "lovelace", "--operator", "bob", *other]) == 1
    assert main(["erase", "--subject", "lovelace", "--yes"]) == 2
    assert main(["erase", "--tenant", "acme", *scene.who, "--yes"]) == 2
    assert main(["erase", *scene.who, "--yes"]) == 2
    assert main(["erase", "--event", "no id", *scene.who, "--yes"]) == 2
    assert main(["erase", "--subject", "lovelace", *scene.who]) == 2, "nobody can be asked here"
    assert main(["erase", "--subject", "lovelace", "--dry-run"]) == 0
    assert "2 records of 1 session would be erased" in capsys.readouterr().out
    assert scene.erase("--subject", "nobody") == 0
    assert scene.storage.query("SELECT count() FROM log_erasures").rows == [(0,)]
    assert scene.holding("lovelace").keys() == set(TABLES)


def test_the_certificate_names_each_place_and_says_nothing_of_what_was_erased(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is signed by the operator, names where copies may be and until when, and holds nothing of the records."""
    assert scene.erase("--text", SECRET) == 0
    shown = capsys.readouterr().out
    content = (scene.folder / "certificate").read_text()
    name = erasure_name(NAME)
    note = parse_note(content)
    assert signers(note, {name: scene.operator.public_key}, is_signed_by) == {name}
    made = json.loads(note.text.split("\n")[1])
    assert made["records"] == 2
    assert made["blanked_rows"]["event_log"] == 1
    assert made["blanked_rows"]["event_quarantine"] == 1
    places = " ".join(copy["place"] for copy in made["copies"])
    for word in ("Kafka", "spools", "parts", "backups", "exports", "query_log", "anchors"):
        assert word in places
        assert word in shown
    for secret in (SECRET, "lovelace", "Byron"):
        assert secret not in content + shown


def test_a_row_that_lies_is_not_ordered_erased(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who changes columns cannot have an operator sign the erasure of another's record."""
    scene.log.attack(
        "ALTER TABLE event_log UPDATE actor_id = 'lovelace' WHERE session_id = 's-2' SETTINGS mutations_sync = 2"
    )
    assert scene.erase("--subject", "lovelace") == 1
    assert "its record says otherwise" in capsys.readouterr().err
    assert scene.storage.query("SELECT count() FROM log_erasures").rows == [(0,)]


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
