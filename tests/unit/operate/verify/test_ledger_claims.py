"""The ledger's claims, against leaves."""

from array import array
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trailhouse.operate.verify.duties.ledger.ledger_claims import (
    LONGEST_SPAN_RECORDS,
    Claim,
    Leaves,
    Placeholding,
    is_true,
    joined,
    joined_leaves,
    unclaimed,
)
from trailhouse.schemas.ranges import Ranges

DIGESTS = [sha256(bytes([number])).digest() for number in range(10)]
LEAVES = Leaves([0, 1, 2, 5, 6, 9], b"".join(DIGESTS[:6]))
NOTHING = sha256(b"").digest()


def hash_of(*digests: bytes) -> bytes:
    """Return what the ledger keeps of these records."""
    return sha256(b"".join(digests)).digest()


@pytest.mark.parametrize(
    ("claim", "truth"),
    [
        (Claim(0, 2, 3, hash_of(*DIGESTS[:3])), True),
        (Claim(1, 6, 4, hash_of(*DIGESTS[1:5])), True),
        (Claim(3, 4, 0, NOTHING), True),
        (Claim(0, 2, 2, hash_of(*DIGESTS[:3])), False),
        (Claim(0, 2, 3, hash_of(*DIGESTS[2::-1])), False),
        (Claim(0, 2, 3, hash_of(*DIGESTS[:2])), False),
        (Claim(3, 4, 1, hash_of(DIGESTS[9])), False),
        (Claim(5, 5, 0, NOTHING), False),
        (Claim(20, 30, 5, hash_of(DIGESTS[9])), False),
    ],
)
def test_a_claim_is_held_against_the_leaves(claim: Claim, truth: bool) -> None:
    """Their number and their digests, in the order of their offsets."""
    assert is_true(claim, LEAVES, {}) is truth


def test_records_that_nobody_can_read_count_by_what_stands_for_them() -> None:
    """A batch that cannot be read has no leaves, and one hash in the ledger, which its quarantined row has too."""
    claim = Claim(1, 6, 6, hash_of(DIGESTS[1], DIGESTS[2], DIGESTS[9], DIGESTS[3], DIGESTS[4]))
    assert is_true(claim, LEAVES, {3: Placeholding(4, DIGESTS[9])})
    assert not is_true(claim, LEAVES, {3: Placeholding(4, DIGESTS[8])})
    assert not is_true(claim, LEAVES, {})


def test_a_range_too_long_for_a_row_is_one_claim() -> None:
    """Rows that follow each other and say the same are the parts of one span, whose first row counts."""
    longest = LONGEST_SPAN_RECORDS
    parts = [
        Claim(0, longest - 1, 7, NOTHING),
        Claim(longest, 2 * longest - 1, 0, NOTHING),
        Claim(2 * longest, 2 * longest + 5, 0, NOTHING),
        Claim(2 * longest + 6, 2 * longest + 9, 0, NOTHING),
    ]
    assert list(joined(parts)) == [Claim(0, 2 * longest + 5, 7, NOTHING), parts[3]]


def test_a_leaf_that_no_batch_holds_is_told_unless_it_is_the_newest() -> None:
    """Leaves are written before the ledger, so that those after its end may be on their way."""
    assert unclaimed(LEAVES, Ranges([(0, 1), (6, 6)]), 6) == Ranges([(2, 2), (5, 5)])
    assert unclaimed(LEAVES, Ranges([(0, 6)]), 6) == Ranges()
    assert unclaimed(LEAVES, Ranges(), -1) == Ranges()


@pytest.mark.parametrize("span", [(5, 4), (0, LONGEST_SPAN_RECORDS), (0, 2**63)])
def test_a_span_that_no_worker_writes_is_told_without_reading_it(span: tuple[int, int]) -> None:
    """One that ends before it begins, and one longer than any."""
    assert Claim(*span, 1, NOTHING).is_impossible
    assert not Claim(0, LONGEST_SPAN_RECORDS - 1, 1, NOTHING).is_impossible


@given(st.lists(st.integers(0, 30), max_size=40), st.integers(1, 9))
def test_leaves_of_blocks_are_one_an_offset(offsets: list[int], size: int) -> None:
    """However blocks are cut, with gaps and doubles, the last leaf of each offset counts."""
    rows = [
        (offset, sha256(bytes([place])).digest()) for place, offset in enumerate(sorted(offsets))
    ]
    parts = [rows[begin : begin + size] for begin in range(0, len(rows), size)]
    blocks = [
        Leaves(array("Q", [at for at, _ in part]), b"".join(digest for _, digest in part))
        for part in parts
    ]
    found = joined_leaves(blocks)
    assert dict(zip(found.offsets, found.each_digest, strict=True)) == dict(rows)
    assert [*found.offsets] == sorted(set(offsets))
    bare = unclaimed(found, Ranges([(3, 5)]), 20)
    assert [number for part in bare for number in range(part.first, part.last + 1)] == [
        offset for offset in sorted(set(offsets)) if offset <= 20 and not 3 <= offset <= 5
    ]
