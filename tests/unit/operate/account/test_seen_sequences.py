"""Numbers are found in what is not an event too, and a million of them take no room."""

import pytest

from balancing import numbered
from trailhouse.operate.account import seen_sequences
from trailhouse.operate.account.seen_sequences import SeenSequences, Sequenced, seq_of
from trailhouse.schemas.ranges import Ranges


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (numbered("p", [7], "s")[0], Sequenced("p", 7, "s")),
        (numbered("p", [7], "s")[0][:-5], Sequenced("p", 7, "s")),
        (b'{"source":{"producer_id":"p"}}', None),
        (b'{"source":{"producer_id":"p","seq":-1}}', None),
        (b"\xff\x00", None),
        (None, None),
    ],
)
def test_a_number_is_read_from_what_is_no_event_too(
    record: bytes | None, expected: Sequenced | None
) -> None:
    """A damaged record still says who numbered it, if the bytes that say so are whole."""
    assert seq_of(record) == expected


def test_sightings_are_a_set_whatever_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compacted on the way or not, the numbers of each producer and of the session are exact."""
    monkeypatch.setattr(seen_sequences, "COMPACT_AFTER_SEQS", 4)
    seen = SeenSequences("mine")
    for number in (5, 1, 3, 9, 2, 5, 4, 8, 0):
        seen.add(numbered("p", [number], "mine" if number % 2 else "other")[0])
    seen.add(numbered("q", [7], "other")[0])
    seen.add(b"no event")
    assert seen.of("p") == Ranges([(0, 5), (8, 9)])
    assert seen.own("p") == Ranges.of([1, 3, 5, 9])
    assert (list(seen.producers()), seen.own("q")) == (["p"], Ranges())
    assert seen.of("nobody") == Ranges()
