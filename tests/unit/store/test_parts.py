"""How near a table is to the number of parts at which its inserts suffer: which limit holds, and what counts."""

import pytest

from trailhouse.store.parts import (
    LARGE_PARTS,
    REFUSED_AT,
    REFUSED_IN_ALL_AT,
    SLOWED_AT,
    TableParts,
    limits_of,
    nearest_limit,
)

SERVER = {SLOWED_AT: 1_000, REFUSED_AT: 3_000, REFUSED_IN_ALL_AT: 100_000, LARGE_PARTS: 1 << 30}


def test_a_tables_own_limits_hold_and_else_those_of_the_server() -> None:
    """As its engine clause has them."""
    engine = "ReplacingMergeTree(ver) ORDER BY a SETTINGS index_granularity = 1, parts_to_throw_insert = 300"
    assert limits_of(engine, SERVER) == {**SERVER, REFUSED_AT: 300}


@pytest.mark.parametrize(
    ("parts", "limits", "expected"),
    [
        pytest.param((600, 600, 1e6), {}, (600, 1_000), id="where inserts are slowed down"),
        pytest.param(
            (90, 90, 1e6), {REFUSED_AT: 100}, (90, 100), id="where they are refused before"
        ),
        pytest.param((90, 90, 1e6), {SLOWED_AT: 0}, (90, 3_000), id="where none is slowed down"),
        pytest.param((9, 99_000, 1e6), {}, (99_000, 100_000), id="in all partitions together"),
        pytest.param((900, 900, 2e9), {}, (900, 100_000), id="large parts do not count"),
        pytest.param((900, 900, 2e9), {LARGE_PARTS: 0}, (900, 1_000), id="but where they do"),
    ],
)
def test_the_nearest_limit_counts(
    parts: tuple[int, int, float], limits: dict[str, int], expected: tuple[int, int]
) -> None:
    """As ClickHouse itself counts when it takes an insert."""
    found = nearest_limit(TableParts("t", *parts), SERVER | limits)
    assert (found.table, found.parts, found.limit) == ("t", *expected)
    assert found.share == expected[0] / expected[1]
