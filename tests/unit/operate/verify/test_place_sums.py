"""Two sides that hold the same entries are told from any others, wherever they differ."""

from hypothesis import given
from hypothesis import strategies as st

from trailhouse.operate.verify.leaves.place_sums import (
    PlaceSums,
    entry_hashes,
    new_secret,
    take_all,
)

FIRST = 10**12
Row = tuple[int, int, bytes, int]


def rows_of(offsets: list[int]) -> list[Row]:
    """Return an entry for each offset."""
    return [(FIRST + each, each, each.to_bytes(32, "big"), 1) for each in offsets]


def differing(leaves: list[Row], rows: list[Row], end: int = 100_000) -> list[tuple[int, int]]:
    """Return where *rows* are not *leaves*."""
    secret = new_secret()
    sums = PlaceSums(secret, FIRST, FIRST + end, 16)
    if leaves:
        offsets, times, digests, kinds = zip(*sorted(leaves), strict=True)
        sums.add(offsets, times, digests, kinds)
    for offset, at_ms, digest, kind in rows:
        hashes = entry_hashes(secret, [offset], [at_ms], [digest], [kind])
        assert not take_all([sums], [0], [offset], hashes)
    return [(part.first, part.last) for part in sums.ranges()]


@given(st.lists(st.integers(0, 99_999), unique=True), st.randoms())
def test_the_same_in_any_order_differ_nowhere(offsets: list[int], random: object) -> None:
    """What is added for a leaf is taken away by its row."""
    rows = rows_of(offsets)
    random.shuffle(rows)  # type: ignore[attr-defined]  # a random.Random
    assert differing(rows_of(offsets), rows) == []


@given(st.sets(st.integers(0, 99_999), min_size=1), st.data())
def test_whatever_is_changed_differs_where_it_stands(
    offsets: set[int], data: st.DataObject
) -> None:
    """Another time, digest, kind, a row more and a row less each show in the range of their offset."""
    rows = rows_of(sorted(offsets))
    place = data.draw(st.integers(0, len(rows) - 1))
    offset, at_ms, digest, kind = rows[place]
    changes: list[list[Row]] = [
        [],
        [(offset, at_ms + 1, digest, kind)],
        [(offset, at_ms, digest[:-1] + bytes([digest[-1] ^ 1]), kind)],
        [(offset, at_ms, digest, 2)],
        [rows[place], rows[place]],
    ]
    for changed in changes:
        found = differing(rows, [*rows[:place], *changed, *rows[place + 1 :]])
        assert len(found) == 1
        assert found[0][0] <= offset <= found[0][1]


def test_what_stands_outside_is_not_taken() -> None:
    """A row below the first leaf, or above the last, is nobody's."""
    sums = PlaceSums(new_secret(), FIRST, FIRST + 10, 4)
    offsets = [FIRST - 1, FIRST + 10, FIRST + 9, 0]
    none = PlaceSums(b"", 0, 0, 1)
    outside = take_all([none, sums], [1, 1, 1, 0], offsets, [1] * 4)
    assert outside == [(1, FIRST - 1), (1, FIRST + 10), (0, 0)]
    assert [tuple(part) for part in sums.ranges()] == [(FIRST, FIRST + 9)]
