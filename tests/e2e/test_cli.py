"""The commands against a real Kafka and the real ClickHouse engine, each at least once in its own process."""

import datetime as dt
import json
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from balancing import run_here
from command_line import PROGRAM, environment, run_command, running_worker, settings_of
from stored import in_order, store
from trailhouse.cli.status import status_lines
from trailhouse.consumer.init import apply_init, plan_init
from trailhouse.consumer.kafka_admin import KafkaAdmin
from trailhouse.operate.status import PipelineStatus
from trailhouse.query import AuditReader
from trailhouse.schemas import AuditEvent, ClickHouseConfig, KafkaConfig, decode
from trailhouse.store import ClickHouse
from waiting import DEADLINE_SECONDS, until

pytestmark = pytest.mark.cluster
NOWHERE = "127.0.0.1:1"
SOME_LINES = b'{"type":"run_started","session_id":"s"}\n' * 1_000


def recorded_lines() -> list[bytes]:
    """Return the recorded runs that ship with the package, one object a line."""
    return resources.files("trailhouse.cli").joinpath("demo_runs.jsonl").read_bytes().splitlines()


def records_in(kafka: KafkaConfig) -> list[bytes]:
    """Return every record of the topic, in offset order within each partition."""
    lag = KafkaAdmin(kafka).lag("nobody")
    expected = sum(part.end_offset for part in lag)
    consumer = Consumer(
        kafka.client_options() | {"group.id": "nobody", "enable.auto.commit": False}
    )
    consumer.assign([TopicPartition(kafka.topic, part.partition, OFFSET_BEGINNING) for part in lag])
    found: list[bytes] = []
    deadline = time.monotonic() + DEADLINE_SECONDS
    try:
        while len(found) < expected:
            assert time.monotonic() < deadline, f"expected {expected} records, got {len(found)}"
            found += [value for message in consumer.consume(500, 0.5) if (value := message.value())]
    finally:
        consumer.close()
    return found


def one_error(result: subprocess.CompletedProcess[bytes]) -> str:
    """Return the error line of a command that failed with exit code 1."""
    assert result.returncode == 1, result
    line = result.stderr.decode().splitlines()[-1]
    assert line.startswith("error: "), result.stderr
    return line


@pytest.fixture
def settings(kafka: KafkaConfig, database: ClickHouseConfig) -> dict[str, str]:
    """Return the variables of a fresh topic and a fresh database with tables."""
    return settings_of(kafka, database)


Emit = Callable[[bytes], subprocess.CompletedProcess[bytes]]


@pytest.fixture
def emitted(settings: dict[str, str]) -> Emit:
    """Return a function that gives `trailhouse emit` its standard input."""

    def emit(lines: bytes) -> subprocess.CompletedProcess[bytes]:
        return run_command("emit", settings=settings, stdin=lines)

    return emit


def test_init_makes_what_is_missing_once(kafka: KafkaConfig, clickhouse: ClickHouseConfig) -> None:
    """A dry run changes nothing, the first run makes topic and tables, the second nothing."""
    fresh = msgspec.structs.replace(kafka, topic=f"init-{uuid.uuid4().hex[:12]}", partitions=3)
    ours = settings_of(fresh, clickhouse)
    for _ in range(2):
        planned = run_command("init", "--dry-run", settings=ours)
        assert planned.returncode == 0, planned
        assert planned.stdout.count(b"would create") == 3, planned.stdout
    assert KafkaAdmin(fresh).topic() is None
    made = run_command("init", settings=ours)
    assert made.returncode == 0, made
    assert made.stdout.count(b"created") == 3, made.stdout
    again = run_command("init", settings=ours)
    assert (again.returncode, again.stdout.count(b"is there")) == (0, 2), again.stdout
    topic = KafkaAdmin(fresh).topic()
    assert topic is not None
    assert topic.partitions == 3
    assert topic.options["message.timestamp.type"] == "LogAppendTime"


def test_init_mends_what_was_dropped(settings: dict[str, str], database: ClickHouseConfig) -> None:
    """Running it again makes what is missing, says what, and leaves the events as they are."""
    event = AuditEvent(type="a", session_id="s")
    store(database, in_order([event]))
    with ClickHouse(database) as clickhouse:
        clickhouse.command("DROP VIEW events SYNC")
    assert "run `trailhouse init`" in one_error(run_command("log", "s", settings=settings))
    planned = run_command("init", "--dry-run", settings=settings)
    assert (
        f"view events in {database.database}: would create (it was missing)".encode()
        in planned.stdout
    )
    made = run_command("init", settings=settings)
    assert f"view events in {database.database}: created (it was missing)".encode() in made.stdout
    told = run_command("log", "s", "--format", "jsonl", settings=settings)
    assert (told.returncode, told.stdout) == (0, event.record + b"\n")
    assert b"is there (all migrations are applied)" in run_command("init", settings=settings).stdout


def test_init_names_a_column_that_no_migration_brings_back(
    kafka: KafkaConfig, database: ClickHouseConfig
) -> None:
    """A column that somebody renamed is named; one that a migration adds is made anew."""
    with ClickHouse(database) as clickhouse:
        clickhouse.command("ALTER TABLE event_log RENAME COLUMN model TO other")
        clickhouse.command("ALTER TABLE event_log DROP COLUMN seq")
    for steps in (plan_init(kafka, database), apply_init(kafka, database)):
        assert [(step.subject.partition(" in ")[0], step.action) for step in steps[1:]] == [
            ("column event_log.seq", "create"),
            ("table event_log", "differs"),
        ]
        assert steps[-1].detail.startswith("lacks model: ")


def test_init_tells_a_difference_and_leaves_it(
    kafka: KafkaConfig, database: ClickHouseConfig
) -> None:
    """A topic that is not as the settings say is reported with both values and not touched."""
    wanted = msgspec.structs.replace(kafka, partitions=7, retention_hours=1)
    for steps in (plan_init(wanted, database), apply_init(wanted, database)):
        assert [step.action for step in steps] == ["differs", "keep"]
        assert steps[0].detail == (
            "partitions is 4, settings say 7; retention.ms is 604800000, settings say 3600000"
        )
    topic = KafkaAdmin(kafka).topic()
    assert topic is not None
    assert topic.partitions == 4


def test_init_by_two_processes_at_once_is_one(
    kafka: KafkaConfig, clickhouse: ClickHouseConfig
) -> None:
    """Two that start together both succeed, and what they made is whole."""
    fresh = msgspec.structs.replace(kafka, topic=f"race-{uuid.uuid4().hex[:12]}")
    ours = settings_of(fresh, clickhouse)
    both = [
        subprocess.Popen([*PROGRAM, "init"], env=environment(ours), stdout=subprocess.DEVNULL)
        for _ in range(2)
    ]
    assert [process.wait(DEADLINE_SECONDS) for process in both] == [0, 0]
    assert {step.action for step in plan_init(fresh, clickhouse)} == {"keep"}


@pytest.mark.parametrize(
    ("away", "named"),
    [
        ({"TRAILHOUSE_KAFKA_BOOTSTRAP_SERVERS": NOWHERE}, "Kafka at 127.0.0.1:1 does not answer"),
        ({"TRAILHOUSE_CLICKHOUSE_URL": f"http://{NOWHERE}"}, f"ClickHouse at http://{NOWHERE}"),
    ],
    ids=["Kafka", "ClickHouse"],
)
def test_init_says_which_part_is_away(
    settings: dict[str, str], away: dict[str, str], named: str
) -> None:
    """A part that does not answer is named with its address, in one line, within the deadline."""
    result = run_command("init", settings=settings | away)
    assert named in one_error(result)
    assert len(result.stderr.splitlines()) == 1


def test_recorded_runs_go_through_and_come_back(
    settings: dict[str, str], kafka: KafkaConfig, database: ClickHouseConfig
) -> None:
    """What `emit` takes from a file, a worker stores, and `log` gives back: each event, in order."""
    lines = recorded_lines()
    with running_worker(settings):
        result = run_command("emit", "-", settings=settings, stdin=b"\n".join(lines))
        assert result.returncode == 0, result
        assert result.stdout.startswith(f"{len(lines)} events acknowledged in ".encode())
        with AuditReader(config=database) as reader:
            until(lambda: reader.overview().stored == len(lines), f"{len(lines)} events stored")
    given: dict[str, list[dict[str, object]]] = {}
    for line in lines:
        fields = json.loads(line)
        given.setdefault(fields["session_id"], []).append(fields)
    for session_id, events in given.items():
        output = run_here("log", session_id, "--format", "jsonl", settings=settings).stdout
        read = [json.loads(line) for line in output.splitlines()]
        assert [event | fields for event, fields in zip(read, events, strict=True)] == read
    state = json.loads(run_command("status", "--format", "json", settings=settings).stdout)
    assert state["problems"] == {}
    assert state["kafka"]["lag_records"] == 0
    assert set(state["kafka"]["lag_by_partition"]) == {str(n) for n in range(kafka.partitions)}
    assert state["clickhouse"]["stored_events"] == len(lines)
    assert state["clickhouse"]["quarantined_records"] == 0
    assert state["clickhouse"]["last_occurred_at"] is not None


def test_bad_lines_are_named_and_the_others_go(emitted: Emit, kafka: KafkaConfig) -> None:
    """Of a file with bad lines every good one is sent, every bad one is named, the code is 1."""
    result = emitted(
        b'\xef\xbb\xbf{"type":"run_started","session_id":"s","run_id":"1"}\r\n'
        b"\r\n"
        b"no json\n"
        b'{"type":"run_started","session_id":"s","typo":1}\n'
        b'{"type":"run_started","session_id":"\xff"}\n'
        b'{"type":"run_started","session_id":"s","run_id":"2"}'
    )
    assert result.returncode == 1
    assert b"2 events acknowledged" in result.stdout
    assert b"3 bad lines" in result.stdout
    named = [line.partition(":")[0] for line in result.stderr.decode().splitlines()]
    assert named == ["line 3", "line 4", "line 5"]
    assert [decode(record).run_id for record in records_in(kafka)] == ["1", "2"]


def test_an_exported_log_is_emitted_to_the_byte(
    settings: dict[str, str], kafka: KafkaConfig, database: ClickHouseConfig, emitted: Emit
) -> None:
    """`log --format jsonl | emit` sends the same bytes again, unknown fields included."""
    plain = AuditEvent(type="run_started", session_id="s", source={"service": "x"})  # type: ignore[arg-type]  # a mapping is as good
    newer = AuditEvent(
        type="from.the.future", session_id="s", source=plain.source, unknown_fields={"x": [1]}
    )
    store(database, in_order([plain, newer]))
    exported = run_command("log", "s", "--format", "jsonl", settings=settings).stdout
    assert exported == plain.record + b"\n" + newer.record + b"\n"
    assert emitted(exported).returncode == 0
    assert records_in(kafka) == [plain.record, newer.record]


def test_a_file_larger_than_the_queue_goes_through(
    settings: dict[str, str], kafka: KafkaConfig, tmp_path: Path
) -> None:
    """A full queue slows `emit` down and loses nothing."""
    file = tmp_path / "events.jsonl"
    file.write_bytes(SOME_LINES)
    small = settings | {"TRAILHOUSE_PRODUCER_QUEUE_EVENTS": "20"}
    result = run_command("emit", str(file), settings=small)
    assert result.returncode == 0, result
    assert len(records_in(kafka)) == 1_000


def test_a_line_is_as_large_as_an_event_may_be(emitted: Emit, kafka: KafkaConfig) -> None:
    """Just under the limit passes; over it the line is named with both sizes; the next one goes."""

    def line(size_bytes: int) -> bytes:
        text = "x" * size_bytes
        return json.dumps({"type": "a", "session_id": "s", "data": {"a": text}}).encode()

    result = emitted(b"\n".join([line(899_000), line(900_000), line(20_000_000), line(1)]))
    assert result.returncode == 1
    first, second = result.stderr.decode().splitlines()
    assert first.startswith("line 2: the encoded event is 900")
    assert "the limit is 900000 bytes" in first
    assert second == "line 3: record: is far longer than an event may be"
    assert len(records_in(kafka)) == 2


def test_progress_is_for_terminals(settings: dict[str, str], tmp_path: Path) -> None:
    """On a terminal `emit` shows how far it is; its result is on standard output all the same."""
    file = tmp_path / "events.jsonl"
    file.write_bytes(SOME_LINES)
    terminal, other_end = os.openpty()
    try:
        result = subprocess.run(
            [*PROGRAM, "emit", str(file)],
            env=environment(settings | {"TERM": "xterm"}),
            stdout=subprocess.PIPE,
            stderr=other_end,
            timeout=DEADLINE_SECONDS,
            check=False,
        )
        shown = os.read(terminal, 65_536)
    finally:
        os.close(terminal)
        os.close(other_end)
    assert result.returncode == 0
    assert result.stdout.startswith(b"1000 events acknowledged in ")
    assert b"events acknowledged" in shown
    assert run_command("emit", str(file), settings=settings).stderr == b""


def test_a_missing_topic_ends_emit_with_the_way_out(settings: dict[str, str]) -> None:
    """Nothing is reported as sent when there is no topic; the line says what makes it."""
    result = run_command(
        "emit", settings=settings | {"TRAILHOUSE_KAFKA_TOPIC": "missing"}, stdin=SOME_LINES
    )
    assert "has no topic missing: run `trailhouse init`" in one_error(result)
    assert result.stdout == b""
    assert b"nothing was read, and nothing was sent" in result.stderr
    waiting = run_command("spool", "status", settings=settings)
    assert b"waiting      0 events" in waiting.stdout


def test_a_broker_that_is_away_ends_emit_at_its_deadline(settings: dict[str, str]) -> None:
    """`emit` waits for an acknowledgement as long as it was told, and then says so."""
    began = time.monotonic()
    result = run_command(
        "emit", "--timeout-seconds", "2",
        settings=settings | {"TRAILHOUSE_KAFKA_BOOTSTRAP_SERVERS": NOWHERE}, stdin=SOME_LINES,
    )  # fmt: skip
    assert "line 1 was not acknowledged within 2 s" in one_error(result)
    assert time.monotonic() - began >= 2


def test_emit_says_when_auditing_is_off(settings: dict[str, str], kafka: KafkaConfig) -> None:
    """A disabled producer writes nothing, so `emit` must not look as if it had."""
    result = run_command(
        "emit", settings=settings | {"TRAILHOUSE_PRODUCER_ENABLED": "false"}, stdin=SOME_LINES
    )
    assert "nothing was sent: set TRAILHOUSE_PRODUCER_ENABLED=true" in one_error(result)
    assert records_in(kafka) == []


def test_emit_ends_on_ctrl_c_with_130(settings: dict[str, str], kafka: KafkaConfig) -> None:
    """Interrupted in the middle of its input, it says what was acknowledged and ends."""
    with subprocess.Popen(
        [*PROGRAM, "emit"],
        env=environment(settings),
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(SOME_LINES)
        process.stdin.flush()
        admin = KafkaAdmin(kafka)
        until(lambda: sum(p.end_offset for p in admin.lag("nobody")) > 0, "a record in the topic")
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE_SECONDS) == 130
        assert b"events acknowledged" in process.stderr.read()


def test_log_filters_as_it_is_told(settings: dict[str, str], database: ClickHouseConfig) -> None:
    """Each option of `log` narrows the answer; the formats hold the same events."""
    events = [
        AuditEvent(
            type=kind, session_id="s", run_id=run, tenant_id="t", data={"n": number},
            occurred_at=dt.datetime(2026, 1, 31, 8, 0, number, tzinfo=dt.UTC),
        )
        for number, (kind, run) in enumerate([("a", "1"), ("b", "1"), ("a", "2"), ("c", "2")])
    ]  # fmt: skip
    store(database, in_order(events))

    def numbers(*options: str) -> list[int]:
        result = run_here("log", "s", *options, "--format", "jsonl", settings=settings)
        found = [decode(line).data["n"] for line in result.stdout.splitlines()]
        assert result.returncode == (0 if found else 1), result
        return found

    assert numbers() == [0, 1, 2, 3]
    assert numbers("--run-id", "2") == [2, 3]
    assert numbers("--type", "a", "--type", "c") == [0, 2, 3]
    assert numbers("--since", "2026-01-31T08:00:01Z", "--until", "2026-01-31T09:00:02+01:00") == [
        1,
        2,
    ]
    assert numbers("--limit", "2") == [0, 1]
    assert numbers("--tenant", "t") == [0, 1, 2, 3]
    assert numbers("--tenant", "another") == []
    assert numbers("--run-id", "2' OR '1'='1") == []
    array = run_here("log", "s", "--format", "json", settings=settings).stdout
    assert json.loads(array) == [json.loads(event.record) for event in events]
    table = run_here("log", "s", settings=settings).stdout.decode().splitlines()
    assert table[0].split() == ["#", "time", "type", "run", "what", "content"]
    assert [line.split()[0] for line in table[1:]] == ["1", "2", "3", "4"]


def test_log_of_an_unknown_session_says_so(settings: dict[str, str]) -> None:
    """Nothing found is said on standard error with a way on; code 1, and what is empty in each format."""
    for form, output in (("table", b""), ("jsonl", b""), ("json", b"[]\n")):
        result = run_here("log", "nobody\x1b", "--format", form, settings=settings)
        assert (result.returncode, result.stdout) == (1, output)
        first, second = result.stderr.splitlines()
        assert first == b"no events for session 'nobody\\x1b'"
        assert b"trailhouse sessions" in second


def test_a_filter_that_matches_nothing_says_what_there_is(
    settings: dict[str, str], database: ClickHouseConfig
) -> None:
    """Types, runs and times of the session are named, with what may have been meant; never another tenant's."""
    events = [
        AuditEvent(
            type=kind, session_id="s", run_id=run, tenant_id=tenant,
            occurred_at=dt.datetime(2026, 1, 31, 8, tzinfo=dt.UTC),
        )
        for kind, run, tenant in [
            ("run_started", "run-1", "acme"),
            ("run_completed", "run-1", "acme"),
            ("secret_type", "secret-run", "other"),
        ]
    ]  # fmt: skip
    store(database, in_order(events))

    def told(*options: str) -> list[str]:
        result = run_here("log", "s", *options, settings=settings)
        assert (result.returncode, result.stdout) == (1, b""), result
        return result.stderr.decode().splitlines()

    assert told("--tenant", "acme", "--type", "run_complete") == [
        "session 's' has 2 events for tenant 'acme', none of type run_complete",
        "types there: run_completed (1), run_started (1)",
        "did you mean run_completed?",
    ]
    assert told("--tenant", "acme", "--run-id", "run-2") == [
        "session 's' has 2 events for tenant 'acme', none of run 'run-2'",
        "runs there: run-1",
        "did you mean run-1?",
    ]
    assert told("--since", "2026-02-01", "--type", "run_started") == [
        "session 's' has 3 events, none of type run_started and since 2026-02-01T00:00:00.000000Z",
        "types there: run_completed (1), run_started (1), secret_type (1)",
        "its events occurred from 2026-01-31T08:00:00.000000Z to 2026-01-31T08:00:00.000000Z",
    ]
    unknown = told("--tenant", "acm")
    assert unknown[0] == "no events for session 's' for tenant 'acm'"
    for line in [*told("--tenant", "acme", "--type", "x"), *unknown]:
        assert "secret" not in line
        assert "other" not in line


def test_sessions_are_listed_the_latest_first(
    settings: dict[str, str], database: ClickHouseConfig
) -> None:
    """`sessions` names those that were appended to last, of one tenant where it is named; 1 where there is none."""
    events = [
        AuditEvent(type=f"type_{number}", session_id=session, tenant_id=tenant)
        for number, (session, tenant) in enumerate(
            [("a", "t"), ("b", "t"), ("c", "other"), ("a", "t")]
        )
    ]
    store(database, in_order(events))

    def listed(*options: str) -> list[tuple[str, int, str]]:
        result = run_here("sessions", "--format", "json", *options, settings=settings)
        found = json.loads(result.stdout)
        assert result.returncode == (0 if found else 1), result
        return [(each["session_id"], each["events"], each["last_type"]) for each in found]

    last, older, oldest = ("a", 2, "type_3"), ("c", 1, "type_2"), ("b", 1, "type_1")
    assert listed() == [last, older, oldest]
    assert listed("--limit", "1") == [last]
    assert listed("--tenant", "t") == [last, oldest]
    assert listed("--tenant", "nobody") == []
    none = run_here("sessions", "--tenant", "nobody", "--since", "2026-01-02", settings=settings)
    assert none.stderr.startswith(
        b"no events for tenant 'nobody' appended since 2026-01-02T00:00:00.000000Z; "
    )
    assert listed("--since", "1h") == [last, older, oldest]
    table = run_command("sessions", settings=settings).stdout.decode().splitlines()
    assert [line.split()[0] for line in table] == ["session", "a", "c", "b"]


@pytest.mark.parametrize("form", ["table", "json", "jsonl"])
def test_log_shows_what_was_not_altered(
    settings: dict[str, str], database: ClickHouseConfig, form: str
) -> None:
    """An altered row is named and hides no other; in the formats that are read again it is no record; code 1."""
    events = [AuditEvent(type="a", session_id="s", data={"n": number}) for number in range(3)]
    store(database, in_order(events))
    with ClickHouse(database) as clickhouse:
        clickhouse.command(
            "ALTER TABLE event_log UPDATE record = concat(record, 'secret') WHERE event_id = {id:UUID}"
            " SETTINGS mutations_sync = 2",
            {"id": events[1].event_id},
        )
    told = run_here("log", "s", "--format", form, settings=settings)
    assert told.returncode == 1
    assert f"event {events[1].event_id}: its record contradicts its hash".encode() in told.stderr
    assert b"secret" not in told.stdout + told.stderr
    if form == "table":
        assert [b"ALTERED" in line for line in told.stdout.splitlines()[1:]] == [False, True, False]
    else:
        assert [event.record in told.stdout for event in events] == [True, False, True]


def test_log_keeps_one_line_a_record(settings: dict[str, str], database: ClickHouseConfig) -> None:
    """A record that another producer wrote over several lines is one line, and that is said."""
    event = AuditEvent(type="a", session_id="s", data={"text": "x\ny"})
    spread = decode(json.dumps(json.loads(event.record), indent=2).encode())
    store(database, in_order([event, spread]))
    result = run_here("log", "s", "--format", "jsonl", settings=settings)
    first, second = result.stdout.splitlines()
    assert first == event.record
    assert json.loads(second) == json.loads(event.record)
    assert result.stderr.startswith(b"records with line breaks")
    assert result.stderr.endswith(b"blanks: 1\n")


@pytest.mark.parametrize(
    ("part", "other", "away"),
    [
        ("kafka", "clickhouse", {"TRAILHOUSE_KAFKA_BOOTSTRAP_SERVERS": NOWHERE}),
        ("clickhouse", "kafka", {"TRAILHOUSE_CLICKHOUSE_URL": f"http://{NOWHERE}"}),
        ("kafka", "clickhouse", {"TRAILHOUSE_KAFKA_TOPIC": "missing"}),
        ("clickhouse", "kafka", {"TRAILHOUSE_CLICKHOUSE_DATABASE": "missing"}),
    ],
    ids=["Kafka is away", "ClickHouse is away", "no topic", "no tables"],
)
def test_status_tells_a_missing_part_and_the_other_all_the_same(
    settings: dict[str, str], part: str, other: str, away: dict[str, str]
) -> None:
    """What does not answer is named in its own line with the way out; the code is 1."""
    result = run_here("status", "--format", "json", settings=settings | away)
    state = json.loads(result.stdout)
    assert result.returncode == 1
    assert set(state["problems"]) == {part}
    assert state[part] is None
    assert state[other] is not None
    lines = status_lines(msgspec.json.decode(result.stdout, type=PipelineStatus))
    assert f"{part:<12} {state['problems'][part]}" in lines


def test_status_counts_what_waits(settings: dict[str, str], emitted: Emit) -> None:
    """Without a worker all records wait, and `status` says how many, in whichever partition."""
    assert emitted(b"".join(line + b"\n" for line in recorded_lines())).returncode == 0
    state = json.loads(run_here("status", "--format", "json", settings=settings).stdout)
    assert state["kafka"]["lag_records"] == len(recorded_lines())
    assert sum(state["kafka"]["lag_by_partition"].values()) == len(recorded_lines())
    assert state["clickhouse"]["stored_events"] == 0
