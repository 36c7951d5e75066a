"""The demo: it succeeds only on equality, names what differs, and leaves nothing behind."""

import io
import os
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import pytest
from rich.console import Console

from command_line import PROGRAM, environment, running_worker, settings_of
from stored import Placed, store
from trailhouse.cli.demo.comparison import compare
from trailhouse.cli.demo.demonstration import demonstrate, read_back
from trailhouse.cli.demo.runs import SHOWN_SESSION_ID, recorded_events
from trailhouse.producer import AuditLogger, ProducerConfig
from trailhouse.query import AuditReader
from trailhouse.schemas import AuditEvent, KafkaConfig
from trailhouse.schemas.errors import ComparisonError, IntegrityError
from trailhouse.schemas.uuid7 import uuid7
from trailhouse.store import ClickHouse, ClickHouseConfig

pytestmark = pytest.mark.cluster
DEADLINE_SECONDS = 300.0


def update(assignment: str) -> str:
    """Return the statement that alters one stored event in place."""
    return (
        f"ALTER TABLE event_log UPDATE {assignment} WHERE event_id = {{event_id:UUID}}"
        " SETTINGS mutations_sync = 2"
    )


ALTER_RECORD = update("record = replaceOne(record, 'airline', 'railway')")
DELETE = """
ALTER TABLE event_log DELETE WHERE event_id = {event_id:UUID} AND record = {record:String}
SETTINGS mutations_sync = 2
"""
ADD_ALTERED = """
INSERT INTO event_log SELECT * REPLACE (
    replaceOne(record, 'airline', 'railway') AS record,
    substring(SHA256(replaceOne(record, 'airline', 'railway')), 1, 16) AS record_key)
FROM event_log WHERE event_id = {event_id:UUID}
"""
ADD_STRANGER = """
INSERT INTO event_log SELECT * REPLACE (
    {stranger:UUID} AS event_id,
    replaceOne(record, {event_id:String}, {stranger:String}) AS record,
    substring(SHA256(replaceOne(record, {event_id:String}, {stranger:String})), 1, 16)
        AS record_key)
FROM (SELECT * FROM event_log WHERE event_id = {event_id:UUID})
"""
STORE_LATER = "behind all others"
LATER_MS = 4_000_000_000_000
TAMPERINGS = (
    ([ALTER_RECORD], "altered"),
    ([ADD_ALTERED], "was altered: field agent_id"),
    ([ADD_ALTERED, DELETE], "was altered: field agent_id"),
    ([DELETE], "is missing from the log"),
    ([DELETE, STORE_LATER], "is out of order"),
    ([ADD_STRANGER], "was never emitted"),
)


class Marked:
    """Processes that were started with our mark in their environment, and their descendants."""

    def __init__(self, folder: Path) -> None:
        self.name = f"MARK_{uuid.uuid4().hex}"
        self.environment = environment({self.name: "1", "TMPDIR": str(folder)})

    def alive(self) -> dict[int, str]:
        """Return the process ids and command lines of those that still run."""
        return {
            int(process.name): (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            for process in Path("/proc").iterdir()
            if process.name.isdigit() and self._is_ours(process)
        }

    def _is_ours(self, process: Path) -> bool:
        try:
            return self.name.encode() in (process / "environ").read_bytes()
        except OSError:
            return False  # it has just ended, or is somebody else's


@pytest.fixture
def short_folder() -> Generator[Path]:
    """Return a folder with a short name, as a socket needs it; it must be empty at the end."""
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:
        yield Path(folder)


def test_the_demo_shows_what_went_through_and_leaves_nothing(short_folder: Path) -> None:
    """Exit code 0, the audit log, the totals and the rates; then no process and no file."""
    marked = Marked(short_folder)
    result = subprocess.run(
        [*PROGRAM, "demo"],
        env=marked.environment | {"TRAILHOUSE_PRODUCER_ENABLED": "false"},  # a user's own setting
        cwd=short_folder,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    for expected in (
        f"Audit log of session {SHOWN_SESSION_ID}",
        "tool_call_failed",
        "Events by type",
        "Runs by outcome",
        "events/s",
        "Every event read equals the one emitted",
        "`trailhouse verify` finds it",
        "tool_call_completed where tool_call_failed was logged",
        "What to try next",
    ):
        assert expected in result.stdout, result.stdout
    assert marked.alive() == {}
    assert list(short_folder.iterdir()) == []


@pytest.mark.long
@pytest.mark.parametrize(
    ("line", "number", "code"),
    [
        ("1/5", signal.SIGTERM, 143),
        ("clickhouse is ready", signal.SIGINT, 130),
        ("2/5", signal.SIGTERM, 143),
    ],
    ids=["1/5, SIGTERM", "clickhouse is ready, Ctrl-C", "2/5, SIGTERM"],
)
def test_an_interrupted_demo_leaves_nothing(
    line: str, number: signal.Signals, code: int, short_folder: Path
) -> None:
    """Ended at any moment, it stops what it started, and its code says how it ended."""
    marked = Marked(short_folder)
    with subprocess.Popen(
        [*PROGRAM, "demo"],
        env=marked.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as demo:
        assert demo.stderr is not None
        while line not in (said := demo.stderr.readline()):
            assert said, f"expected a line with {line!r} before the end"
        os.killpg(demo.pid, number)
        assert demo.wait(DEADLINE_SECONDS) == code, demo.stderr.read()
    assert marked.alive() == {}
    assert list(short_folder.iterdir()) == []


@pytest.mark.long
def test_the_demo_fails_when_a_stored_row_was_altered(capsys: pytest.CaptureFixture[str]) -> None:
    """One altered row among all of them, and the demo ends with its name instead of a success."""
    altered: list[str] = []

    def alter_one_row() -> None:
        with AuditReader() as reader, ClickHouse(ClickHouseConfig()) as clickhouse:
            event = reader.get_audit_log(SHOWN_SESSION_ID)[7]
            clickhouse.command(ALTER_RECORD, {"event_id": event.event_id})
            altered.append(event.event_id)

    results = Console(file=io.StringIO())
    with pytest.raises(IntegrityError) as caught:
        demonstrate(results, Console(file=io.StringIO()), before_check=alter_one_row)
    assert SHOWN_SESSION_ID in str(caught.value)
    assert altered[0] in str(caught.value)
    assert capsys.readouterr().out == ""
    assert [name for name in os.environ if name.startswith("TRAILHOUSE_")] == []


@contextmanager
def stored_by_a_worker(
    events: Sequence[AuditEvent], kafka: KafkaConfig, database: ClickHouseConfig
) -> Generator[None]:
    """Send *events* through Kafka and a worker; the block begins when all are stored."""
    with running_worker(settings_of(kafka, database)), AuditReader(config=database) as reader:
        with AuditLogger(ProducerConfig(kafka=kafka)) as audit:
            for event in events:
                audit.emit(event)
        deadline = time.monotonic() + DEADLINE_SECONDS
        while (stored := reader.overview().stored) < len(events):
            assert time.monotonic() < deadline, f"expected {len(events)} stored, got {stored}"
            time.sleep(0.05)  # between two looks, not instead of them
    yield


@pytest.mark.long
def test_every_tampering_is_named(kafka: KafkaConfig, database: ClickHouseConfig) -> None:
    """What passes untouched fails, with session and event, once a row was altered, moved …"""
    sessions: dict[str, list[AuditEvent]] = {}
    for event in recorded_events():
        sessions.setdefault(event.session_id, []).append(event)
    stranger = uuid7()
    with (
        stored_by_a_worker(list(chain(*sessions.values())), kafka, database),
        AuditReader(config=database) as reader,
        ClickHouse(database) as clickhouse,
    ):
        for (session_id, events), (statements, named) in zip(
            sessions.items(), TAMPERINGS, strict=False
        ):
            compare(events, read_back(events, reader))
            ids = {
                "event_id": events[3].event_id,
                "record": events[3].record.decode(),
                "stranger": stranger,
            }
            for statement in statements:
                if statement == STORE_LATER:
                    store(database, [Placed(events[3], appended_ms=LATER_MS)])
                else:
                    clickhouse.command(statement, ids)
            with pytest.raises((ComparisonError, IntegrityError), match=named) as caught:
                compare(events, read_back(events, reader))
            assert session_id in str(caught.value)
            assert (stranger if ADD_STRANGER in statements else ids["event_id"]) in str(
                caught.value
            )
