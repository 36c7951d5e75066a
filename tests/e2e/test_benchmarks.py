"""What the benchmarks take from the engine: its own count of parts."""

import pytest
from benchmarks.engine_counts import engine_counts, most_active_parts

from trailhouse.store import ClickHouse, ClickHouseConfig

pytestmark = pytest.mark.cluster

INSERTS = 5


def test_a_part_that_was_merged_away_was_made(database: ClickHouseConfig) -> None:
    """Each insert makes one in the table and one in a table derived from it; what merges make is no insert's."""
    with ClickHouse(database) as store:
        store.command("CREATE TABLE source (number UInt64) ENGINE = MergeTree ORDER BY number")
        store.command("CREATE TABLE derived AS source")
        store.command(
            "CREATE MATERIALIZED VIEW derived_view TO derived AS SELECT number FROM source"
        )
        before = engine_counts(store)
        for number in range(INSERTS):
            store.command("INSERT INTO source VALUES ({number:UInt64})", {"number": number})
        store.command("OPTIMIZE TABLE source FINAL")
        made = engine_counts(store).a_second(before, 1.0)
        active = most_active_parts(store)
    parts = {name: count for name, count in made.items() if name.startswith("parts of ")}
    assert parts == {
        "parts of source a second": INSERTS,
        "parts of derived a second": INSERTS,
    }
    assert made["inserts a second"] >= INSERTS
    assert 1 <= active <= INSERTS
