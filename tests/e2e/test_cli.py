"""The commands against a real Kafka and the real ClickHouse engine, each at least once in its own process."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from balancing import run_here
from command_line import PROGRAM, environment, one_error, run_command, running_worker, settings_of
from stored import in_order, store
from trailhouse.broker.admin import KafkaAdmin
from trailhouse.cli.status import status_lines
from trailhouse.operate.status import PipelineStatus
from trailhouse.query import AuditReader
from trailhouse.schemas import AuditEvent, KafkaConfig, decode
from trailhouse.store import ClickHouseConfig
from waiting import DEADLINE_SECONDS, eventually

pytestmark = pytest.mark.cluster
NOWHERE = "127.0.0.1:1"
SOME_LINES = b'{"type":"run_started","session_id":"s"}\n' * 1_000


def recorded_lines() -> list[bytes]:
    """Return the recorded runs that ship with the package, one object a line."""
    return resources.files("trailhouse.cli.demo").joinpath("runs.jsonl").read_bytes().splitlines()


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
            eventually(
                lambda: reader.overview().stored == len(lines), f"{len(lines)} events stored"
            )
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
        eventually(
            lambda: sum(p.end_offset for p in admin.lag("nobody")) > 0, "a record in the topic"
        )
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE_SECONDS) == 130
        assert b"events acknowledged" in process.stderr.read()


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
