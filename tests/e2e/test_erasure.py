"""Erasure on the real tables: what records said is nowhere, what was signed stays true, and nothing comes back."""

import base64
import datetime as dt
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import Cluster
from kafka_records import Record
from producing import read_topic
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
from trailhouse.proof.policy import owner_name
from trailhouse.proof.policy_changes import first_policy, with_operator
from trailhouse.proof.seal import parse_seal
from trailhouse.query import AlteredEvent, AuditReader, parse
from trailhouse.schemas import Actor, AuditEvent, KafkaConfig, decode
from trailhouse.schemas.errors import IntegrityError
from trailhouse.schemas.record_hash import record_hash
from trailhouse.store import ClickHouse, ClickHouseConfig
from trailhouse.store.erasures import stored_orders
from trailhouse.store.policies import current_policy, store_policy
from verified_log import CLUSTER, NAME, START_MS, TOPIC, TOPIC_ID, VerifiedLog

pytestmark = pytest.mark.cluster

SECRET = "lovelace@example.org lives at 12 Byron Street"
TABLES = ("event_log", "event_index", "event_usage", "event_quarantine")


def an_event(session: str, actor: str, text: str, type: str = "token_usage_updated") -> bytes:
    """Return the record of an event that says *text*, and counts tokens."""
    return AuditEvent(
        type=type,
        session_id=session,
        tenant_id="acme",
        run_id=f"run of {actor}",
        actor=Actor(type="user", id=actor),
        data={"text": text, "input_tokens": 7, "tool_name": f"tool of {actor}"},
    ).record


class Scene:
    """A proven log of two people, with an operator who may order, and the settings of the commands."""

    def __init__(self, config: ClickHouseConfig, folder: Path) -> None:
        self.log = VerifiedLog(config)
        self.folder = folder
        self.operator = create_key_file(folder / "alice.pem")
        policy = first_policy(NAME, self.log.key.public_key)
        for each in (policy, with_operator(policy, "alice", self.operator.public_key)):
            store_policy(
                self.log.clickhouse, each, note_signed(each.text, self.log.owner, owner_name(NAME))
            )
        self.ada = [
            an_event("s-1", "lovelace", SECRET),
            an_event("s-1", "lovelace", "more", "tool_called"),
        ]
        self.bob = [an_event("s-1", "bob", "hello"), an_event("s-2", "bob", "again")]
        self.bad = f"no event: {SECRET}".encode()
        self.log.append([*self.ada, *self.bob])
        self.log.append([self.bad, b"another"], partition=1)

    @property
    def storage(self) -> ClickHouse:
        """A connection to the log's database."""
        return self.log.clickhouse

    @property
    def who(self) -> list[str]:
        """The options that name the operator."""
        key = str(self.folder / "alice.pem")
        return ["--operator", "alice", "--operator-key", key, "--reason", "request 12"]

    def erase(self, *arguments: str) -> int:
        """Run `trailhouse erase`, with an operator and without a question; return its exit code."""
        certificate = str(self.folder / "certificate")
        return main(["erase", *arguments, *self.who, "--yes", "--certificate", certificate])

    def holding(self, text: str) -> dict[str, int]:
        """Return how many rows of each table hold *text* in any column, where there are some."""
        found = {
            table: sum(
                text in str(row) for row in self.storage.query(f"SELECT * FROM {table}").rows
            )
            for table in TABLES
        }
        return {table: count for table, count in found.items() if count}

    def numbers(self, table: str) -> list[tuple[object, ...]]:
        """Return what must stay of each row of *table*."""
        columns = "session_id, tenant_id, record_key, type, occurred_us"
        return self.storage.query(f"SELECT {columns} FROM {table} ORDER BY {columns}").rows


@pytest.fixture
def scene(
    cluster: Cluster,
    kafka: KafkaConfig,
    database: ClickHouseConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Scene]:
    """Return a log to be erased from."""
    for name, value in cluster.environment(database=database.database).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TRAILHOUSE_KAFKA_TOPIC", kafka.topic)  # where erasures are told
    made = Scene(database, tmp_path)
    monkeypatch.setenv("TRAILHOUSE_PROOF_LOG_NAME", NAME)
    monkeypatch.setenv(
        "TRAILHOUSE_PROOF_OWNER_KEY", base64.b64encode(made.log.owner.public_key).decode()
    )
    monkeypatch.chdir(tmp_path)
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


def test_an_order_of_nobody_who_may_blanks_nothing(scene: Scene) -> None:
    """A forged order, which whoever writes to ClickHouse can store, has no effect on what a worker stores."""
    digest = record_hash(scene.bob[0])
    assert scene.erase("--subject", "lovelace") == 0
    [row] = scene.storage.query("SELECT erasure FROM log_erasures").rows
    text = parse_note(row[0]).text.replace(row[0].split("\n")[9], digest.hex())
    stranger = create_key_file(scene.folder / "stranger.pem")
    forged = note_signed(text, stranger, erasure_name(NAME))
    scene.storage.command(
        "INSERT INTO log_erasures VALUES (7, 'erase', {forged:String}, now64(3))",
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


def test_an_order_is_a_sealed_event_that_tells_nothing_of_what_was_erased(
    scene: Scene, kafka: KafkaConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who ordered, the order's number and hash, how many records, how long the reason is; by the service's key."""
    key = scene.folder / "service.pem"
    create_key_file(key)
    monkeypatch.setenv("TRAILHOUSE_PRODUCER_SERVICE", "operations")
    monkeypatch.setenv("TRAILHOUSE_PRODUCER_SEAL_KEY_FILE", str(key))
    assert scene.erase("--subject", "lovelace") == 0
    [order] = stored_orders(scene.storage, current_policy(scene.storage, scene.log.proof)).orders
    records = [message.value() or b"" for message in read_topic(kafka)]
    events = {event.type: event for event in map(decode, records)}
    assert events.keys() == {"audit_erasure", "audit_sealed"}
    assert events["audit_erasure"].data == {
        "operator": "alice",
        "order": 1,
        "order_sha256": order.sha256,
        "digests": 2,
        "reason_characters": len("request 12"),
    }
    seal, _, _ = parse_seal(events["audit_sealed"].data)
    assert (seal.service, seal.first_seq, seal.last_seq) == ("operations", 0, 0)
    assert seal.short_digest(0) == record_hash(events["audit_erasure"].record)[:8]
    for said in (b"request 12", b"lovelace", SECRET.encode()):
        assert not any(said in record for record in records)


def test_what_is_ordered_to_be_erased_is_not_imported(
    scene: Scene,
    kafka: KafkaConfig,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An export of before the order: its lines are named and counted, the others sent; nothing without ClickHouse."""
    file = scene.folder / "exported.jsonl"
    file.write_bytes(b"\n".join([*scene.ada, *scene.bob]) + b"\n")
    assert scene.erase("--subject", "lovelace") == 0
    capsys.readouterr()
    assert main(["import", str(file), "--format", "json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out) == {"sent_events": 2, "refused_lines": 0, "erased_lines": 2}
    assert "line 1: not sent: an operator has ordered this record to be erased" in told.err
    erasure, *sent = [message.value() or b"" for message in read_topic(kafka)]
    assert decode(erasure).type == "audit_erasure"
    assert sorted(sent) == sorted(scene.bob)
    monkeypatch.setenv("TRAILHOUSE_CLICKHOUSE_URL", "http://127.0.0.1:1")
    assert main(["import", str(file)]) == 1
    assert len(read_topic(kafka)) == 3


def test_what_is_ordered_to_be_erased_is_not_requeued(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not by force either; the order's rows are blank, and one that a backup brings back is known by its bytes."""
    monkeypatch.setenv("TRAILHOUSE_KAFKA_TOPIC", TOPIC)
    assert scene.erase("--text", SECRET) == 0
    requeue = ["quarantine", "requeue", "1:0", "--force", "--dry-run"]
    assert main(requeue) == 1
    assert "1:0 not sent: only a part of it is kept" in capsys.readouterr().out
    scene.storage.command("TRUNCATE TABLE event_quarantine")
    scene.log.store_quarantined(scene.bad, 0, START_MS, 1)
    assert main(requeue) == 1
    assert "1:0 not sent: an operator has ordered it to be erased" in capsys.readouterr().out
