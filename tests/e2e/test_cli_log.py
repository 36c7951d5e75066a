"""`trailhouse log` and `sessions` against the real ClickHouse engine, each in its own process."""

import datetime as dt
import json

import pytest

from balancing import run_here
from command_line import settings_of
from stored import in_order, store
from trailhouse.schemas import AuditEvent, KafkaConfig, decode
from trailhouse.store import ClickHouse, ClickHouseConfig

pytestmark = pytest.mark.cluster


@pytest.fixture
def settings(kafka: KafkaConfig, database: ClickHouseConfig) -> dict[str, str]:
    """Return the variables of a fresh topic and a fresh database with tables."""
    return settings_of(kafka, database)


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
    assert numbers("--run", "2") == [2, 3]
    assert numbers("--type", "a", "--type", "c") == [0, 2, 3]
    assert numbers("--since", "2026-01-31T08:00:01Z", "--until", "2026-01-31T09:00:02+01:00") == [
        1,
        2,
    ]
    assert numbers("--limit", "2") == [0, 1]
    assert numbers("--tenant", "t") == [0, 1, 2, 3]
    assert numbers("--tenant", "another") == []
    assert numbers("--run", "2' OR '1'='1") == []
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
    assert told("--tenant", "acme", "--run", "run-2") == [
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


def test_what_is_asked_is_shown(settings: dict[str, str], database: ClickHouseConfig) -> None:
    """`--show-sql` shows statements with places for values, the values apart, and none of it in the result."""
    event = AuditEvent(type="a", session_id="s'; DROP", data={"n": 1})
    store(database, in_order([event]))
    plain, shown = (
        run_here("log", event.session_id, "--format", "jsonl", *option, settings=settings)
        for option in ((), ("--show-sql",))
    )
    assert (plain.stdout, plain.stderr) == (shown.stdout, b"")
    lines = shown.stderr.decode().splitlines()
    assert any("{session_id:String}" in line for line in lines)
    assert '-- session_id = "s\'; DROP"' in lines
    assert not any("DROP" in line for line in lines if not line.startswith("--"))
    assert run_here("log", event.session_id, settings=settings).stderr == b""
