"""Manifests: which sessions a log has in a day, so that one is shown to be whole, or not to be there. Pure.

The manifest of a day (UTC, by the broker's clock) of one log covers the offsets from the first record of that day or
a later one up to and without the first record of a day after it; a record without a broker's time decides nothing. So
the manifests of a log follow each other without a gap, and whoever has the leaves makes the same ones.

It is a tree as a log's is (RFC 6962). Leaf 0 is the header: the lines `FORMAT`, origin, day, first offset, offset after
the last, number of sessions, each ended by a line feed. Then an entry a session, sorted by key:
``key(32) | leaves(8, big-endian) | root(32)``, the root being that over the session's leaves in the order of offsets.
A key is SHA-256 over the lines `KEY_FORMAT`, origin and day, and after them SHA-256 of the tenant (of "" for none) and
SHA-256 of the session: an entry that is shown to somebody names its session to nobody who cannot guess the name, and
the same session has another key each day and in each log.
"""

import datetime as dt
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import NamedTuple

from trailhouse.proof.anchor import ManifestRoot
from trailhouse.proof.merkle import (
    CompactRange,
    inclusion_intervals,
    leaf_hash,
    root_by_inclusion,
    root_of,
)
from trailhouse.schemas.errors import ProofError

FORMAT = "trailhouse-manifest/1"
KEY_FORMAT = "trailhouse-session/1"
MOST_EMPTY_DAYS = 366
"""Manifests go on from day to day over so many without a record."""
DAY_MS = 86_400_000
ENTRY_BYTES = 72


class Entry(NamedTuple):
    """One session of a day: its key, how many leaves, and the root over them."""

    key: bytes
    leaves: int
    root: bytes

    @property
    def content(self) -> bytes:
        """The bytes of the leaf that it is in the manifest's tree."""
        return self.key + self.leaves.to_bytes(8, "big") + self.root


class Header(NamedTuple):
    """What a manifest is of: `first_offset` to without `end_offset` of one log."""

    origin: str
    day: str
    first_offset: int
    end_offset: int
    sessions: int

    @property
    def content(self) -> bytes:
        """The bytes of the first leaf of the manifest's tree."""
        lines = (FORMAT, *map(str, self))
        return ("\n".join(lines) + "\n").encode()


class ShownEntry(NamedTuple):
    """An entry, where among the entries it is (from 0), and the proof that it is there."""

    entry: Entry
    place: int
    proof: tuple[bytes, ...]


class ShownSession(NamedTuple):
    """What shows that a session has just these leaves in a day, or none.

    `entries` is the session's own; or, where it has none, those before and after where it would be, as far as there
    are any.
    """

    header: Header
    header_proof: tuple[bytes, ...]
    entries: tuple[ShownEntry, ...]


def session_key(origin: str, day: str, tenant_id: str | bytes, session_id: str | bytes) -> bytes:
    """Return the key of a session in the manifest of *day* of *origin*; *tenant_id* is "" for none.

    Names are text, or its UTF-8.
    """
    head = f"{KEY_FORMAT}\n{origin}\n{day}\n".encode()
    return sha256(head + _hashed(tenant_id) + _hashed(session_id)).digest()


def _hashed(name: str | bytes) -> bytes:
    return sha256(name if isinstance(name, bytes) else name.encode()).digest()


def day_of(at_ms: int) -> str:
    """Return the UTC day of *at_ms*, milliseconds since 1970."""
    day = dt.date(1970, 1, 1) + dt.timedelta(days=at_ms // DAY_MS)
    return day.isoformat()


def next_listed(day: str, next_record: str) -> str:
    """Return the day whose manifest follows that of *day*, where the next record is of the day *next_record*.

    The day after, with or without a record; or that of the next record where it is more than `MOST_EMPTY_DAYS` away,
    as where a clock was wrong: nothing lies between, as the offsets of both manifests show.
    """
    following = day_of(first_ms(day) + DAY_MS)
    if first_ms(next_record) - first_ms(day) > MOST_EMPTY_DAYS * DAY_MS:
        return next_record
    return following


def first_ms(day: str) -> int:
    """Return the first millisecond of *day* since 1970.

    Raises:
        ProofError: It is no day. Permanent.
    """
    try:
        parsed = dt.date.fromisoformat(day)
    except ValueError:
        raise ProofError("manifest: a day is `2026-11-29`") from None
    if parsed.isoformat() != day:
        raise ProofError("manifest: a day is `2026-11-29`")
    return (parsed - dt.date(1970, 1, 1)).days * DAY_MS


class SessionLeaves:
    """The leaves of one session, in the order of offsets, a few at a time."""

    def __init__(self) -> None:
        self._tree = CompactRange()

    def extend(self, hashes: Sequence[bytes]) -> None:
        """Add leaves by their hashes."""
        self._tree.extend(hashes)

    def entry(self, key: bytes) -> Entry:
        """Return what the manifest says of the session."""
        return Entry(key, self._tree.size, self._tree.root())


class Manifest:
    """A header and its entries, sorted.

    Raises:
        ProofError: Two entries have one key, or are not as many as the header says. Permanent.
    """

    def __init__(self, header: Header, entries: Iterable[Entry]) -> None:
        self.header = header
        self.entries = sorted(entries)
        self._keys = [each.key for each in self.entries]
        if len(self.entries) != header.sessions or len(set(self._keys)) != header.sessions:
            raise ProofError("manifest: its entries are not as many as it says")
        contents = [header.content, *(each.content for each in self.entries)]
        self._hashes = [leaf_hash(content) for content in contents]
        self.root = root_of(self._hashes)

    @property
    def as_anchored(self) -> ManifestRoot:
        """What an anchor says of it."""
        return ManifestRoot(self.header.day, self.header.origin, self.header.sessions, self.root)

    def show(self, key: bytes) -> ShownSession:
        """Return what shows that the session of *key* is as its entry says, or has none."""
        at = bisect_left(self._keys, key)
        if at < len(self._keys) and self._keys[at] == key:
            places: tuple[int, ...] = (at,)
        else:
            places = tuple(place for place in (at - 1, at) if 0 <= place < len(self._keys))
        shown = tuple(ShownEntry(self.entries[at], at, self._proof(at + 1)) for at in places)
        return ShownSession(self.header, self._proof(0), shown)

    def _proof(self, leaf: int) -> tuple[bytes, ...]:
        parts = inclusion_intervals(leaf, len(self._hashes))
        return tuple(root_of(self._hashes[start:end]) for start, end in parts)


def check_shown(shown: ShownSession, key: bytes, root: bytes) -> Entry | None:
    """Return the entry of the session of *key* in the manifest with *root*; None where it is shown to have none.

    Raises:
        ProofError: It shows neither. Permanent.
    """
    size = shown.header.sessions + 1
    proven = [(leaf_hash(shown.header.content), 0, shown.header_proof)]
    proven += [(leaf_hash(one.entry.content), one.place + 1, one.proof) for one in shown.entries]
    for leaf, index, proof in proven:
        if root_by_inclusion(leaf, index, size, proof) != root:
            raise ProofError("manifest: a part is not in the manifest that is anchored")
    keys = [each.entry.key for each in shown.entries]
    if keys == [key]:
        return shown.entries[0].entry
    places = [each.place for each in shown.entries]
    before, after = [k for k in keys if k < key], [k for k in keys if k > key]
    at = places[0] + 1 if before else 0
    neighbours = [place for place in (at - 1, at) if 0 <= place < shown.header.sessions]
    if len(before) > 1 or len(after) > 1 or keys != before + after or places != neighbours:
        raise ProofError("manifest: neither shows the session nor that it is not there")
    return None
