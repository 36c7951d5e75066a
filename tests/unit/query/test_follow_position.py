"""How far a follower is: which gaps are waited for, and what a token holds."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trailhouse.query import QueryError
from trailhouse.query.follow.position import (
    MAX_HOLES,
    Decided,
    Home,
    LedgerSpan,
    Position,
    Token,
    decide,
)
from trailhouse.schemas.ranges import Ranges

A, B = Home("topic", 0), Home("topic", 1)
offset_sets = st.sets(st.integers(0, 60), max_size=40)
ranges = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 8)), max_size=6)


def test_rows_without_a_gap_are_decided_at_once() -> None:
    """No ledger is needed where every offset has its row."""
    assert decide(5, [5, 6, 7]) == Decided(8, Ranges())
    assert decide(5, []) == Decided(5, Ranges())


def test_a_gap_is_waited_for_until_somebody_has_its_records() -> None:
    """Neither the ledger nor quarantine: it may still come. Either of them: it was no event, and may become one."""
    assert decide(0, [0, 1, 3]) == Decided(2, Ranges())
    assert decide(0, [0, 1, 3], [LedgerSpan(0, 3, is_all_events=False)]) == Decided(
        4, Ranges([(2, 2)])
    )
    assert decide(0, [0, 1, 3], quarantined=Ranges([(2, 2)])) == Decided(4, Ranges([(2, 2)]))
    assert decide(0, [0, 1, 3], overtaken=2) == Decided(4, Ranges([(2, 2)]))


def test_what_was_merged_away_is_not_waited_for_again() -> None:
    """Where every record is an event, one without a row is a copy of one that stands elsewhere."""
    assert decide(0, [0, 5], [LedgerSpan(0, 5, is_all_events=True)]) == Decided(6, Ranges())


@given(offset_sets, ranges, st.integers(0, 60))
def test_nothing_that_may_still_come_is_passed(
    there: set[int], spans: list[tuple[int, int]], first: int
) -> None:
    """Every offset below the next one has a row or is covered; the one there has neither, or nothing is after it."""
    offsets = sorted(each for each in there if each >= first)
    ledger = [LedgerSpan(at, at + size, is_all_events=False) for at, size in spans]
    covered = {offset for span in ledger for offset in range(span.first, span.last + 1)}
    found = decide(first, offsets, ledger)
    for offset in range(first, found.next):
        assert offset in there or offset in covered
        assert (offset in found.opened) == (offset not in there)
    assert not offsets or found.next > offsets[-1] or found.next not in there | covered


@given(
    st.dictionaries(
        st.tuples(st.text(max_size=5), st.integers(0, 99)), st.integers(0, 2**62), max_size=8
    ),
    ranges,
)
def test_a_token_holds_the_position(
    next_offsets: dict[tuple[str, int], int], holes: list[tuple[int, int]]
) -> None:
    """What travels comes back as it was: offsets and holes of every partition of every topic."""
    homes = {Home(*key): at for key, at in next_offsets.items()}
    parts = Ranges((at, at + size) for at, size in holes)
    position = Position(homes, dict.fromkeys(homes, parts))
    sent = msgspec.msgpack.encode(msgspec.to_builtins(position.token()))
    again = Position.of(msgspec.msgpack.decode(sent, type=Token))
    assert (again.next, again.holes) == (position.next, position.holes)


@pytest.mark.parametrize(
    "token",
    [
        Token(topics=(), homes=((0, 0, 1),), holes=()),
        Token(topics=("t",), homes=((0, 0, -1),), holes=()),
        Token(topics=("t",), homes=((0, 0, 1),), holes=((7, 0, 1),)),
        Token(topics=("t",), homes=((0, 0, 2**63),), holes=()),
    ],
)
def test_a_token_of_nobody_is_refused(token: Token) -> None:
    """Places that do not exist, and offsets that Kafka cannot have, are an error and no position."""
    with pytest.raises(QueryError, match="token"):
        Position.of(token)


def test_holes_are_bounded() -> None:
    """A flood of bad records makes no token that fits nowhere; the newest holes are kept."""
    position = Position({A: 0, B: 0})
    position.pass_to(A, 10_000, Ranges.of(range(0, 9_999, 2)))
    position.pass_to(B, 10, Ranges([(3, 3)]))
    kept = [part.first for part in position.holes[A]]
    assert len(kept) + len(list(position.holes[B])) == MAX_HOLES
    assert kept[-1] == 9_998
    assert position.has_passed(A, 0)
    assert not position.has_passed(A, 9_998)
    position.fill(B, 3)
    assert B not in position.holes
