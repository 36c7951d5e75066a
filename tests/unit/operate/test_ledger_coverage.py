"""What the ledger covers of a partition, and what was lost before it did."""

from hypothesis import given
from hypothesis import strategies as st

from trailhouse.broker.offsets import PartitionLag
from trailhouse.operate.ledger_coverage import LedgerCoverage
from trailhouse.schemas.ranges import Ranges

OFFSETS = st.integers(0, 30)
SPANS = st.lists(st.tuples(OFFSETS, OFFSETS), max_size=6)


def coverage(stored: list[tuple[int, int]], first: int, committed: int | None) -> LedgerCoverage:
    """Return the coverage of a log that begins at *first*."""
    mark = PartitionLag(
        partition=0, first_offset=first, readable_end=40, end_offset=40, committed_offset=committed
    )
    return LedgerCoverage(mark, Ranges(stored))


def numbers(ranges: Ranges) -> set[int]:
    """Return every offset of *ranges*."""
    return {number for part in ranges for number in range(part.first, part.last + 1)}


@given(SPANS, OFFSETS, st.none() | OFFSETS, SPANS)
def test_lost_is_what_was_noticed_or_never_read_and_is_not_stored(
    stored: list[tuple[int, int]], first: int, committed: int | None, noticed: list[tuple[int, int]]
) -> None:
    """Offset by offset: below the log's begin, above all that was stored or committed, or noticed; and not stored."""
    found = coverage(stored, first, committed)
    kept = numbers(Ranges(stored))
    reached = max([committed or 0, *(number + 1 for number in kept)])
    expected = (numbers(Ranges(noticed)) | set(range(reached, first))) - kept
    assert numbers(found.lost(noticed)) == expected


@given(SPANS, OFFSETS)
def test_skipped_is_what_lies_between_batches_below_the_log(
    stored: list[tuple[int, int]], first: int
) -> None:
    """What Kafka no longer has, above the first batch, and in none."""
    kept = numbers(Ranges(stored))
    below = {number for number in range(first) if kept and number > min(kept)}
    assert numbers(coverage(stored, first, None).skipped) == below - kept


def test_nothing_is_lost_where_nothing_was_ever_read_and_the_log_is_whole() -> None:
    """A new topic has no gap."""
    found = coverage([], 0, None)
    assert (found.next_offset, found.lost([]), found.skipped) == (0, Ranges(), Ranges())
