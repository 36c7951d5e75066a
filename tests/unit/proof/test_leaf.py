"""The bytes of a leaf and its hash, by vectors that openssl gives too."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trailhouse.proof.leaf import LeafKind, hash_of_leaf, hashes_of_leaves, leaf_bytes
from trailhouse.proof.merkle import HOLE_HASH, CompactRange, leaf_hash

AT_MS = 1_764_374_400_123
RECORD_LEAF = "010000019acce8cc7b44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
NULL_LEAF = "020000000000000000e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
RECORD_HASH = "acb94ed01220035e45cda8d92d9ace740d9c9272aeb15a6d557843d83687e609"
HOLE = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
NULL_HASH = "57bc7cc91e5e8f86a12b4520869892352e36856f7258b4c92612bf65748466c4"
ROOT = "bc15c42a8ce2efe0819f67bf1e731d2f05b5ec273aa98733c51c54d27391dde6"


def test_bytes_of_a_leaf() -> None:
    """Kind, eight bytes of time, thirty-two of digest; a null value has the digest of no bytes, a hole is one byte."""
    assert leaf_bytes(LeafKind.RECORD, AT_MS, sha256(b"{}").digest()).hex() == RECORD_LEAF
    assert leaf_bytes(LeafKind.NULL, 0, sha256(b"").digest()).hex() == NULL_LEAF
    assert hash_of_leaf(LeafKind.RECORD, AT_MS, sha256(b"{}").digest()).hex() == RECORD_HASH
    assert leaf_hash(b"\x00") == HOLE_HASH == bytes.fromhex(HOLE)
    assert leaf_hash(bytes.fromhex(NULL_LEAF)).hex() == NULL_HASH


def test_root_over_a_record_a_hole_and_a_null_value() -> None:
    """The three in one log have this root."""
    tree = CompactRange()
    tree.extend([bytes.fromhex(RECORD_HASH)])
    tree.extend_holes(1)
    tree.extend([bytes.fromhex(NULL_HASH)])
    assert tree.root().hex() == ROOT


@given(
    st.lists(
        st.tuples(
            st.sampled_from([1, 2]), st.integers(0, 2**64 - 1), st.binary(min_size=32, max_size=32)
        ),
        max_size=5,
    )
)
def test_many_leaves_are_hashed_as_one(leaves: list[tuple[int, int, bytes]]) -> None:
    """Hashes of many are those of each, and each is of the bytes of its leaf; two that differ have other bytes."""
    kinds, times, digests = zip(*leaves, strict=True) if leaves else ((), (), ())
    each = [hash_of_leaf(*leaf) for leaf in leaves]
    assert hashes_of_leaves(kinds, times, digests) == each
    assert each == [leaf_hash(leaf_bytes(*leaf)) for leaf in leaves]
    assert len({leaf_bytes(*leaf) for leaf in leaves}) == len(set(leaves))


@pytest.mark.parametrize(("kinds", "times", "digests"), [(1, 2, 2), (2, 1, 2), (2, 2, 1)])
def test_no_leaf_is_left_out(kinds: int, times: int, digests: int) -> None:
    """Columns of different lengths are a mistake of the program, and never fewer leaves."""
    with pytest.raises(ValueError, match="leaves"):
        hashes_of_leaves([1] * kinds, [7] * times, [bytes(32)] * digests)
