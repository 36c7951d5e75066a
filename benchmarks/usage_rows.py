"""What `usage` takes over many rows of usage, and by arithmetic over a log of a billion events.

Examples::

    python -m benchmarks.usage_rows
    python -m benchmarks.usage_rows --rows 2000000 --rounds 3

The rows are made within ClickHouse and go straight into `event_usage`, a month of them in order of time: there is no
log behind them, which `usage` does not read. It is asked over half of them, and then over all: what the second half
took more is what each further row takes. How many rows a billion events have is the recording's share of usage.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from benchmarks.machine import described
from benchmarks.records import recorded_fields
from trailhouse.devstack import DevStack
from trailhouse.query import AuditReader, ReadBudget
from trailhouse.store import ClickHouse, ClickHouseConfig
from trailhouse.store.migrate import migrate

BILLION = 1_000_000_000
AIM_SECONDS = 10.0
INSERT_ROWS = 1_000_000
PATIENCE = ReadBudget(seconds=600.0)
_DAYS_US = 30 * 86_400_000_000
_USAGE_TYPES = ("token_usage_updated", "run_completed")
_FILL = """
    INSERT INTO event_usage
    SELECT
        {{first_us:Int64}} + toInt64(number) * {{step_us:Int64}} AS occurred_us,
        concat('airline-', toString(intDiv(number, 9))) AS session_id,
        concat('tenant-', toString(hash % 20)) AS tenant_id,
        reinterpretAsFixedString(sipHash128(number)) AS record_key,
        if(number % 9 = 8, 'run_completed', 'token_usage_updated') AS type,
        concat(session_id, '-trial-0') AS run_id,
        concat('agent-', toString(intDiv(hash, 1000) % 200)) AS agent_id,
        'user' AS actor_type, concat('user-', toString(intDiv(hash, 100000) % 500)) AS actor_id,
        'openai' AS provider, 'gpt-4o' AS model,
        800 + cityHash64(number) % 8200 AS input_tokens, 50 + cityHash64(number, 1) % 850 AS output_tokens,
        input_tokens + output_tokens AS total_tokens,
        toDecimal128(input_tokens * 2.5e-6 + output_tokens * 1e-5, 18) AS cost_usd, NULL AS duration_ms
    FROM (
        SELECT number, cityHash64(intDiv(number, 9), 'session') AS hash
        FROM numbers({{begin:UInt64}}, {rows})
    )
"""


def usage_share() -> float:
    """Return how many of the recorded events carry usage, of all."""
    recorded = recorded_fields()
    return sum(each["type"] in _USAGE_TYPES for each in recorded) / len(recorded)


def measured(
    reader: AuditReader, store: ClickHouse, rows: int, rounds: int
) -> dict[str, list[float]]:
    """Return what each question took over half of the rows and over all of them, in seconds."""
    asked: dict[str, Callable[[], object]] = {
        "in all": lambda: reader.usage(budget=PATIENCE).value,
        "by agent and day": lambda: reader.usage(by=("agent", "day"), budget=PATIENCE).value,
    }
    found: dict[str, list[float]] = {name: [] for name in asked}
    filled = 0
    for upto in (rows // 2, rows):
        filled = _filled(store, filled, upto, rows)
        if reader.usage(budget=PATIENCE).value.total.increments.events != upto - upto // 9:
            raise SystemExit("benchmarks: usage does not have every row")
        for name, ask in asked.items():
            found[name].append(median(_seconds(ask) for _ in range(rounds)))
    return found


def _seconds(ask: Callable[[], object]) -> float:
    began = time.perf_counter()
    ask()
    return time.perf_counter() - began


def _filled(store: ClickHouse, begin: int, upto: int, rows: int) -> int:
    while begin < upto:
        count = min(INSERT_ROWS, upto - begin)
        store.command(
            _FILL.format(rows=count),
            {"first_us": 1_790_000_000_000_000, "step_us": _DAYS_US // rows, "begin": begin},
        )
        begin += count
    return begin


def table_of(found: dict[str, list[float]], rows: int) -> str:
    """Return *found* as a Markdown table, with what a billion events would take."""
    wanted = BILLION * usage_share()
    lines = [
        f"| `usage` | {rows // 2:,} rows, s | {rows:,} rows, s | {wanted:,.0f} rows, by arithmetic, s | aim |",
        "|---|---|---|---|---|",
    ]
    for name, (half, whole) in found.items():
        by_arithmetic = whole + (wanted - rows) * max(whole - half, 0.0) / (rows - rows // 2)
        lines.append(
            f"| {name} | {half:.2f} | {whole:.2f} | {by_arithmetic:.1f} | ≤ {AIM_SECONDS:g} |"
        )
    return "\n".join(lines)


@contextmanager
def _database() -> Generator[ClickHouseConfig]:
    with (
        tempfile.TemporaryDirectory(prefix="trailhouse-usage-") as folder,
        DevStack(Path(folder), parts=("clickhouse",)) as stack,
    ):
        environment = stack.environment()
        config = ClickHouseConfig(
            url=environment["TRAILHOUSE_CLICKHOUSE_URL"],
            user=environment["TRAILHOUSE_CLICKHOUSE_USER"],
            password=environment["TRAILHOUSE_CLICKHOUSE_PASSWORD"],
            timeout_seconds=600.0,
        )
        migrate(config)
        yield config


def main() -> None:
    """Fill, ask, and print a table."""
    options = argparse.ArgumentParser(
        prog="python -m benchmarks.usage_rows",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("--rows", type=int, default=20_000_000, help="(default 20 million)")
    options.add_argument("--rounds", type=int, default=5, help="times each is asked (default 5)")
    given = options.parse_args()
    with _database() as config, ClickHouse(config) as store, AuditReader(config=config) as reader:
        found = measured(reader, store, given.rows, given.rounds)
        parts = store.query(
            "SELECT count() FROM system.parts WHERE active AND table = 'event_usage'"
            " AND database = currentDatabase()"
        ).rows[0][0]
    print("; ".join(f"{name}: {value}" for name, value in described().items()))
    print(
        f"\n{usage_share():.1%} of the recorded events carry usage; {parts} parts\n\n{table_of(found, given.rows)}"
    )


if __name__ == "__main__":
    main()
