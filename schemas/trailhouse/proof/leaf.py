"""The leaf of an offset: a pure function of the Kafka record there, so that whoever reads it makes the same tree. Pure.

Its bytes are ``kind(1) | appended_ms(8, big-endian) | SHA-256(value)(32)``; without a record, the one byte 0.
`appended_ms` is the broker's time as the column `appended_at` has it: within 0 and the end of 2299, and that end
where the record carries its sender's time.
"""

import struct
from collections.abc import Sequence
from enum import IntEnum
from hashlib import sha256

_packed = struct.Struct(">BBQ").pack


class LeafKind(IntEnum):
    """What is at an offset."""

    HOLE = 0
    """No record: a transaction's marker, a record that is gone, or one that nobody can read."""
    RECORD = 1
    NULL = 2
    """A record whose value is null; its digest is that of no bytes."""


def leaf_bytes(kind: int, appended_ms: int, digest: bytes) -> bytes:
    """Return the bytes of a leaf of *kind*, which is not a hole."""
    return _packed(0, kind, appended_ms)[1:] + digest


def hash_of_leaf(kind: int, appended_ms: int, digest: bytes) -> bytes:
    """Return the hash of the leaf of one record."""
    return sha256(_packed(0, kind, appended_ms) + digest).digest()


def hashes_of_leaves(
    kinds: Sequence[int], appended_ms: Sequence[int], digests: Sequence[bytes]
) -> list[bytes]:
    """Return the hash of the leaf of each record."""
    hashed = sha256
    # A broker takes many records at one time, and a prefix is looked up for less than it is packed.
    prefixes = {
        (kind, at_ms): _packed(0, kind, at_ms)
        for kind, at_ms in set(zip(kinds, appended_ms, strict=True))
    }
    return [
        hashed(prefixes[each] + digest).digest()
        for each, digest in zip(zip(kinds, appended_ms, strict=True), digests, strict=True)
    ]


def hashes_of_records(appended_ms: Sequence[int], digests: Sequence[bytes]) -> list[bytes]:
    """Return what `hashes_of_leaves` does for records of which no value is null."""
    hashed, record = sha256, int(LeafKind.RECORD)
    prefixes = {at_ms: _packed(0, record, at_ms) for at_ms in set(appended_ms)}
    return [
        hashed(prefixes[at_ms] + digest).digest()
        for at_ms, digest in zip(appended_ms, digests, strict=True)
    ]
