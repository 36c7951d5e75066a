"""The leaf of an offset: a pure function of the Kafka record there, so that whoever reads it makes the same tree. Pure.

Its bytes are ``kind(1) | appended_ms(8, big-endian) | SHA-256(value)(32)``; without a record, the one byte 0.
`appended_ms` is the broker's time as the column `appended_at` has it: within 0 and the end of 2299, and that end
where the record carries its sender's time.
"""

import struct
from collections.abc import Sequence
from enum import IntEnum
from hashlib import sha256
from itertools import repeat

_packed = struct.Struct(">BBQ").pack
_packed_whole = struct.Struct(">BBQ32s").pack


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
    """Return the hash of the leaf of each record; *digests* have 32 bytes each.

    Packed with its digest by one call: to look up a prefix by kind and time, and to join it, costs up to three times
    as much as hashing where each record has a time of its own.
    """
    if not len(kinds) == len(appended_ms) == len(digests):
        raise ValueError(
            f"{len(kinds)} kinds and {len(appended_ms)} times of {len(digests)} leaves"
        )
    hashed = sha256
    leaves = map(_packed_whole, repeat(0), kinds, appended_ms, digests)
    return [hashed(leaf).digest() for leaf in leaves]
