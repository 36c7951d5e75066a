"""The commands that ask the log, on a fleet's log in the real ClickHouse engine; a third of it is stored twice."""

import csv
import datetime as dt
import hashlib
import io
import json
import subprocess
import sys
import uuid
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from airline_fleet import fleet, store_fleet
from balancing import run_here
from command_line import environment, run_command
from trailhouse.store import ClickHouseConfig

pytestmark = pytest.mark.cluster

SCRIPT = str(Path(sys.executable).with_name("trailhouse"))
Result = subprocess.CompletedProcess[bytes]


@pytest.fixture(scope="module")
def settings(database_of_module: ClickHouseConfig) -> dict[str, str]:
    """Return the variables of a database that holds the fleet."""
    store_fleet(database_of_module, fleet())
    return variables(database_of_module)


def variables(config: ClickHouseConfig) -> dict[str, str]:
    """Return the variables that make a command read this database."""
    return {
        "TRAILHOUSE_CLICKHOUSE_URL": config.url,
        "TRAILHOUSE_CLICKHOUSE_USER": config.user,
        "TRAILHOUSE_CLICKHOUSE_PASSWORD": config.password,
        "TRAILHOUSE_CLICKHOUSE_DATABASE": config.database,
        "TRAILHOUSE_ACCESS_AUDIT_READS": "false",  # there is no Kafka here, which it would say
    }


def told(result: Result) -> list[str]:
    """Return the lines of standard error."""
    return result.stderr.decode().splitlines()


def test_sql_answers_in_every_format(settings: dict[str, str]) -> None:
    """The same rows in each format, and what is left out on standard error."""
    statement = (
        "SELECT type, count() AS events FROM events GROUP BY type ORDER BY events DESC, type"
    )
    expected = sorted(
        Counter(e.type for e in fleet()).items(), key=lambda pair: (-pair[1], pair[0])
    )

    def asked(*options: str) -> Result:
        return run_here("sql", statement, *options, settings=settings)

    whole = json.loads(asked("--format", "json").stdout)
    assert whole["columns"] == ["type", "events"]
    assert [tuple(row) for row in whole["rows"]] == expected
    assert whole["complete"]
    lines = asked("--format", "jsonl").stdout.splitlines()
    assert [(row["type"], row["events"]) for row in map(json.loads, lines)] == expected
    rows = list(csv.reader(io.StringIO(asked("--format", "csv").stdout.decode())))
    assert rows == [["type", "events"], *([kind, str(number)] for kind, number in expected)]
    table = asked().stdout.decode().splitlines()
    assert [tuple(line.split()) for line in table[1:]] == [(k, str(n)) for k, n in expected]
    assert told(asked()) == [f"{len(expected)} rows; complete"]
    cut = told(asked("--limit", "1"))
    assert cut[0] == "1 row; not all"
    assert cut[1].startswith("left out: further rows: ")


def test_sql_is_refused_with_its_place(settings: dict[str, str]) -> None:
    """What is not allowed is wrong use: code 2, one line, and nothing was sent."""
    result = run_here("sql", "SELECT *\nFROM event_log", "--show-sql", settings=settings)
    assert (result.returncode, result.stdout) == (2, b"")
    assert told(result)[0].startswith(
        "error: sql: line 2, column 6: 'event_log' is not a view of ours; "
    )
    nothing = run_here("sql", "SELECT * FROM events WHERE type = 'nothing'", settings=settings)
    assert (nothing.returncode, nothing.stdout) == (1, b"")
    other = run_here("sql", "SELECT count() FROM events", "--tenant", "x", settings=settings)
    assert other.stdout.split() == [b"count()", b"0"]


def test_completion_knows_commands_and_options() -> None:
    """The shell's completion is told what may follow."""

    def completed(words: str) -> list[str]:
        asked = {"_TRAILHOUSE_COMPLETE": "complete_bash", "COMP_WORDS": words}
        place = str(len(words.split()) - 1)
        return subprocess.run(
            ["trailhouse"], executable=SCRIPT, env=environment() | asked | {"COMP_CWORD": place},
            capture_output=True, text=True, check=False,
        ).stdout.split()  # fmt: skip

    assert {"sessions", "sql"} <= set(completed("trailhouse s"))
    assert completed("trailhouse log --form") == ["--format"]


def test_runs_that_failed_and_why(settings: dict[str, str]) -> None:
    """`runs` finds runs by how they ended and when they started; each names its error, and the next page its cursor."""
    failed = {event.run_id: event for event in fleet() if event.type == "run_failed"}
    day = ("--since", "2026-10-02", "--until", "2026-10-02")
    wanted = {
        run for run in failed
        if min(e.occurred_at for e in fleet() if e.run_id == run).date() == dt.date(2026, 10, 2)
    }  # fmt: skip
    result = run_here("runs", "--status", "failed", *day, "--format", "jsonl", settings=settings)
    rows = list(map(json.loads, result.stdout.splitlines()))
    assert {row["run_id"] for row in rows} == wanted
    assert {row["ending_error_code"] for row in rows} == {
        failed[run].data["error_code"] for run in wanted if run
    }
    assert told(result) == [f"{len(wanted)} runs; complete"]
    table = (
        run_here("runs", "--status", "failed", *day, settings=settings).stdout.decode().splitlines()
    )
    assert table[0].split()[:6] == ["started", "session", "run", "agent", "status", "error"]
    assert {line.split()[2] for line in table[1:]} == wanted
    met, more = [], ["--limit", "7"]
    while more:
        page = run_here(
            "runs", "outcome:failed", *day, *more, "--format", "jsonl", settings=settings
        )
        met += [json.loads(line)["run_id"] for line in page.stdout.splitlines()]
        last = told(page)[-1]
        more = ["--limit", "7", "--cursor", last.split()[-1]] if "--cursor" in last else []
    assert sorted(met) == sorted(run for run in wanted if run)


def test_the_next_page_is_another_process(settings: dict[str, str]) -> None:
    """The cursor that a command names is good for the next command, which knows nothing of the first."""
    asked = ("runs", "--limit", "1", "--format", "jsonl")
    first = run_command(*asked, settings=settings)
    second = run_command(*asked, "--cursor", told(first)[-1].split()[-1], settings=settings)
    assert (first.returncode, second.returncode) == (0, 0), second.stderr
    assert json.loads(first.stdout)["run_id"] != json.loads(second.stdout)["run_id"]


def test_what_an_agent_cost(settings: dict[str, str]) -> None:
    """`usage` sums each event once, by both books, in groups and in all."""
    updates = [event for event in fleet() if event.type == "token_usage_updated"]
    priced = [Decimal(str(e.data["cost_usd"])) for e in updates if "cost_usd" in e.data]
    asked = ("usage", "agent:airline-gpt-4o", "--since", "2026-10-01", "--by", "day")
    answer = json.loads(run_here(*asked, "--format", "json", settings=settings).stdout)["value"]
    assert answer["total"]["increments"]["events"] == len(updates)
    assert Decimal(answer["total"]["increments"]["cost_usd"]) == sum(priced)
    result = run_here(*asked, settings=settings)
    header, *days, total = result.stdout.decode().splitlines()
    assert header.split() == [
        "day",
        "input",
        "output",
        "increments",
        "totals",
        "unpriced",
        "differ",
    ]
    assert [line.split()[0] for line in days] == ["2026-10-03", "2026-10-02", "2026-10-01"]
    assert f"${sum(priced)}".rstrip("0") in total.split()
    assert told(result)[0] == "3 groups; complete"
    nothing = run_here("usage", "agent:nobody", settings=settings)
    assert (nothing.returncode, told(nothing)[-1]) == (1, "no event carries tokens or a cost")


def test_sessions_are_listed_the_latest_first(settings: dict[str, str]) -> None:
    """`sessions` names those that started last first, of one tenant where it is named; 1 where there is none."""
    started: dict[str, dt.datetime] = {}
    for event in fleet():
        if event.tenant_id == "acme":
            at = started.get(event.session_id, event.occurred_at)
            started[event.session_id] = min(at, event.occurred_at)
    latest = sorted(started, key=lambda session: started[session], reverse=True)[:5]
    asked = ("sessions", "--tenant", "acme", "--limit", "5")
    rows = json.loads(run_here(*asked, "--format", "json", settings=settings).stdout)["items"]
    assert [row["session_id"] for row in rows] == latest
    table = run_here(*asked, settings=settings).stdout.decode().splitlines()
    assert [line.split()[1] for line in table] == ["session", *latest]
    none = run_here("sessions", "--tenant", "nobody", settings=settings)
    assert (none.returncode, none.stdout, told(none)[0]) == (1, b"", "0 sessions; complete")


def test_search_walks_all_that_matches(settings: dict[str, str]) -> None:
    """Every page says how to go on, with the times that it asked for; the walk meets each event once."""
    expected = {
        e.event_id
        for e in fleet()
        if e.type in ("run_failed", "run_timeout") and e.tenant_id == "acme"
    }
    asked = (
        "search",
        "type:(run_failed OR run_timeout)",
        "tenant:acme",
        "--since",
        "5000d",
        "--limit",
        "9",
    )
    met: list[str] = []
    more: list[str] = []
    while True:
        page = run_here(*asked, *more, "--format", "jsonl", settings=settings)
        met += [json.loads(line)["event_id"] for line in page.stdout.splitlines()]
        last = told(page)[-1]
        if "--cursor" not in last:
            break
        more = last.partition("with ")[2].split()
    assert len(met) == len(expected) > 9
    assert set(met) == expected
    rows = list(
        csv.DictReader(
            io.StringIO(run_here(*asked, "--format", "csv", settings=settings).stdout.decode())
        )
    )
    assert [row["event_id"] for row in rows] == met[:9]
    table = run_here(*asked, settings=settings).stdout.decode().splitlines()
    assert [line.split()[-1] for line in table] == ["event", *met[:9]]
    words = run_here("search", '"no such words anywhere"', settings=settings)
    assert (words.returncode, told(words)[0]) == (1, "0 events; complete")


def test_one_event_is_shown_whole(settings: dict[str, str]) -> None:
    """`show` has the fields, the digest and the record; an id of nothing and of another tenant's are the same."""
    event = next(event for event in fleet() if event.tenant_id == "acme")
    result = run_here("show", event.event_id, settings=settings)
    text = result.stdout.decode()
    facts, _, record = text.partition("{")
    assert f"event_id         {event.event_id}" in facts.splitlines()
    assert hashlib.sha256(event.record).hexdigest() in facts
    assert json.loads("{" + record) == json.loads(event.record)
    assert told(result) == ["1 event; complete"]
    [item] = json.loads(
        run_here("show", event.event_id, "--format", "json", settings=settings).stdout
    )["items"]
    assert item["event"]["data"] == json.loads(event.record)["data"]
    answers = {
        (each.returncode, each.stdout, each.stderr)
        for each in (
            run_here("show", event.event_id, "--tenant", "globex", settings=settings),
            run_here("show", str(uuid.uuid4()), "--tenant", "globex", settings=settings),
            run_here("show", "no id", "--tenant", "globex", settings=settings),
        )
    }
    (answer,) = answers  # the same, whoever has it
    assert answer[:2] == (1, b"")
    assert answer[2].startswith(
        b"0 events; complete\nno event has this id: `trailhouse search` finds ids"
    )


def test_a_timeline_shows_what_a_run_did(settings: dict[str, str]) -> None:
    """Each call of a tool is a step below its run, in every format; an unknown session is said to be none."""
    session = "airline-07"
    events = [event for event in fleet() if event.session_id == session]
    calls = Counter(e.data["tool_name"] for e in events if e.type == "tool_call_started")
    result = run_here("timeline", session, settings=settings)
    lines = result.stdout.decode().splitlines()
    for tool, count in calls.items():
        assert sum(f"tool call {tool} " in line for line in lines) == count
    for run in {event.run_id for event in events}:
        assert sum(f"run {run} (" in line for line in lines) == 1
    assert told(result) == [f"{len(events)} events; complete"]
    answer = json.loads(run_here("timeline", session, "--format", "json", settings=settings).stdout)
    assert answer["value"]["events"] == len(events)
    one = run_here(
        "timeline", "--run", "airline-07-trial-1", "--format", "jsonl", settings=settings
    )
    assert [json.loads(line)["run_id"] for line in one.stdout.splitlines()] == [
        "airline-07-trial-1"
    ]
    nobody = run_here("timeline", "nobody", settings=settings)
    assert (nobody.returncode, nobody.stdout, told(nobody)[0]) == (1, b"", "0 events; complete")
    assert run_here("timeline", session, "--tenant", "nobody", settings=settings).returncode == 1
    assert run_here("timeline", settings=settings).returncode == 2


def test_who_approved_a_call(settings: dict[str, str]) -> None:
    """`approvals` names who answered, by call, and marks what ran without a grant."""
    granted = [event for event in fleet() if event.type == "tool_approval_granted"]
    call = granted[0].data["tool_call_id"]
    result = run_here("approvals", f"tool_call:{call}", "--format", "json", settings=settings)
    for found in json.loads(result.stdout)["value"]["approvals"]:
        [answer] = [
            e
            for e in fleet()
            if e.run_id == found["run_id"]
            and e.event_id in found["event_ids"]
            and e.type in ("tool_approval_granted", "tool_approval_denied")
        ]
        assert found["tool_call_id"] == call
        assert found["status"] == answer.type.rpartition("_")[2]
    table = run_here("approvals", f"run:{granted[0].run_id}", settings=settings)
    header, *rows = table.stdout.decode().splitlines()
    assert header.split() == [
        "time",
        "session",
        "run",
        "tool",
        "call",
        "status",
        "by",
        "after",
        "ran",
        "reason",
    ]
    assert any(call in row and "granted" in row and "user:supervisor" in row for row in rows)
    assert run_here("approvals", "agent:nobody", settings=settings).returncode == 1


def test_how_two_runs_differ(settings: dict[str, str]) -> None:
    """`compare` shows both ends and the steps that differ; a run against itself has none."""
    a, b = "airline-07-trial-0", "airline-07-trial-1"
    result = run_here("compare", a, b, settings=settings)
    lines = result.stdout.decode().splitlines()
    assert next(line.split() for line in lines if line.startswith("run ")) == ["run", a, b]
    assert any("tool call" in line and "only a" in line for line in lines)
    assert any(line.startswith("first difference: step ") for line in told(result))
    same = run_here("compare", a, a, "--format", "json", settings=settings)
    answer = json.loads(same.stdout)["value"]
    assert (answer["first_difference"], answer["changed_steps"], answer["only_a"]) == (None, 0, 0)
    unknown = run_here("compare", a, "nope\x1b", settings=settings)
    assert (unknown.returncode, unknown.stdout) == (1, b"")
    [line] = told(unknown)
    assert line.startswith("no events of run 'nope\\x1b'")


def test_what_does_not_fit_is_counted(settings: dict[str, str]) -> None:
    """`anomalies` counts runs that never ended, and says so with its exit code."""
    ends = ("run_completed", "run_failed", "run_cancelled", "run_timeout", "run_abandoned")
    open_runs = {e.run_id for e in fleet()} - {e.run_id for e in fleet() if e.type in ends}
    result = run_here("anomalies", "--limit", "2", "--format", "json", settings=settings)
    answer = json.loads(result.stdout)["value"]
    assert answer["counts"]["run_without_end"] == len(open_runs)
    assert result.returncode == 1
    table = run_here("anomalies", "--limit", "2", settings=settings)
    assert sum(b" run_without_end " in line for line in table.stdout.splitlines()) == 2
    assert run_here("anomalies", "agent:nobody", settings=settings).returncode == 0


@pytest.mark.parametrize(
    "command", ["search", "runs", "sessions", "usage", "approvals", "anomalies"]
)
def test_what_is_not_understood_is_wrong_use(settings: dict[str, str], command: str) -> None:
    """Code 2 and one line that shows the place, or what is allowed."""
    for arguments, expected in (
        (("agnt:x",), "error: filter, character 1: "),
        (("type:(a OR",), "error: filter, "),
        (("--since", "2026-10-01 14:00"), "error: --since: '2026-10-01 14:00' names no zone; "),
        (
            ("--since", "2026-10-02", "--until", "2026-10-01"),
            "error: since: must not be after until",
        ),
    ):
        result = run_here(command, *arguments, settings=settings)
        [line] = told(result)
        assert (result.returncode, result.stdout) == (2, b"")
        assert line.startswith(expected)
