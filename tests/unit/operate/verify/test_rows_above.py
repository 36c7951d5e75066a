"""Rows above the last leaf: which may be a killed worker's, by what workers have left of the partition since."""

import pytest

from trailhouse.operate.verify.rows.rows_above import (
    Known,
    Noted,
    RowsAbove,
    Signs,
    may_be_first,
    may_be_left,
    quiet_from_ms,
)

MINUTE = 60_000
AT = 1_000 * MINUTE
ROWS = RowsAbove(first_ms=AT, first_offset=40, empty_offsets=0)
NOBODY = Noted(is_topic_noted=False, at_ms=0, end_offset=0)
JUST_NOW = Signs(
    last_ms=AT - MINUTE, topic_leaf_ms=AT, topic_entered_ms=AT, entered_ms=AT - MINUTE, now_ms=AT
)
MOVED_ON = JUST_NOW._replace(
    topic_leaf_ms=AT + 10 * MINUTE, topic_entered_ms=AT + 10 * MINUTE, now_ms=AT + 10 * MINUTE
)
CAME_MS = AT + 2 * MINUTE
"""When the next worker entered its first batch of the topic."""


def test_rows_of_just_now_may_be_a_killed_workers() -> None:
    """They follow the last leaf, whatever was noted of their partition before them."""
    assert may_be_left(ROWS, JUST_NOW, NOBODY, 0)
    assert may_be_left(ROWS, JUST_NOW, Noted(True, AT - MINUTE, 40), 0)
    assert not may_be_left(ROWS._replace(empty_offsets=9), JUST_NOW, NOBODY, 0)


def test_a_brokers_clock_may_be_behind_the_one_before() -> None:
    """After another leader was elected, or a clock set: by as much as times within a log may go back."""
    assert may_be_left(ROWS, JUST_NOW._replace(last_ms=AT + 2_000), NOBODY, 0)
    assert not may_be_left(ROWS, JUST_NOW._replace(last_ms=AT + MINUTE + 1), NOBODY, 0)
    assert not may_be_left(ROWS._replace(first_ms=AT + 6 * MINUTE), JUST_NOW, NOBODY, 0)


def test_rows_that_others_have_left_behind_were_added() -> None:
    """The topic has gone on for minutes; who has just come to it has a minute, and so has one that catches up."""
    assert not may_be_left(ROWS, MOVED_ON, NOBODY, CAME_MS)
    assert may_be_left(ROWS, MOVED_ON, NOBODY, AT + 10 * MINUTE)
    assert may_be_left(ROWS, MOVED_ON._replace(entered_ms=AT + 10 * MINUTE), NOBODY, CAME_MS)
    assert quiet_from_ms(ROWS, MOVED_ON) == AT + MINUTE


@pytest.mark.parametrize("noted_ms", [0, AT - MINUTE, AT + MINUTE])
def test_rows_of_a_partition_that_no_worker_serves_may_be_left(noted_ms: int) -> None:
    """Others of the topic are noted as stored since, and this one is not: for a day nobody may have it."""
    unserved = Noted(True, noted_ms, 40)
    assert may_be_left(ROWS, MOVED_ON, unserved, CAME_MS)
    a_day_later = MOVED_ON._replace(now_ms=AT + 24 * 60 * MINUTE + 1)
    assert not may_be_left(ROWS, a_day_later, unserved, CAME_MS)
    assert not may_be_left(ROWS, MOVED_ON, unserved._replace(at_ms=AT + MINUTE + 1), CAME_MS)


def test_rows_above_where_kafka_ended_long_after_them_were_added() -> None:
    """However quiet the topic is since; by more than the clocks of a broker and a worker differ."""
    assert may_be_left(ROWS, JUST_NOW, Noted(True, AT + 15 * MINUTE, 40), 0)
    assert not may_be_left(ROWS, JUST_NOW, Noted(True, AT + 15 * MINUTE + 1, 40), 0)
    assert may_be_left(ROWS, JUST_NOW, Noted(True, AT + 15 * MINUTE + 1, 41), 0)


FIRST = ROWS._replace(first_offset=0)
NOTHING_BEFORE = JUST_NOW._replace(last_ms=0, entered_ms=0)
OF_KAFKA = Known(is_partition=True, is_anything=True)
MADE_UP = Known(is_partition=False, is_anything=True)


def test_the_first_rows_of_a_partition_may_be_a_killed_workers() -> None:
    """Where something shows that Kafka has it: made up is what nobody knows of, unless nothing is proven yet."""
    assert may_be_first(FIRST, NOTHING_BEFORE, NOBODY, OF_KAFKA, 0)
    assert may_be_first(FIRST, NOTHING_BEFORE, Noted(True, AT - MINUTE, 0), OF_KAFKA, 0)
    assert not may_be_first(FIRST, NOTHING_BEFORE, NOBODY, MADE_UP, 0)
    assert may_be_first(FIRST, NOTHING_BEFORE, NOBODY, Known(False, False), 0)


def test_the_first_rows_of_a_partition_follow_on_where_it_was_noted_to_end() -> None:
    """Kafka gives the next offset, or one behind the end of a transaction; what is below has leaves."""
    noted = Noted(True, AT - MINUTE, 40)
    for first_offset, may_be in ((39, False), (40, True), (48, True), (49, False)):
        rows = FIRST._replace(first_offset=first_offset)
        assert may_be_first(rows, NOTHING_BEFORE, noted, OF_KAFKA, 0) is may_be, first_offset


def test_rows_without_a_leaf_of_which_a_batch_was_entered_are_no_first_ones() -> None:
    """A worker enters a batch after its leaves; and what others have left behind was added here as elsewhere."""
    entered = NOTHING_BEFORE._replace(entered_ms=AT)
    assert not may_be_first(FIRST, entered, NOBODY, OF_KAFKA, 0)
    moved_on = MOVED_ON._replace(last_ms=0, entered_ms=0)
    assert not may_be_first(FIRST, moved_on, NOBODY, OF_KAFKA, CAME_MS)
