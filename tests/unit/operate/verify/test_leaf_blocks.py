"""Leaves that come as roots of 32: what a log is said to be is the same as if each had come by itself."""

from collections.abc import Iterable, Iterator
from itertools import groupby, pairwise

from hypothesis import given
from hypothesis import strategies as st

from trailhouse.operate.verify.leaves.blocks import BLOCK, Blocks, are_near, windows
from trailhouse.operate.verify.leaves.log_walk import LogWalk
from trailhouse.operate.verify.leaves.place_sums import PlaceSums
from trailhouse.operate.verify.leaves.stream import Leaves, hashed_leaves
from trailhouse.operate.verify.logs import Bounds, LogId
from trailhouse.proof.merkle import CompactRange, leaf_hash, root_of

LOG = LogId("c", "t", "i", 0, "1")
stretches = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 100)), min_size=1, max_size=5)
"""How many holes, and how many leaves behind them."""


def hashed(offset: int) -> bytes:
    """Return the hash of the leaf at *offset*."""
    return leaf_hash(b"%d" % offset)


def walk(wanted: Iterable[int]) -> LogWalk:
    """Return a walk of which the roots at *wanted* are asked for."""
    made = LogWalk(lambda *_: None, LOG, CompactRange(), PlaceSums(bytes(16), 0, 0, 1))
    made.is_hashed = True
    made.wanted = iter([(size, []) for size in wanted])
    return made


def blocks(offsets: list[int], singles: set[int]) -> Iterator[Blocks]:
    """Yield what ClickHouse makes of leaves at *offsets*: those in blocks of *singles* one by one."""
    found: list[tuple[int, bytes, bool]] = []
    for number, same in groupby(offsets, key=lambda offset: offset // BLOCK):
        some = list(same)
        first = number * BLOCK
        if some == list(range(first, first + BLOCK)) and number not in singles:
            found.append((first, root_of([*map(hashed, some)]), True))
        else:
            found += [(offset, hashed(offset), False) for offset in some]
    for is_whole, alike in groupby(found, key=lambda each: each[2]):
        part = list(alike)
        yield Blocks([each[0] for each in part], [each[1] for each in part], is_whole)


@given(
    stretches=stretches,
    doubled=st.sets(st.integers(0, 300), max_size=2),
    wanted=st.sets(st.integers(0, 600), max_size=6),
    known=st.booleans(),
)
def test_a_walk_by_blocks_sees_what_one_by_leaves_sees(
    stretches: list[tuple[int, int]], doubled: set[int], wanted: set[int], known: bool
) -> None:
    """Roots at any size, holes, copies and how many leaves there are, whether or not sizes within were known before."""
    offsets: list[int] = []
    at = 0
    for holes, leaves in stretches:
        offsets += range(at + holes, at + holes + leaves)
        at += holes + leaves
    offsets = sorted([*offsets, *(each for each in doubled if each in offsets)])

    def within(first: int, end: int) -> Iterator[Leaves]:
        some = [each for each in offsets if first <= each < end]
        yield hashed_leaves(some, list(map(hashed, some)))

    one, other = walk(sorted(wanted)), walk(sorted(wanted))
    one.take(hashed_leaves(offsets, list(map(hashed, offsets))))
    for each in blocks(offsets, {size // BLOCK for size in wanted} if known else set()):
        other.take_blocks(each, within)
    one.finish()
    other.finish()
    assert other.roots == one.roots
    assert (other.size, other.leaves, other.holes) == (one.size, one.leaves, one.holes)


@given(
    firsts=st.lists(st.integers(0, 3_000_000), min_size=1, max_size=4),
    span=st.integers(0, 3_000_000),
)
def test_each_offset_is_in_one_window(firsts: list[int], span: int) -> None:
    """Windows of a log follow each other, begin where blocks do, and hold no more than ClickHouse should."""
    bounds = {
        LOG._replace(partition=place): Bounds(first, first + span // (place + 1))
        for place, first in enumerate(firsts)
    }
    parts = list(windows(bounds))
    for log, (first, end) in bounds.items():
        mine = [part[log] for part in parts if log in part]
        assert mine[0].first == first
        assert mine[-1].end == end
        assert all(a.end == b.first and not b.first % BLOCK for a, b in pairwise(mine))
    assert all(sum(end - first for first, end in part.values()) <= 1 << 20 for part in parts)


def test_offsets_that_are_far_apart_are_not_read_by_windows() -> None:
    """10^12 holes would be a million statements."""
    assert are_near(Bounds(10**12, 10**12 + 10_000_000))
    assert not are_near(Bounds(0, 10**12))
