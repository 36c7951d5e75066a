"""What an insert of few rows costs the engine, merges included: as the table is, and without some of what it does.

Examples::

    python -m benchmarks.small_inserts
    python -m benchmarks.small_inserts --rows 300 --inserts 300 --rounds 3

The variants take turns, so that a busy machine is busy for all of them; the least of the rounds counts.
"""

import argparse
import tempfile
from pathlib import Path

import msgspec

from benchmarks.loading import ORIGIN, Loaded
from benchmarks.machine import cpu_seconds, described
from benchmarks.records import ready_records
from benchmarks.steady import part_pid
from benchmarks.worker import wait_until
from trailhouse.consumer.batch.batch import rows_of
from trailhouse.consumer.batch.blocks import event_block
from trailhouse.devstack import DevStack
from trailhouse.store import Block, ClickHouse, ClickHouseConfig
from trailhouse.store.migrate import migrate

PARTITIONS = 12
_VARIANTS = {
    "event_log": (),
    "… a file for each thing in a part": (
        ("full_part_storage = 16777216", "full_part_storage = 0"),
    ),
    "… without fsync": (
        ("fsync_after_insert = 1", "fsync_after_insert = 0"),
        ("fsync_part_directory = 1", "fsync_part_directory = 0"),
        ("min_rows_to_fsync_after_merge = 1", "min_rows_to_fsync_after_merge = 0"),
    ),
    "… without the index of sessions": (("by_session session_id", "by_session tenant_id"),),
    "… without partitions by year": (("\nPARTITION BY ", "\n-- "),),
}


def measure(stack: DevStack, rows: int, inserts: int, rounds: int) -> dict[str, float]:
    """Return the engine's CPU of an insert, in ms, by variant."""
    environment = stack.environment()
    config = ClickHouseConfig(
        url=environment["TRAILHOUSE_CLICKHOUSE_URL"],
        user=environment["TRAILHOUSE_CLICKHOUSE_USER"],
        password=environment["TRAILHOUSE_CLICKHOUSE_PASSWORD"],
    )
    migrate(config)
    engine = part_pid(stack, "clickhouse")
    found: dict[str, float] = {}
    with ClickHouse(config) as store:
        _make_variants(store)
        for blocks in blocks_of(rows, inserts, rounds):
            for number, name in enumerate(_VARIANTS):
                began = cpu_seconds(engine)
                for block in blocks:
                    store.insert(msgspec.structs.replace(block, table=f"variant_{number}"))
                wait_until(lambda: is_merged(store), "the merges' end", every_seconds=0.2)
                milliseconds = (cpu_seconds(engine) - began) / inserts * 1e3
                found[name] = min(milliseconds, found.get(name, milliseconds))
    return found


def _make_variants(store: ClickHouse) -> None:
    [[ddl]] = store.query("SHOW CREATE TABLE event_log").rows
    for number, changes in enumerate(_VARIANTS.values()):
        sql = str(ddl).replace(".event_log", f".variant_{number}", 1)
        for old, new in changes:
            if old not in sql:
                raise SystemExit(f"benchmarks: event_log has no {old!r}")
            sql = sql.replace(old, new)
        store.command(sql)


def is_merged(store: ClickHouse) -> bool:
    """Tell whether no merge is under way."""
    return store.query("SELECT count() FROM system.merges").rows == [(0,)]


def blocks_of(rows: int, inserts: int, rounds: int) -> list[list[Block]]:
    """Return the blocks of each round, of recorded events over twelve partitions."""
    records = [each.value for each in ready_records(rows * inserts * rounds)]
    events = [Loaded(at % PARTITIONS, at // PARTITIONS, each) for at, each in enumerate(records)]
    blocks = [
        event_block(ORIGIN, rows_of(events[begin : begin + rows]))
        for begin in range(0, len(events), rows)
    ]
    return [blocks[begin : begin + inserts] for begin in range(0, len(blocks), inserts)]


def main() -> None:
    """Measure, and print a table."""
    options = argparse.ArgumentParser(
        prog="python -m benchmarks.small_inserts",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("--rows", type=int, default=60, help="of an insert (default 60)")
    options.add_argument("--inserts", type=int, default=60, help="of a round (default 60)")
    options.add_argument("--rounds", type=int, default=3, help="(default 3)")
    given = options.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="trailhouse-inserts-") as folder,
        DevStack(Path(folder), parts=("clickhouse",)) as stack,
    ):
        found = measure(stack, given.rows, given.inserts, given.rounds)
    print("; ".join(f"{name}: {value}" for name, value in described().items()))
    print(f"\n| {given.rows} rows | engine's CPU, ms an insert |\n|---|---|")
    for name, milliseconds in found.items():
        print(f"| {name} | {milliseconds:.1f} |")


if __name__ == "__main__":
    main()
