"""`follow`, `export` and `import` as a shell has them: each event once, to the byte, and a verdict in the exit code."""

import json
import signal
import subprocess
from pathlib import Path

import pytest

from command_line import PROGRAM, environment, run_command
from producing import read_topic
from stored import event, in_order, store
from trailhouse.query import ClickHouseConfig
from trailhouse.schemas import KafkaConfig

pytestmark = pytest.mark.cluster


def run(*arguments: str, settings: dict[str, str]) -> tuple[int, str, str]:
    """Run a command; return its exit code, its output and what it says beside."""
    done = run_command(*arguments, settings=settings)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


EVENTS = [event(f"s-{number % 5}", data={"n": number}) for number in range(60)]


@pytest.fixture
def settings(database: ClickHouseConfig, kafka: KafkaConfig) -> dict[str, str]:
    """Return the variables of a database that holds the events, and of a topic."""
    store(database, in_order(EVENTS))
    return {
        "TRAILHOUSE_CLICKHOUSE_URL": database.url,
        "TRAILHOUSE_CLICKHOUSE_USER": database.user,
        "TRAILHOUSE_CLICKHOUSE_PASSWORD": database.password,
        "TRAILHOUSE_CLICKHOUSE_DATABASE": database.database,
        "TRAILHOUSE_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "TRAILHOUSE_KAFKA_TOPIC": kafka.topic,
    }


@pytest.mark.long
def test_what_is_exported_is_checked_and_imported_to_the_byte(
    settings: dict[str, str], kafka: KafkaConfig, tmp_path: Path
) -> None:
    """A folder checks without a connection, goes into the topic as the same bytes, and is refused once altered."""
    folder = tmp_path / "june"
    code, said, _ = run("export", "--to", str(folder), "--rows-per-file", "20", settings=settings)
    assert (code, said.split(" in ")[0]) == (0, "60 events")
    offline = {name: value for name, value in settings.items() if "KAFKA" in name}
    code, said, _ = run("export", "--check", str(folder), settings=offline)
    assert (code, said.strip().rsplit(": ", 1)[1]) == (0, "as the manifest says")
    for _ in range(2):
        _, said, _ = run("import", str(folder), "--format", "json", settings=offline)
        assert json.loads(said) == {"sent_events": 60, "refused_lines": 0, "erased_lines": 0}
    records = [message.value() or b"" for message in read_topic(kafka)]
    assert sorted(records) == sorted([each.record for each in EVENTS] * 2)
    [first, *_] = sorted(folder.glob("events-*.jsonl"))
    first.write_bytes(first.read_bytes().replace(b'"n":', b'"m":', 1))
    for command in (("export", "--check"), ("import",)):
        code, said, beside = run(*command, str(folder), settings=offline)
        assert code == 1
        assert "bytes are not those that were exported" in said + beside


def test_standard_output_gets_the_records(settings: dict[str, str]) -> None:
    """`--to -` writes the records alone; what it says of them goes to standard error."""
    code, said, beside = run("export", "session:s-1", "--to", "-", settings=settings)
    records = [each.record.decode() for each in EVENTS if each.session_id == "s-1"]
    assert (code, said.splitlines()) == (0, records)
    assert json.loads(beside)["rows"] == len(records)


def test_wrong_use_is_an_error_with_its_way_out(settings: dict[str, str], tmp_path: Path) -> None:
    """No destination, a folder of somebody else, a line that is no record: a line each, and the exit code."""
    assert run("export", settings=settings)[0] == 2
    (tmp_path / "mine.txt").write_text("mine")
    code, _, beside = run("export", "--to", str(tmp_path), settings=settings)
    assert code != 0
    assert "not empty" in beside
    bad = tmp_path / "bad.jsonl"
    bad.write_bytes(EVENTS[0].record + b"\n{}\n" + EVENTS[1].record + b"\n")
    code, said, beside = run("import", str(bad), settings=settings)
    assert (code, said) == (1, "2 events sent, 1 bad line\n")
    assert "bad.jsonl: line 2:" in beside


@pytest.mark.long
def test_a_follower_that_is_killed_goes_on_from_its_last_token(settings: dict[str, str]) -> None:
    """Kills at any event: with the token beside each event none is missed, and none comes twice."""
    given: list[str] = []
    token: list[str] = []
    for _ in range(5):
        command = [*PROGRAM, "follow", "--from-start", "--with-token", *token]
        with subprocess.Popen(
            command, env=environment(settings), stdout=subprocess.PIPE
        ) as running:
            assert running.stdout is not None
            for line in running.stdout:
                found = json.loads(line)
                given.append(found["event"]["event_id"])
                token = ["--token", found["token"]]
                if len(given) % 12 == 0:
                    break
            running.send_signal(signal.SIGKILL)
    assert given == [each.event_id for each in EVENTS]


def test_a_follower_keeps_its_token_in_a_file(settings: dict[str, str], tmp_path: Path) -> None:
    """The same command goes on where the last one ended, in records of the same bytes."""
    file = tmp_path / "token"
    lines: list[bytes] = []
    for _ in range(3):
        command = (
            "follow",
            "--from-start",
            "--format",
            "jsonl",
            "--count",
            "20",
            "--token-file",
            str(file),
        )
        code, said, beside = run(*command, settings=settings)
        assert code == 0
        assert "go on with --token" in beside
        lines += said.encode().splitlines()
    assert lines == [each.record for each in EVENTS]
