"""UUIDv7 (RFC 9562, section 5.7): event ids that begin with the time they were made."""

import os
import re
import time
from collections.abc import Sequence

_has_uuid_form = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}").fullmatch


_is_canonical = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch
_POOL_IDS = 512
_BYTES_PER_ID = 8
_VARIANTS = bytes(byte & 0x3F | 0x80 for byte in range(256))
_FRACTIONS = tuple(f"7{number:03x}-" for number in range(1 << 12))
_pool: list[str] = []
"""How ids end: variant and 62 random bits."""
_prefix = (0, "00000000-0000-")
"""A millisecond, and how the ids made in it begin."""


def _refill() -> None:
    """Draw for many ids at once: a system call and the writing of digits would be half an id's cost."""
    drawn = bytearray(os.urandom(_POOL_IDS * _BYTES_PER_ID))
    drawn[::_BYTES_PER_ID] = drawn[::_BYTES_PER_ID].translate(_VARIANTS)
    digits = drawn.hex()
    _pool.extend(
        [f"{digits[at : at + 4]}-{digits[at + 4 : at + 16]}" for at in range(0, len(digits), 16)]
    )


# A forked child must not draw the numbers that its parent draws.
os.register_at_fork(after_in_child=_pool.clear)


def uuid7(unix_ns: int | None = None) -> str:
    """Return a new UUIDv7 in its canonical text form.

    48 bits of Unix milliseconds, 12 bits of the millisecond's fraction (RFC 9562, section 6.2, method
    3), and 62 random bits from the operating system. Safe for threads and after fork. Ids made one after
    the other are in order as far as the clock tells them apart, to a quarter of a microsecond: what
    happened together lies together where events are sorted by id.
    """
    global _prefix
    at_ms, rest_ns = divmod(time.time_ns() if unix_ns is None else unix_ns, 1_000_000)
    while True:
        try:
            end = _pool.pop()
            break
        except IndexError:
            _refill()
    made_ms, prefix = _prefix
    if made_ms != at_ms:
        digits = f"{at_ms & 0xFFFFFFFFFFFF:012x}"
        prefix = f"{digits[:8]}-{digits[8:]}-"
        _prefix = at_ms, prefix
    return prefix + _FRACTIONS[rest_ns * 4_096 // 1_000_000] + end


def is_canonical_uuid(text: str) -> bool:
    """Tell whether *text* is a UUID as we write it: with dashes, in lower case."""
    return _is_canonical(text) is not None


def is_uuid(text: str) -> bool:
    """Tell whether *text* is a UUID with dashes, in either case (RFC 9562, section 4)."""
    return _has_uuid_form(text) is not None


_DASHES = (8, 13, 18, 23)
_TEXT_LENGTH = 36
_DIGITS = b"0123456789abcdef-"


def are_canonical_uuids(texts: Sequence[str]) -> bool:
    """Tell what `is_canonical_uuid` tells of each of *texts*, for a small part of the cost."""
    if not all(length == _TEXT_LENGTH for length in set(map(len, texts))):
        return False
    joined = "".join(texts)
    return (
        joined.count("-") == len(_DASHES) * len(texts)
        and all(joined[place::_TEXT_LENGTH].count("-") == len(texts) for place in _DASHES)
        and not joined.encode(errors="replace").translate(None, _DIGITS)
    )
