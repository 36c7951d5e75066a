"""Seals of what `emit` makes of lines: from the journal, once each, also by the next run."""

import datetime as dt
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from made_keys import made_key
from trailhouse.cli.emit.journal import EmitJournal, Planned, digest_of
from trailhouse.cli.emit.line_seals import LineSeals
from trailhouse.cli.emit.lines import this_process
from trailhouse.producer.config import ProducerConfig
from trailhouse.proof.keys import is_signed_by
from trailhouse.proof.seal import SHORT_DIGEST_BYTES, Seal, parse_seal, seal_session
from trailhouse.schemas.errors import SpoolFullError
from trailhouse.schemas.record import Source
from trailhouse.schemas.uuid7 import uuid7

NOW = dt.datetime(2026, 11, 28, 8, 0, 3, tzinfo=dt.UTC)
KEY = made_key(5)
SERVICE = "batch"


def hash_of(seq: int) -> bytes:
    """Return the hash of the record of a number."""
    return hashlib.sha256(b"%d" % seq).digest()


class Run:
    """One run of `emit` of ten lines a seal, by a clock that is turned by hand."""

    def __init__(self, file: Path, service: str = SERVICE, seal_events: int = 10) -> None:
        self.source: Source = this_process(service)
        self.journal = EmitJournal(file, self.source, is_synced=False)
        self.seals: list[Seal] = []
        self.is_full = False
        self.now_seconds = 0.0
        config = ProducerConfig(seal_events=seal_events, seal_seconds=60)
        self.line_seals = LineSeals(
            self.journal, KEY, service, config, self._log, lambda: self.now_seconds
        )

    def _log(self, session_id: str, data: Mapping[str, object], /) -> None:
        if self.is_full:
            raise SpoolFullError("full")
        seal, public_key, signature = parse_seal(data)
        assert is_signed_by(public_key, signature, seal.text.encode())
        assert public_key == KEY.public_key
        assert session_id == seal_session(seal.producer_id)
        self.seals.append(seal)

    def plan(self, first: int, last: int) -> list[int]:
        """Note lines of these numbers, and return their own in the journal."""
        return self.journal.plan(
            [
                Planned(digest_of(b"%d" % seq), uuid7(), NOW, seq, None, hash_of(seq))
                for seq in range(first, last + 1)
            ]
        )

    def acknowledge(self, *lines: int) -> None:
        """Note that the broker has them."""
        for line in lines:
            self.journal.acknowledge(line)

    @property
    def ranges(self) -> list[tuple[int, int, bool]]:
        """What was sealed: first and last number, and whether it is the last seal."""
        return [(seal.first_seq, seal.last_seq, seal.is_last) for seal in self.seals]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Return a first run."""
    made = Run(tmp_path / "journal")
    yield made
    made.journal.close()


def test_all_is_sealed_at_the_end_in_parts(run: Run) -> None:
    """Each record's hash stands at its number, no part is larger than is asked for, and the last one says so."""
    run.acknowledge(*run.plan(0, 24))
    run.line_seals.finish()
    assert run.ranges == [(0, 9, False), (10, 19, False), (20, 24, True)]
    for seal in run.seals:
        for seq in range(seal.first_seq, seal.last_seq + 1):
            assert seal.short_digest(seq) == hash_of(seq)[:SHORT_DIGEST_BYTES]
        assert (seal.service, seal.producer_id) == (SERVICE, run.source.producer_id)
        assert seal.next_within_seconds == (0 if seal.is_last else 60)
    run.line_seals.finish()
    assert len(run.seals) == 3


def test_a_long_run_seals_what_is_settled_and_keeps_one_for_the_end(run: Run) -> None:
    """By time or by number; what the broker has not answered waits, and so does the newest."""
    lines = run.plan(0, 4)
    run.acknowledge(*lines[:3])
    run.line_seals.look(5)
    assert run.ranges == []
    run.now_seconds = 60.0
    run.line_seals.look()
    assert run.ranges == [(0, 2, False)]
    run.acknowledge(*lines[3:])
    run.line_seals.look()
    assert run.ranges == [(0, 2, False)]
    run.acknowledge(*run.plan(5, 26))
    run.line_seals.look(22)
    assert run.ranges[1:] == [(3, 12, False), (13, 22, False), (23, 25, False)]
    run.line_seals.finish()
    assert run.ranges[4:] == [(26, 26, True)]


def test_what_finds_no_room_is_sealed_with_the_next(run: Run) -> None:
    """A full spool stops no line; at the end it is told."""
    run.acknowledge(*run.plan(0, 12))
    run.is_full = True
    run.line_seals.look(13)
    with pytest.raises(SpoolFullError):
        run.line_seals.finish()
    run.is_full = False
    run.line_seals.finish()
    assert run.ranges == [(0, 9, False), (10, 12, True)]


def test_refused_lines_are_named_as_lost(run: Run) -> None:
    """What the broker refuses, and what nobody knows to have been sent: no seal names more than it may."""
    lines = run.plan(0, 5)
    run.acknowledge(lines[0], lines[2], lines[3])
    run.journal.drop(lines[1])
    run.line_seals.finish()
    assert run.ranges == [(0, 5, True)]
    assert run.seals[0].lost == ((1, 1), (4, 5))


def test_a_seal_names_few_lost_ranges(tmp_path: Path) -> None:
    """Every second line refused: the seals name 32 ranges at most, and all of them together."""
    run = Run(tmp_path / "journal", seal_events=1_000)
    lines = run.plan(0, 99)
    run.acknowledge(*lines[::2])
    for line in lines[1::2]:
        run.journal.drop(line)
    run.line_seals.finish()
    run.journal.close()
    assert run.ranges == [(0, 64, False), (65, 99, True)]
    assert [len(seal.lost) for seal in run.seals] == [32, 18]


def test_the_next_run_seals_what_a_killed_one_has_made(tmp_path: Path) -> None:
    """Under the number and producer of that one; what another service has made is not ours to seal."""
    file = tmp_path / "journal"
    first = Run(file)
    first.acknowledge(*first.plan(0, 3))
    first.journal.close()
    other = Run(file, "another")
    other.acknowledge(*other.plan(0, 1))
    other.journal.close()
    second = Run(file)
    second.acknowledge(*second.plan(0, 0))
    second.line_seals.finish()
    assert second.ranges == [(0, 3, True), (0, 0, True)]
    assert [seal.producer_id for seal in second.seals] == [
        first.source.producer_id, second.source.producer_id,
    ]  # fmt: skip
    second.journal.close()
    third = Run(file)
    third.line_seals.finish()
    third.journal.close()
    assert third.ranges == []
