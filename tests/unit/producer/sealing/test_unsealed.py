"""The digests of one logger's records: whose a record is, gaps, what is lost, and how much one seal takes."""

from collections.abc import Sequence
from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from trailhouse.producer.sealing.unsealed import Unsealed
from trailhouse.proof.seal import MOST_LOST_RANGES
from trailhouse.schemas import AuditEvent
from trailhouse.schemas.record import Source

P, Q = "0190aaaa-0000-7000-8000-000000000001", "0190aaaa-0000-7000-8000-000000000002"


def record(seq: int, producer_id: str = P, **data: object) -> bytes:
    source = Source(host="h", pid=1, producer_id=producer_id, seq=seq, service="bot")
    return AuditEvent(type="tick", session_id="s", data=data, source=source, trace_id="t").record


def add(unsealed: Unsealed, records: Sequence[bytes]) -> None:
    if records:
        unsealed.add(records, range(len(records)), None)


def hashes(unsealed: Unsealed) -> list[tuple[int, int, bytes]]:
    unsealed.cut()
    return [(run.first_seq, run.last_seq, run.records_hash) for run in unsealed.runs]


def hash_of(records: Sequence[bytes]) -> bytes:
    return sha256(b"".join(sha256(each).digest() for each in records)).digest()


@given(st.lists(st.integers(0, 30), max_size=8), st.integers(1, 40))
def test_however_records_come_the_runs_are_the_same(sizes: list[int], most: int) -> None:
    """Runs follow the numbers alone, not the turns in which records came, and none is longer than it may be."""
    records = [record(seq) for seq in range(sum(sizes))]
    unsealed, begin = Unsealed(P, 0, most), 0
    for size in sizes:
        add(unsealed, records[begin : begin + size])
        begin += size
    assert hashes(unsealed) == [
        (first, min(first + most, len(records)) - 1, hash_of(records[first : first + most]))
        for first in range(0, len(records), most)
    ]


def test_records_of_others_and_copies_use_no_number() -> None:
    """What a logger sends as it is, of others or once more of its own, is not sealed, wherever it stands."""
    ours = [record(seq, producer_id=P, note=f'"producer_id":"{P}","seq":9') for seq in range(4)]
    unsealed = Unsealed(P, 0, 100)
    add(unsealed, [record(7, Q), ours[0], ours[1], ours[0]])
    add(unsealed, [ours[1], record(2, Q), ours[2], ours[3]])
    add(unsealed, [record(4, Q)])
    assert hashes(unsealed) == [(0, 3, hash_of(ours))]


def test_a_gap_ends_a_run_and_is_told() -> None:
    """Numbers whose records are not in the spool any more are lost, and no run spans them."""
    unsealed = Unsealed(P, 0, 100)
    add(unsealed, [record(0), record(1), record(5), record(6)])
    assert [each[:2] for each in hashes(unsealed)] == [(0, 1), (5, 6)]
    assert unsealed.lost_before(5) == ((2, 4),)
    assert unsealed.lost_before(4) == ()
    unsealed.forget_lost(((2, 4),))
    assert unsealed.lost_before(5) == ()


def test_what_is_missing_before_the_first_record_that_is_left_is_not_called_lost() -> None:
    """Who adopts a spool cannot know what was sent and freed before."""
    unsealed = Unsealed(P, 0, 100)
    assert not unsealed.begin_with([record(3, Q)])
    assert unsealed.begin_with([record(3, Q), record(8)])
    add(unsealed, [record(3, Q), record(8)])
    assert [each[:2] for each in hashes(unsealed)] == [(8, 8)]
    assert unsealed.lost_before(100) == ()


def test_refused_records_are_told_as_many_as_one_seal_may_tell() -> None:
    """What the broker refuses for good is named, once; the rest by the next seal."""
    unsealed = Unsealed(P, 0, 1_000)
    records = [record(seq) for seq in range(200)]
    add(unsealed, records)
    assert not unsealed.note_refused(record(3, Q))
    for each in records[::2]:
        assert unsealed.note_refused(each)
    first = unsealed.lost_before(200)
    assert len(first) == MOST_LOST_RANGES
    unsealed.forget_lost(first)
    second = unsealed.lost_before(200)
    assert second[0] == (2 * MOST_LOST_RANGES, 2 * MOST_LOST_RANGES)
