"""The tree against the published values of Certificate Transparency, and against the RFC's own recursive text."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plain_tree import plain_consistency, plain_path, plain_root
from trailhouse.proof.merkle import (
    EMPTY_ROOT,
    HOLE_HASH,
    MAX_SIZE,
    CompactRange,
    Interval,
    consistency_intervals,
    hole_root,
    inclusion_intervals,
    is_consistent,
    joined,
    leaf_hash,
    node_hash,
    perfect_parts,
    root_by_inclusion,
    root_of,
)

# Leaves and roots that the implementations of Certificate Transparency are tested by
# (transparency-dev/merkle, testonly/constants.go).
LEAVES = "|00|10|2021|3031|40414243|5051525354555657|606162636465666768696a6b6c6d6e6f"
ROOTS = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
LEVEL_1 = (
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
    "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
)


def hashes(count: int) -> list[bytes]:
    """Return the hashes of *count* leaves, all different."""
    return [leaf_hash(number.to_bytes(4, "big")) for number in range(count)]


def proof_of(intervals: list[Interval], leaves: list[bytes]) -> list[bytes]:
    """Return the hash of each interval."""
    return [root_of(leaves[start:end]) for start, end in intervals]


def test_published_roots() -> None:
    """Each published root is ours, whether the leaves come at once or one by one."""
    leaves = [leaf_hash(bytes.fromhex(leaf)) for leaf in LEAVES.split("|")]
    tree = CompactRange()
    for size, root in enumerate(ROOTS):
        assert root_of(leaves[:size]).hex() == root
        assert tree.root().hex() == root
        tree.extend(leaves[size : size + 1])
    assert ROOTS[0] == EMPTY_ROOT.hex()
    assert [node_hash(*leaves[at : at + 2]).hex() for at in range(0, 8, 2)] == list(LEVEL_1)


@given(st.integers(0, 9), st.lists(st.integers(0, 9), max_size=4), st.integers(0, 3))
def test_a_tree_grows_by_roots_of_subtrees_as_by_their_leaves(
    before: int, steps: list[int], level: int
) -> None:
    """Of any level, told of the same nodes above it; where none of that level can begin, it is refused."""
    leaves = hashes((before + sum(steps)) << level)
    told: list[set[tuple[int, int, bytes]]] = [set(), set()]
    by_leaf, by_root = (
        CompactRange(on_node=lambda *node, seen=seen: seen.add(node)) for seen in told
    )
    for tree in (by_leaf, by_root):
        tree.extend(leaves[: before << level])
    told[0].clear()
    told[1].clear()
    for step in steps:
        some = leaves[by_root.size : by_root.size + (step << level)]
        by_leaf.extend(some)
        width = 1 << level
        by_root.extend([root_of(some[at : at + width]) for at in range(0, len(some), width)], level)
    assert (by_root.size, by_root.roots) == (by_leaf.size, by_leaf.roots)
    assert told[1] == {node for node in told[0] if node[0] > level}
    by_root.extend(hashes(1))
    if level:
        with pytest.raises(ValueError, match="no subtree of level"):
            by_root.extend(hashes(1), level)


@given(st.lists(st.integers(1, 70), max_size=6))
def test_a_tree_grows_as_the_rfc_says(steps: list[int]) -> None:
    """However leaves are grouped, roots, and the nodes that are told, are those of the RFC's text."""
    leaves, told = hashes(sum(steps)), dict[tuple[int, int], bytes]()

    def on_node(level: int, index: int, root: bytes) -> None:
        assert (level, index) not in told
        told[level, index] = root

    tree, size = CompactRange(on_node=on_node), 0
    for step in steps:
        tree.extend(leaves[size : size + step])
        size += step
        assert (tree.size, tree.root()) == (size, plain_root(leaves[:size]))
        assert CompactRange(size, tree.roots).root() == tree.root()
    due = {
        (level, index): plain_root(leaves[index << level : (index + 1) << level])
        for level in range(1, size.bit_length())
        for index in range(size >> level)
    }
    assert told == due


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 40)), max_size=8))
def test_holes_are_leaves(steps: list[tuple[bool, int]]) -> None:
    """A tree with holes is that of leaves of one hash, wherever the holes are."""
    tree, leaves = CompactRange(), list[bytes]()
    for is_hole, count in steps:
        if is_hole:
            tree.extend_holes(count)
            leaves += [HOLE_HASH] * count
        else:
            more = hashes(len(leaves) + count)[len(leaves) :]
            tree.extend(more)
            leaves += more
        assert (tree.size, tree.root()) == (len(leaves), plain_root(leaves))
    assert hole_root(3) == plain_root([HOLE_HASH] * 8)
    assert leaf_hash(b"\x00") == HOLE_HASH


def test_a_million_million_holes() -> None:
    """A log that is adopted far up has its root at once, and it is that of the halves put together."""
    tree = CompactRange()
    tree.extend_holes(10**12)
    again = CompactRange()
    for part in (1, 10**12 // 3, 10**12 - 1 - 10**12 // 3):
        again.extend_holes(part)
    assert (
        tree.roots
        == again.roots
        == tuple(hole_root(n) for n in range(40, -1, -1) if 10**12 >> n & 1)
    )
    leaf = leaf_hash(b"after")
    tree.extend([leaf])
    proof = [
        joined([hole_root(level) for level, _ in perfect_parts(part)])
        for part in inclusion_intervals(10**12, 10**12 + 1)
    ]
    assert root_by_inclusion(leaf, 10**12, 10**12 + 1, proof) == tree.root()
    whole = CompactRange()
    whole.extend_holes(MAX_SIZE)
    assert (whole.size, len(whole.roots)) == (MAX_SIZE, 63)


def test_a_copy_grows_by_itself() -> None:
    """What a copy is given, the original does not have; a tree is refused roots that are not as its size."""
    tree = CompactRange()
    tree.extend(hashes(5))
    copy = tree.copy()
    copy.extend(hashes(6)[5:])
    assert (tree.size, tree.root()) == (5, plain_root(hashes(5)))
    assert (copy.size, copy.root()) == (6, plain_root(hashes(6)))
    for size, roots in (
        (5, tree.roots[:1]),
        (-1, tree.roots[:1]),
        (0, tree.roots),
        (2**63, hashes(1)),
    ):
        with pytest.raises(ValueError, match="roots, not"):
            CompactRange(size, roots)


@given(st.data())
def test_inclusion_as_the_rfc_says(data: st.DataObject) -> None:
    """A proof is the RFC's path, leads to the root, and to no root with any number or hash changed."""
    size = data.draw(st.integers(1, 300))
    index = data.draw(st.integers(0, size - 1))
    leaves = hashes(size)
    intervals = inclusion_intervals(index, size)
    proof, root = proof_of(intervals, leaves), plain_root(leaves)
    assert proof == plain_path(index, leaves)
    assert root_by_inclusion(leaves[index], index, size, proof) == root
    for interval in intervals:
        parts = [root_of(leaves[at << n : (at + 1) << n]) for n, at in perfect_parts(interval)]
        assert joined(parts) == root_of(leaves[interval.start : interval.end])
    wrong = leaf_hash(b"another")
    assert root_by_inclusion(wrong, index, size, proof) != root
    assert root_by_inclusion(leaves[index], index, size, [*proof, wrong]) is None
    assert root_by_inclusion(leaves[index], index, size, [wrong, *proof]) is None
    if proof:
        assert root_by_inclusion(leaves[index], index, size, proof[1:]) is None
        assert root_by_inclusion(leaves[index], index, size, proof[:-1]) is None
    for at, other in enumerate(proof):
        changed = [*proof[:at], wrong, *proof[at + 1 :]]
        assert other == wrong or root_by_inclusion(leaves[index], index, size, changed) != root
    for place in (index - 1, index + 1):
        assert root_by_inclusion(leaves[index], place, size, proof) != root


def test_inclusion_of_nothing() -> None:
    """A tree of 0 leaves proves none, one of 1 by no hash; an index that no leaf has proves nothing."""
    leaf = leaf_hash(b"only")
    assert root_by_inclusion(leaf, 0, 1, []) == leaf
    for index, size in ((0, 0), (0, -1), (1, 1), (2, 1), (-1, 1), (MAX_SIZE, 5)):
        assert root_by_inclusion(leaf, index, size, []) is None
        assert root_by_inclusion(leaf, index, size, [leaf]) is None
        with pytest.raises(ValueError, match="has no leaf"):
            inclusion_intervals(index, size)


@given(st.data())
def test_consistency_as_the_rfc_says(data: st.DataObject) -> None:
    """A proof is the RFC's subproof, holds for its two trees, and for none of another size, root or hash."""
    larger = data.draw(st.integers(1, 300))
    smaller = data.draw(st.integers(1, larger))
    leaves = hashes(larger)
    proof = proof_of(consistency_intervals(smaller, larger), leaves)
    old, new = plain_root(leaves[:smaller]), plain_root(leaves)
    assert proof == plain_consistency(smaller, leaves)
    assert is_consistent(smaller, larger, old, new, proof)
    wrong = leaf_hash(b"another")
    assert not is_consistent(smaller, larger, wrong, new, proof)
    assert not is_consistent(smaller, larger, old, wrong, proof)
    assert not is_consistent(smaller, larger, old, new, [*proof, wrong])
    assert not is_consistent(smaller, larger, old, new, [wrong, *proof])
    if proof:
        assert not is_consistent(smaller, larger, old, new, proof[:-1])
        assert not is_consistent(smaller, larger, old, new, proof[1:])
    for at in range(len(proof)):
        assert not is_consistent(smaller, larger, old, new, [*proof[:at], wrong, *proof[at + 1 :]])
    if smaller > 1:
        assert not is_consistent(smaller - 1, larger, old, new, proof)
    assert not is_consistent(smaller + 1, larger, old, new, proof)


def test_consistency_of_nothing() -> None:
    """The empty tree begins each, by no hash; nothing larger begins what is smaller."""
    root = plain_root(hashes(3))
    assert is_consistent(0, 3, EMPTY_ROOT, root, [])
    assert is_consistent(0, 0, EMPTY_ROOT, EMPTY_ROOT, [])
    for sizes in ((0, 3, root, root), (4, 3, root, root), (-1, 3, EMPTY_ROOT, root)):
        assert not is_consistent(*sizes, [])
    assert not is_consistent(0, 3, EMPTY_ROOT, root, [root])
    assert not is_consistent(3, 3, root, root, [root])
    assert not is_consistent(1, 2, root, root, [])
    for smaller, larger in ((2, 1), (-1, 1)):
        with pytest.raises(ValueError, match="does not begin"):
            consistency_intervals(smaller, larger)


@given(st.integers(1, MAX_SIZE), st.data())
def test_proofs_of_the_largest_logs_are_short(size: int, data: st.DataObject) -> None:
    """No proof has more hashes than offsets have bits, its parts never overlap, and each is read by few subtrees."""
    index = data.draw(st.integers(0, size - 1))
    inclusion = sorted([*inclusion_intervals(index, size), Interval(index, index + 1)])
    assert all(one.end == other.start for one, other in pairwise(inclusion))
    assert (inclusion[0].start, inclusion[-1].end) == (0, size)
    assert len(inclusion) <= 64
    consistency = consistency_intervals(index, size)
    assert len(consistency) <= 64
    assert all(len(perfect_parts(part)) <= 63 for part in (*inclusion, *consistency))
