"""The hash of a record's bytes: whole, for what must be proved; its first half is the key that tells records apart."""

from collections.abc import Iterable
from hashlib import sha256

RECORD_KEY_BYTES = 16
"""Enough to tell every record from every other, and half as much in each row; no proof against a forger."""


def record_hash(content: bytes | memoryview) -> bytes:
    """Return the SHA-256 of a record, or of what stands for one: 32 bytes."""
    return sha256(content).digest()


def record_hashes(records: Iterable[bytes]) -> list[bytes]:
    """Return the hash of each of *records*."""
    return [sha256(record).digest() for record in records]


def record_key(content: bytes) -> bytes:
    """Return what tells a record from every other: the first 16 bytes of its hash."""
    return sha256(content).digest()[:RECORD_KEY_BYTES]


def record_keys(hashes: Iterable[bytes]) -> list[bytes]:
    """Return the key of each record whose hash is in *hashes*."""
    return [whole[:RECORD_KEY_BYTES] for whole in hashes]
