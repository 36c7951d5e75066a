"""What the engine counts itself: statements, merges, syncs to the disk, and the parts made in each table."""

from typing import NamedTuple

from trailhouse.store import ClickHouse

_EVENTS_OF = {
    "inserts": ("InsertQuery",),
    "selects": ("SelectQuery",),
    "merges": ("Merge",),
    "syncs": ("FileSync", "DirectorySync"),
}
# A table numbers the blocks that are inserted, across its partitions: the highest number counts the parts ever made,
# those that are merged away included. The embedded engine has no system.part_log.
_COUNTS = """
    SELECT 'event', event, value FROM system.events
    UNION ALL
    SELECT 'part', table, toUInt64(max(max_block_number)) FROM system.parts
    WHERE database = currentDatabase() AND max_block_number > 0 GROUP BY table
"""
_OWN_SELECTS = 1


class EngineCounts(NamedTuple):
    """Counts since the engine's start, of all its databases, and the parts of one, by table."""

    counts: dict[str, int]
    parts: dict[str, int]

    def a_second(self, before: "EngineCounts", seconds: float) -> dict[str, float]:
        """Return what came since *before*, *seconds* ago, a second; parts by table and in all."""
        found = {name: count - before.counts[name] for name, count in self.counts.items()}
        found["selects"] -= _OWN_SELECTS
        parts = {
            table: number - before.parts.get(table, 0)
            for table, number in sorted(self.parts.items())
        }
        found |= {"parts": sum(parts.values())}
        found |= {f"parts of {table}": number for table, number in parts.items() if number}
        return {f"{name} a second": count / seconds for name, count in found.items()}


def engine_counts(store: ClickHouse) -> EngineCounts:
    """Return the counts as they are now."""
    rows = [
        (str(kind), str(name), int(str(count))) for kind, name, count in store.query(_COUNTS).rows
    ]
    events = {name: count for kind, name, count in rows if kind == "event"}
    return EngineCounts(
        {name: sum(events.get(each, 0) for each in summed) for name, summed in _EVENTS_OF.items()},
        {name: count for kind, name, count in rows if kind == "part"},
    )


def most_active_parts(store: ClickHouse) -> int:
    """Return how many parts the fullest partition has, by which a server delays and refuses inserts."""
    [[most]] = store.query(
        "SELECT max(parts) FROM (SELECT count() AS parts FROM system.parts"
        " WHERE active AND database = currentDatabase() GROUP BY table, partition_id)"
    ).rows
    return int(str(most))
