"""The order of a session's events when it stood in several partitions."""

from trailhouse.query.session_log.append_order import Stored, in_append_order
from trailhouse.store.tables import LATEST_MS


def stored(name: str, partition: int, offset: int, appended_ms: int) -> Stored:
    """Return a record that is known by *name*."""
    return Stored(name.encode(), b"", "id", partition, offset, appended_ms)


def names(*rows: Stored) -> list[str]:
    """Return the names of *rows* in append order."""
    return [row.record.decode() for row in in_append_order(rows)]


def test_within_a_partition_the_offset_decides() -> None:
    """A clock that stepped back changes nothing."""
    assert names(stored("b", 0, 2, 10), stored("a", 0, 1, 99), stored("c", 0, 3, 50)) == [
        "a",
        "b",
        "c",
    ]


def test_between_partitions_the_clock_decides() -> None:
    """A topic that was widened goes on where the broker's clock says."""
    assert names(stored("c", 1, 0, 30), stored("a", 0, 7, 10), stored("b", 0, 8, 20)) == [
        "a",
        "b",
        "c",
    ]


def test_an_event_counts_as_appended_no_earlier_than_those_before_it() -> None:
    """After a step back of the clock, an event of another partition does not come in between."""
    rows = (
        stored("a", 0, 1, 100),
        stored("b", 0, 2, 40),
        stored("c", 1, 0, 70),
        stored("d", 1, 1, 100),
    )
    assert names(*rows) == ["c", "a", "b", "d"]


def test_a_time_that_is_the_senders_decides_nothing() -> None:
    """It stands behind the event before it in its partition; with none there, behind everything."""
    rows = (
        stored("d", 1, 0, LATEST_MS),
        stored("a", 0, 1, 100),
        stored("b", 0, 2, LATEST_MS),
        stored("c", 0, 3, 300),
        stored("between", 2, 0, 200),
    )
    assert names(*rows) == ["a", "b", "between", "c", "d"]
