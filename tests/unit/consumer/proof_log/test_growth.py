"""A log that grows by what was read: leaves where records are, holes elsewhere, each node that is no hole's."""

from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from trailhouse.consumer.proof_log.growth import LogState, Node, filled, grown
from trailhouse.consumer.proof_log.leaves import ReadLeaves
from trailhouse.proof.leaf import hash_of_leaf
from trailhouse.proof.merkle import HOLE_HASH, hole_root, root_of
from trailhouse.proof.origin import LogOrigin
from trailhouse.schemas.ranges import Ranges

LOG = LogOrigin("audit.example", "events", "id", 3)


def read(
    first: int, end: int, offsets: list[int], nulls: frozenset[int] = frozenset()
) -> ReadLeaves:
    """Return records at *offsets*, each of other bytes."""
    digests = [sha256(b"%d" % offset).digest() for offset in offsets]
    return ReadLeaves(first, end, offsets, [1_000 + each for each in offsets], digests, nulls)


def leaf(offset: int, kind: int = 1) -> bytes:
    """Return the hash of the leaf that `read` makes there."""
    return hash_of_leaf(kind, 1_000 + offset, sha256(b"%d" % offset).digest())


@given(
    st.sets(st.integers(0, 700), max_size=600),
    st.lists(st.integers(0, 800), max_size=5),
    st.sets(st.integers(0, 700)),
)
def test_a_tree_is_a_function_of_what_stands_at_each_offset(
    offsets: set[int], cuts: list[int], nulls: set[int]
) -> None:
    """However the records come in parts, the root is that over leaves and holes, and each hole is told once."""
    ends = sorted({*cuts, 801})
    parts, first = [], 0
    for end in ends:
        within = sorted(offset for offset in offsets if first <= offset < end)
        parts.append(read(first, end, within, frozenset(nulls)))
        first = end
    state, holes = LogState(LOG), Ranges()
    nodes: list[Node] = []
    for part in parts:
        growth = grown(state, [part])
        state, holes = growth.state, holes | growth.holes
        nodes += growth.nodes
    together = grown(LogState(LOG), parts)
    hashes = [
        leaf(offset, 2 if offset in nulls else 1) if offset in offsets else HOLE_HASH
        for offset in range(801)
    ]

    assert state == together.state
    assert state.checkpoint.root == root_of(hashes)
    assert holes == together.holes == Ranges([(0, 800)]) - Ranges.of(offsets)
    assert {(node.level, node.number): node.root for node in nodes} == {
        (8, number): root
        for number in range(801 >> 8)
        if (root := root_of(hashes[number << 8 : (number + 1) << 8])) != hole_root(8)
    }


def test_a_log_that_is_adopted_far_up_begins_with_holes() -> None:
    """The tree of a log whose first record stands at offset 10^12 is made at once, and no node of holes is told."""
    growth = grown(filled(LogState(LOG), 10**12), [read(10**12, 10**12 + 3, [10**12, 10**12 + 2])])

    assert growth.state.size == 10**12 + 3
    assert len(growth.state.roots) == growth.state.size.bit_count()
    assert growth.holes == Ranges([(10**12 + 1, 10**12 + 1)])
    assert not growth.nodes


def test_what_nobody_can_read_is_no_hole_without_a_reason() -> None:
    """A range of an unreadable batch has no leaves, and no incident beside its own."""
    part = read(5, 10, [5, 6, 9]).without({6: 8})
    growth = grown(filled(LogState(LOG), 5), [part])

    assert list(part.offsets) == [5, 9]
    assert growth.state.size == 10
    assert growth.holes == Ranges()


def test_parts_are_split_at_an_offset() -> None:
    """What lies below an offset and what lies from it on are the whole, wherever that offset is."""
    whole = read(5, 12, [5, 6, 9, 11])
    for offset in range(15):
        below, above = whole.split(offset)
        assert [*below.offsets, *above.offsets] == [5, 6, 9, 11]
        assert all(each < offset for each in below.offsets)
        assert below.end_offset == above.first_offset
        assert (below.first_offset, above.end_offset) == (5, 12)
