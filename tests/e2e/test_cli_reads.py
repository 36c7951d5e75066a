"""The commands that ask the log, on a fleet's log in the real ClickHouse engine; a third of it is stored twice."""

import csv
import io
import json
import subprocess
import sys
import uuid
from collections import Counter
from pathlib import Path

import pytest

from airline_fleet import fleet, store_fleet
from balancing import run_here
from cluster import Cluster
from command_line import environment
from trailhouse.store import ClickHouseConfig
from trailhouse.store.migrate import migrate

pytestmark = pytest.mark.cluster

SCRIPT = str(Path(sys.executable).with_name("trailhouse"))
Result = subprocess.CompletedProcess[bytes]


@pytest.fixture(scope="module")
def settings(cluster: Cluster) -> dict[str, str]:
    """Return the variables of a database that holds the fleet."""
    config = cluster.clickhouse_config(f"trailhouse_{uuid.uuid4().hex[:12]}")
    migrate(config)
    store_fleet(config, fleet())
    return variables(config)


def variables(config: ClickHouseConfig) -> dict[str, str]:
    """Return the variables that make a command read this database."""
    return {
        "TRAILHOUSE_CLICKHOUSE_URL": config.url,
        "TRAILHOUSE_CLICKHOUSE_USER": config.user,
        "TRAILHOUSE_CLICKHOUSE_PASSWORD": config.password,
        "TRAILHOUSE_CLICKHOUSE_DATABASE": config.database,
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
