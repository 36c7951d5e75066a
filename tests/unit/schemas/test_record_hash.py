"""The hash of a record and the key that is its half."""

from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from trailhouse.schemas.record_hash import (
    RECORD_KEY_BYTES,
    record_hash,
    record_hashes,
    record_key,
    record_keys,
)


@given(st.lists(st.binary(max_size=100), max_size=5))
def test_the_hash_is_whole_and_the_key_its_first_half(records: list[bytes]) -> None:
    """One by one and all at once, the hash is all of SHA-256, and the key begins it."""
    hashes = [record_hash(record) for record in records]
    assert hashes == [sha256(record).digest() for record in records] == record_hashes(records)
    keys = [record_key(record) for record in records]
    assert keys == [whole[:RECORD_KEY_BYTES] for whole in hashes] == record_keys(hashes)
    assert all((len(whole), len(key)) == (32, 16) for whole, key in zip(hashes, keys, strict=True))
