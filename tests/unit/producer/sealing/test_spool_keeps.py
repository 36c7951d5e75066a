"""What a spool keeps for a seal: sent or not, until it is sealed; but on a full disk space comes first."""

from pathlib import Path

import pytest

from trailhouse.producer import ProducerConfig
from trailhouse.producer.spool.folder import segments
from trailhouse.producer.spool.journal import Inbox
from trailhouse.producer.spool.metadata import Destination
from trailhouse.producer.spool.seal_note import SealNote, read_seal_note
from trailhouse.producer.spool.writer import Spool

PRODUCER_ID = "0190aaaa-0000-7000-8000-000000000001"
NOTE = SealNote(service="bot", producer_id=PRODUCER_ID, next_seq=0, place=0)


def spool_of(folder: Path, note: SealNote | None) -> tuple[Spool, list[int]]:
    """Return a spool of three segments, and where each of its records ends."""
    config = ProducerConfig(
        max_event_bytes=1_000, spool_segment_bytes=1_000, spool_bytes=10_000, queue_bytes=1_000
    )
    destination = Destination(bootstrap_servers="nowhere", topic="t")
    spool = Spool(folder, destination, config, Inbox(), seal_note=note)
    places = []
    for number in range(6):
        newest = spool.newest()
        queued = spool.append(newest, number + 1, "", b"key", b"x" * 400)
        assert queued is not None
        places.append(queued.place)
    return spool, places


def numbers(spool: Spool) -> list[int]:
    return [number for number, _ in segments(spool.folder.path)]


def test_what_is_sent_stays_until_it_is_sealed(tmp_path: Path) -> None:
    """A segment is freed when all in it is both settled and sealed, whichever comes last."""
    spool, places = spool_of(tmp_path / "spool", NOTE)
    spool.settle_to(places[-1])
    assert numbers(spool) == [1, 2, 3]
    note = SealNote(service="bot", producer_id=PRODUCER_ID, next_seq=3, place=places[2])
    spool.note_sealed(note)
    assert numbers(spool) == [2, 3]
    assert read_seal_note(spool.folder.path) == note
    spool.close()
    assert spool.folder.path.exists()


def test_without_a_seal_nothing_is_kept(tmp_path: Path) -> None:
    """Who has no key frees what is settled, as ever."""
    spool, places = spool_of(tmp_path / "spool", None)
    spool.settle_to(places[-1])
    assert numbers(spool) == [3]
    spool.close()
    assert not spool.folder.path.exists()


def test_on_a_full_disk_space_comes_before_seals(tmp_path: Path) -> None:
    """What is settled and not sealed is given back when a caller has found the disk full."""
    spool, places = spool_of(tmp_path / "spool", NOTE)
    spool.settle_to(places[-1])
    spool.wants_space = True
    spool.make_space()
    assert numbers(spool) == [4]
    spool.discard()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"\\xff" * 9,
        b'{"service":"bot","producer_id":"no id","next_seq":0,"place":0}',
        b'{"service":"bot","producer_id":"' + PRODUCER_ID.encode() + b'","next_seq":-1,"place":0}',
        b'{"service":"bot","producer_id":"' + PRODUCER_ID.encode() + b'","next_seq":0,"place":"x"}',
    ],
)
def test_a_note_that_cannot_be_read_seals_nothing(tmp_path: Path, content: bytes) -> None:
    """A damaged note is no note: the spool is sent as one without."""
    spool, _ = spool_of(tmp_path / "spool", NOTE)
    (spool.folder.path / "sealed").write_bytes(content)
    assert read_seal_note(spool.folder.path) is None
    spool.discard()
