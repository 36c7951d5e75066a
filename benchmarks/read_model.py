"""What the tables that follow from the log cost the engine: an insert and its merges, with them and without, in turns.

Examples::

    python -m benchmarks.read_model
    python -m benchmarks.read_model --rows 16000 --inserts 12 --rounds 5

Each variant is a log of its own with what follows from it, and takes the same rows in the same turn: a busy machine is
busy for all. What counts is the engine's CPU, merges included, and the median over the rounds of what a variant takes
beyond the log alone.
"""

import argparse
import re
import tempfile
from pathlib import Path
from statistics import median
from typing import NamedTuple

import msgspec

from benchmarks.machine import cpu_seconds, described
from benchmarks.rounds import interleaved
from benchmarks.small_inserts import blocks_of, is_merged
from benchmarks.steady import part_pid
from benchmarks.worker import wait_until
from trailhouse.devstack import DevStack
from trailhouse.store import Block, ClickHouse, ClickHouseConfig
from trailhouse.store.derived_tables import DerivedTable, derived_tables
from trailhouse.store.migrate import migrate

AIM_US = 3.5
ALONE = "the log alone"
_INDEX = re.compile(r",\s+INDEX (\w+) .*? GRANULARITY 1(?=,?\n)")
_BOTH = ("event_index", "event_usage")


class Variant(NamedTuple):
    """What follows from a log: which tables, without which indexes, and with other words in their DDL."""

    tables: tuple[str, ...]
    without: str = "$^"
    changes: tuple[tuple[str, str], ...] = ()


VARIANTS = {
    ALONE: Variant(()),
    "with event_usage": Variant(("event_usage",)),
    "with event_index": Variant(("event_index",)),
    "with both, as it is": Variant(_BOTH),
    "… without indexes by tenant and id": Variant(_BOTH, "by_tenant_.*"),
    "… without any index of ids": Variant(_BOTH, ".*"),
    "… with granules of 8,192 rows": Variant(
        _BOTH, changes=(("index_granularity = 4096", "index_granularity = 8192"),)
    ),
    "… with a file a column from 10 MB, as usual": Variant(
        _BOTH, changes=((", min_bytes_for_wide_part = 67108864", ""),)
    ),
    "… with blocks as large as usual": Variant(
        _BOTH, changes=((", min_compress_block_size = 16384", ""),)
    ),
}  # fmt: skip


def measured(stack: DevStack, rows: int, inserts: int, rounds: int) -> dict[str, list[float]]:
    """Return the engine's CPU of each round in µs an event, by variant."""
    environment = stack.environment()
    config = ClickHouseConfig(
        url=environment["TRAILHOUSE_CLICKHOUSE_URL"],
        user=environment["TRAILHOUSE_CLICKHOUSE_USER"],
        password=environment["TRAILHOUSE_CLICKHOUSE_PASSWORD"],
    )
    migrate(config)
    engine = part_pid(stack, "clickhouse")
    found: dict[str, list[float]] = {name: [] for name in VARIANTS}
    with ClickHouse(config) as store:
        logs = {
            name: _made(store, number, variant)
            for number, (name, variant) in enumerate(VARIANTS.items())
        }
        blocks = list(blocks_of(rows, inserts, rounds))
        for number, name in interleaved(list(VARIANTS), rounds):
            began = cpu_seconds(engine)
            _insert(store, blocks[number], logs[name])
            wait_until(lambda: is_merged(store), "the merges' end", every_seconds=0.2)
            found[name].append((cpu_seconds(engine) - began) / (rows * inserts) * 1e6)
    return found


def _insert(store: ClickHouse, blocks: list[Block], log: str) -> None:
    for block in blocks:
        store.insert(msgspec.structs.replace(block, table=log))


def _made(store: ClickHouse, number: int, variant: Variant) -> str:
    """Make a log and what follows from it, all of its own; return the log's name."""
    log = f"log_{number}"
    [[ddl]] = store.query("SHOW CREATE TABLE event_log").rows
    store.command(str(ddl).replace(".event_log", f".{log}", 1))
    [[database]] = store.query("SELECT currentDatabase()").rows
    for table in derived_tables():
        if table.name in variant.tables:
            for statement in _statements(table, number, variant):
                text = statement.replace("{database}.event_log", f"{{database}}.{log}")
                store.command(text.replace("{database}", str(database)))
    return log


def _statements(table: DerivedTable, number: int, variant: Variant) -> tuple[str, str]:
    create, filled = table.beside(f"{table.name}_{number}", f"{table.view}_{number}")
    kept = _INDEX.sub(
        lambda index: "" if re.fullmatch(variant.without, index[1]) else index[0], create
    )
    for old, new in variant.changes:
        if table.name == _BOTH[0] and old not in kept:
            raise SystemExit(f"benchmarks: {table.name} has no {old!r}")
        kept = kept.replace(old, new)
    return kept, filled


def table_of(found: dict[str, list[float]]) -> str:
    """Return *found* as a Markdown table."""
    lines = ["| | engine's CPU, µs an event | beyond the log alone | aim |", "|---|---|---|---|"]
    for name, taken in found.items():
        beyond = median(each - alone for each, alone in zip(taken, found[ALONE], strict=True))
        aim = f"≤ {AIM_US}" if name.endswith("as it is") else ""
        lines.append(f"| {name} | {median(taken):.1f} | {beyond:.1f} | {aim} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, and print a table."""
    options = argparse.ArgumentParser(
        prog="python -m benchmarks.read_model",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("--rows", type=int, default=16_000, help="of an insert (default 16,000)")
    options.add_argument("--inserts", type=int, default=12, help="of a round (default 12)")
    options.add_argument("--rounds", type=int, default=5, help="(default 5)")
    given = options.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="trailhouse-read-model-") as folder,
        DevStack(Path(folder), parts=("clickhouse",)) as stack,
    ):
        found = measured(stack, given.rows, given.inserts, given.rounds)
    print("; ".join(f"{name}: {value}" for name, value in described().items()))
    print(f"\ninserts of {given.rows:,} rows\n\n{table_of(found)}")


if __name__ == "__main__":
    main()
