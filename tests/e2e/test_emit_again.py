"""`trailhouse emit` run again after anything: kills, outages, edits, refusals, beside itself."""

import contextlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from command_line import PROGRAM, environment, run_command
from producing import read_topic
from tcp_gate import TcpGate
from trailhouse.schemas import AuditEvent, KafkaConfig, decode
from waiting import DEADLINE_SECONDS, eventually

pytestmark = pytest.mark.cluster
NAMED = "01a20f56-1bce-7d86-9462-{:012x}"


def settings_for(kafka: KafkaConfig) -> dict[str, str]:
    """Return the variables of a topic."""
    return {
        "TRAILHOUSE_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "TRAILHOUSE_KAFKA_TOPIC": kafka.topic,
    }


@pytest.fixture
def gate(kafka: KafkaConfig) -> Generator[TcpGate]:
    """Yield a gate that is the address of the brokers."""
    with_gate = TcpGate(f"tcp://{kafka.bootstrap_servers}")
    try:
        yield with_gate
    finally:
        with_gate.close()


def line(number: int, **fields: object) -> bytes:
    """Return a line, whose event names its number."""
    described = {"type": "a", "session_id": f"s{number % 7}", "data": {"n": number}, **fields}
    return json.dumps(described).encode()


def written(file: Path, lines: list[bytes]) -> Path:
    """Write a file of lines."""
    file.write_bytes(b"\n".join(lines) + b"\n")
    return file


def events_in(kafka: KafkaConfig) -> list[AuditEvent]:
    """Return the event of each record in the topic."""
    return [decode(message.value() or b"") for message in read_topic(kafka)]


def emitted(
    kafka: KafkaConfig, *arguments: str, stdin: bytes = b"", **settings: str
) -> subprocess.CompletedProcess[bytes]:
    """Run `emit`; what it waits for comes within some seconds."""
    named = {f"TRAILHOUSE_{name}": value for name, value in settings.items()}
    return run_command("emit", *arguments, settings=settings_for(kafka) | named, stdin=stdin)


def outcome(result: subprocess.CompletedProcess[bytes]) -> tuple[int, int, int, int]:
    """Return the exit code, and how many were acknowledged, had waited, and were skipped."""
    told = json.loads(result.stdout)
    return (
        result.returncode, told["acknowledged_events"], told["waited_events"], told["skipped_lines"],
    )  # fmt: skip


def noted(folder: Path) -> int:
    """Return how many lines a journal that is in use has as acknowledged; read from a copy, since it is locked."""
    copied = folder / "copy"
    shutil.rmtree(copied, ignore_errors=True)
    try:
        shutil.copytree(folder / "state" / "trailhouse" / "emit", copied)
        [file] = copied.glob("*.sqlite")
        with contextlib.closing(sqlite3.connect(file)) as database:
            sql = "SELECT count(*) FROM lines WHERE state = 2"
            return int(database.execute(sql).fetchone()[0])
    except (OSError, ValueError, shutil.Error, sqlite3.Error):
        return 0  # it is just being made


def mixed_lines(count: int) -> list[bytes]:
    """Return lines, some twice on purpose, some with an id of their own, some with a time."""
    lines = [line(number) for number in range(count)]
    lines[10::100] = [line(-1)] * len(lines[10::100])
    lines[20::100] = [
        line(at, event_id=NAMED.format(at)) for at, _ in enumerate(lines[20::100], 1_000_000)
    ]
    lines[30::100] = [
        line(at, occurred_at="2026-01-31T09:00:00+01:00")
        for at, _ in enumerate(lines[30::100], 2_000_000)
    ]
    return lines


@pytest.mark.long
@pytest.mark.parametrize("way", ["file", "pipe"])
def test_each_line_is_one_event_however_often_it_is_killed(
    kafka: KafkaConfig, tmp_path: Path, way: str
) -> None:
    """Killed at any moment and run again until it ends, each line is in the topic as one event, to the byte."""
    lines = mixed_lines(8_000)
    file = written(tmp_path / "events.jsonl", lines)
    seed = int.from_bytes(os.urandom(4))
    chance = random.Random(seed)  # noqa: S311 - when to kill
    journals = tmp_path / "state" / "trailhouse" / "emit"
    kills = 0
    while kills < 60:
        with (
            file.open("rb") as stream,
            subprocess.Popen(["cat"], stdin=stream, stdout=subprocess.PIPE) as cat,
            subprocess.Popen(
                [*PROGRAM, "emit", str(file) if way == "file" else "-"],
                env=environment(settings_for(kafka)),
                stdin=cat.stdout, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            ) as process,
        ):  # fmt: skip
            assert cat.stdout is not None
            cat.stdout.close()
            try:
                code = process.wait(chance.uniform(0.6, 1.6) if kills < 6 else DEADLINE_SECONDS)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait(DEADLINE_SECONDS)
                kills += 1
                # A pipe's journal goes when everything is acknowledged: this run was on its way out.
                if not any(journals.glob("*")) and read_topic(kafka):
                    break
                continue
            assert code == 0, f"seed {seed}"
            break
    records = [message.value() or b"" for message in read_topic(kafka)]
    by_id: dict[str, set[bytes]] = {}
    for record in records:
        by_id.setdefault(decode(record).event_id, set()).add(record)
    assert all(len(same) == 1 for same in by_id.values()), f"an id with two contents, seed {seed}"
    found = Counter(decode(next(iter(same))).data["n"] for same in by_id.values())
    assert found == Counter(json.loads(each)["data"]["n"] for each in lines), f"seed {seed}"
    if way == "file":
        again = emitted(kafka, str(file), "--format", "json")
        assert outcome(again) == (0, 0, 0, len(lines))
        assert len(read_topic(kafka)) == len(records)


@pytest.mark.long
def test_what_was_acknowledged_is_skipped_unless_told(kafka: KafkaConfig, tmp_path: Path) -> None:
    """A second run sends nothing and says so; `--again` sends each line as a new event; both count."""
    file = written(tmp_path / "events.jsonl", [line(1), line(2), line(1)])
    assert outcome(emitted(kafka, str(file), "--format", "json")) == (0, 3, 0, 0)
    second = emitted(kafka, str(file))
    assert second.returncode == 0
    told = second.stdout.decode().splitlines()
    assert told[0].startswith("0 events acknowledged in ")
    assert told[1] == "3 lines skipped: acknowledged before (--again sends them as new events)"
    assert len(events_in(kafka)) == 3
    assert outcome(emitted(kafka, str(file), "--again", "--format", "json")) == (0, 3, 0, 0)
    ids = [event.event_id for event in events_in(kafka)]
    assert len(set(ids)) == 6
    assert outcome(emitted(kafka, str(file), "--format", "json")) == (0, 0, 0, 3)


@pytest.mark.long
def test_only_what_is_new_in_an_edited_file_is_sent(kafka: KafkaConfig, tmp_path: Path) -> None:
    """Lines that were mended, put in between, appended or written once more are sent, and no other."""
    file = written(tmp_path / "events.jsonl", [line(1), b'{"type":"a"}', line(2), line(2)])
    first = emitted(kafka, str(file), "--format", "json")
    assert outcome(first) == (1, 3, 0, 0)
    assert first.stderr == b"line 2: session_id: is missing\n"
    written(file, [line(5), line(2), line(1), line(3), line(2), line(2), line(4)])
    assert outcome(emitted(kafka, str(file), "--format", "json")) == (0, 4, 0, 3)
    assert Counter(event.data["n"] for event in events_in(kafka)) == {1: 1, 2: 3, 3: 1, 4: 1, 5: 1}


@pytest.mark.long
def test_what_waits_in_the_spool_keeps_its_id_and_is_sent_once(
    kafka: KafkaConfig, gate: TcpGate, tmp_path: Path
) -> None:
    """With the broker away lines wait in the spool; run again, they arrive, once, as what they were."""
    ours = msgspec.structs.replace(kafka, bootstrap_servers=urlsplit(gate.url).netloc)
    file = written(tmp_path / "events.jsonl", [line(number) for number in range(50)])
    gate.shut()
    for _ in range(2):
        away = emitted(ours, str(file), "--timeout-seconds", "1")
        assert (away.returncode, away.stdout) == (1, b"")
        assert b"does not answer" in away.stderr
        assert b"0 events acknowledged, 50 in the spool" in away.stderr
        assert b"Traceback" not in away.stderr
    waiting = run_command("spool", "inspect", settings=settings_for(ours)).stdout.splitlines()
    assert len(waiting) == 50
    gate.open()
    written(file, [line(number) for number in range(60)])
    assert outcome(emitted(ours, str(file), "--format", "json")) == (0, 10, 50, 0)
    records = [message.value() for message in read_topic(kafka)]
    assert sorted(waiting) == sorted(record for record in records if record in set(waiting))
    assert len(records) == 60
    assert outcome(emitted(ours, str(file), "--format", "json")) == (0, 0, 0, 60)


@pytest.mark.long
def test_another_destination_is_another_run(kafka: KafkaConfig, tmp_path: Path) -> None:
    """What one topic has is not in another one, nor in one that was made anew under its name; there it keeps its id."""
    file = written(tmp_path / "events.jsonl", [line(number) for number in range(5)])
    assert outcome(emitted(kafka, str(file), "--format", "json")) == (0, 5, 0, 0)
    ids = {event.event_id for event in events_in(kafka)}
    other = msgspec.structs.replace(kafka, topic=f"{kafka.topic}-other")
    admin = AdminClient(kafka.client_options())
    admin.create_topics([NewTopic(other.topic, kafka.partitions, 1)])[other.topic].result(
        DEADLINE_SECONDS
    )
    assert outcome(emitted(other, str(file), "--format", "json")) == (0, 5, 0, 0)
    assert ids.isdisjoint(event.event_id for event in events_in(other))
    admin.delete_topics([kafka.topic])[kafka.topic].result(DEADLINE_SECONDS)
    eventually(
        lambda: kafka.topic not in admin.list_topics(timeout=DEADLINE_SECONDS).topics,
        "no such topic",
    )
    admin.create_topics([NewTopic(kafka.topic, kafka.partitions, 1)])[kafka.topic].result(
        DEADLINE_SECONDS
    )
    eventually(
        lambda: kafka.topic in admin.list_topics(timeout=DEADLINE_SECONDS).topics, "the new topic"
    )
    assert outcome(emitted(kafka, str(file), "--format", "json")) == (0, 5, 0, 0)
    assert {event.event_id for event in events_in(kafka)} == ids
    assert outcome(emitted(kafka, str(file), "--format", "json")) == (0, 0, 0, 5)


@pytest.mark.long
def test_a_file_is_the_same_however_it_is_named(kafka: KafkaConfig, tmp_path: Path) -> None:
    """Its path, a link to it and a redirection mean one file."""
    file = written(tmp_path / "events.jsonl", [line(1)])
    assert outcome(emitted(kafka, str(file), "--format", "json")) == (0, 1, 0, 0)
    link = tmp_path / "link.jsonl"
    link.symlink_to(file)
    assert outcome(emitted(kafka, str(link), "--format", "json")) == (0, 0, 0, 1)
    with file.open("rb") as stream:
        redirected = subprocess.run(
            [*PROGRAM, "emit", "--format", "json"],
            env=environment(settings_for(kafka)),
            stdin=stream, capture_output=True, timeout=DEADLINE_SECONDS, check=False,
        )  # fmt: skip
    assert outcome(redirected) == (0, 0, 0, 1)


@pytest.mark.long
def test_a_pipe_that_came_to_its_end_is_done(kafka: KafkaConfig) -> None:
    """The same line through a pipe once more is a new event; with a bad line, only what was not sent is new."""
    for _ in range(2):
        assert outcome(emitted(kafka, "-", "--format", "json", stdin=line(1))) == (0, 1, 0, 0)
    assert len({event.event_id for event in events_in(kafka)}) == 2
    broken = line(2) + b"\nno\n" + line(3)
    assert outcome(emitted(kafka, "-", "--format", "json", stdin=broken)) == (1, 2, 0, 0)
    mended = line(2) + b"\n" + line(4) + b"\n" + line(3)
    assert outcome(emitted(kafka, "-", "--format", "json", stdin=mended)) == (0, 1, 0, 2)


def test_two_runs_of_one_file_at_once_are_refused_and_two_pipes_are_not(
    kafka: KafkaConfig, tmp_path: Path
) -> None:
    """The second run of a file says that the first goes on; pipes that begin alike do not hinder each other."""
    fifo = tmp_path / "slow"
    os.mkfifo(fifo)
    file = written(tmp_path / "events.jsonl", [line(number) for number in range(3)])
    begun = {"env": environment(settings_for(kafka)), "stdin": subprocess.PIPE}
    with subprocess.Popen([*PROGRAM, "emit"], stderr=subprocess.PIPE, **begun) as pipe:  # type: ignore[call-overload]  # as written there
        assert pipe.stdin is not None
        pipe.stdin.write(line(100) + b"\n")
        pipe.stdin.flush()
        eventually(
            lambda: any(event.data["n"] == 100 for event in events_in(kafka)),
            "the first pipe's line",
        )
        beside = emitted(kafka, "-", "--format", "json", stdin=line(100))
        assert outcome(beside) == (0, 1, 0, 0)
        pipe.stdin.close()
        assert pipe.wait(DEADLINE_SECONDS) == 0
    away = settings_for(kafka) | {"TRAILHOUSE_KAFKA_TOPIC": kafka.topic}
    with subprocess.Popen(
        [*PROGRAM, "emit", str(file)], env=environment(away), stdout=subprocess.DEVNULL
    ) as first:
        journals = tmp_path / "state" / "trailhouse" / "emit"
        eventually(lambda: any(journals.glob("*-wal")) or first.poll() is not None, "the journal")
        first.send_signal(signal.SIGSTOP)
        second = emitted(kafka, str(file))
        first.send_signal(signal.SIGCONT)
        assert first.wait(DEADLINE_SECONDS) == 0
    assert second.returncode == 1
    assert b"another `trailhouse emit` of this input" in second.stderr
    assert Counter(e.data["n"] for e in events_in(kafka)) == {100: 2, 0: 1, 1: 1, 2: 1}


def test_a_slow_pipe_is_noted_as_it_goes(kafka: KafkaConfig, tmp_path: Path) -> None:
    """Killed while it waits for more, `emit` does not send again what was acknowledged by then."""
    env = environment(settings_for(kafka))
    with subprocess.Popen([*PROGRAM, "emit"], env=env, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(line(1) + b"\n" + line(2) + b"\n")
        process.stdin.flush()
        eventually(lambda: noted(tmp_path) == 2, "two lines noted as acknowledged")
        process.kill()
    resumed = emitted(
        kafka, "-", "--format", "json", stdin=line(1) + b"\n" + line(2) + b"\n" + line(3)
    )
    assert outcome(resumed) == (0, 1, 0, 2)
    assert len(read_topic(kafka)) == 3


def test_the_journal_is_its_owners_alone(kafka: KafkaConfig, tmp_path: Path) -> None:
    """Folder and files are closed to others; a folder that others may write to is refused, with the way out."""
    file = written(tmp_path / "events.jsonl", [line(1)])
    assert emitted(kafka, str(file)).returncode == 0
    folder = tmp_path / "state" / "trailhouse" / "emit"
    assert folder.stat().st_mode & 0o777 == 0o700
    [journal] = [path for path in folder.iterdir() if path.suffix == ".sqlite"]
    assert journal.stat().st_mode & 0o777 == 0o600
    folder.chmod(0o770)
    refused = emitted(kafka, str(file))
    assert refused.returncode == 1
    assert b"set XDG_STATE_HOME to a folder of yours" in refused.stderr
    assert len(events_in(kafka)) == 1
    folder.chmod(0o700)
    journal.write_bytes(b"no database at all, though long enough to be looked at " * 100)
    damaged = emitted(kafka, str(file))
    assert damaged.returncode == 1
    assert b"is damaged" in damaged.stderr
    assert b"remove it to send them all as new events" in damaged.stderr
