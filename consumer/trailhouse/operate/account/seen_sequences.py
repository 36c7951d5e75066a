"""The producers' sequence numbers that records show, damaged ones too; kept small however many they are. Pure."""

import re
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from trailhouse.schemas.ranges import Ranges
from trailhouse.store.sequences import SEQ_PATTERN, SESSION_PATTERN

COMPACT_AFTER_SEQS = 100_000
_find_seq = re.compile(SEQ_PATTERN.encode()).search
_find_session = re.compile(SESSION_PATTERN.encode()).search


class Sequenced(NamedTuple):
    """Who numbered an event, and how; its session."""

    producer_id: str
    seq: int
    session_id: str


class _Source(msgspec.Struct):
    producer_id: str | None = None
    seq: int | None = None


class _Record(msgspec.Struct):
    session_id: str = ""
    source: _Source | None = None


_decode = msgspec.json.Decoder(_Record).decode


def seq_of(record: bytes | None) -> Sequenced | None:
    """Return the number of the event in *record*, which may be damaged; None when it shows none."""
    try:
        found = _decode(record or b"")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        # A damaged record goes to quarantine, where its number still counts.
        return _seq_in(record or b"")
    source = found.source
    if source is None or not source.producer_id or source.seq is None or source.seq < 0:
        return None
    return Sequenced(source.producer_id, source.seq, found.session_id)


def _seq_in(record: bytes) -> Sequenced | None:
    if (found := _find_seq(record)) is None:
        return None
    session = _find_session(record)
    return Sequenced(
        found[1].decode(errors="replace"),
        int(found[2]),
        session[1].decode(errors="replace") if session else "",
    )


class _Seqs:
    """Numbers in any order; together they take little room where they make ranges."""

    __slots__ = ("_fresh", "_ranges")

    def __init__(self) -> None:
        self._ranges = Ranges()
        self._fresh: list[int] = []

    def add(self, seq: int) -> None:
        # Merged into ranges now and then: to merge each by itself costs more the more there are.
        self._fresh.append(seq)
        if len(self._fresh) >= COMPACT_AFTER_SEQS:
            self.ranges()

    def ranges(self) -> Ranges:
        if self._fresh:
            self._ranges |= Ranges.of(self._fresh)
            self._fresh.clear()
        return self._ranges


class SeenSequences:
    """Numbers seen in one place, of all sessions, and of the one that is asked for."""

    def __init__(self, session_id: str | None) -> None:
        self._session_id = session_id
        self._all: dict[str, _Seqs] = {}
        self._own = self._all if session_id is None else dict[str, _Seqs]()

    def add(self, record: bytes | None) -> None:
        """Take the number of *record* in, if it shows one."""
        found = seq_of(record)
        if found is None:
            return
        _add(self._all, found)
        if self._session_id is not None and self._session_id == found.session_id:
            _add(self._own, found)

    def of(self, producer_id: str) -> Ranges:
        """Return all numbers of a producer that were seen here."""
        return self._all[producer_id].ranges() if producer_id in self._all else Ranges()

    def own(self, producer_id: str) -> Ranges:
        """Return those of the session that is asked for."""
        return self._own[producer_id].ranges() if producer_id in self._own else Ranges()

    def producers(self) -> Iterable[str]:
        """Return who has events here that are asked for."""
        return self._own.keys()


def _add(seqs: dict[str, _Seqs], found: Sequenced) -> None:
    if found.producer_id not in seqs:
        seqs[found.producer_id] = _Seqs()
    seqs[found.producer_id].add(found.seq)
