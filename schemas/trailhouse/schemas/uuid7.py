"""UUIDv7 (RFC 9562, section 5.7): event ids that begin with the time they were made."""

import os
import re
import time

_has_uuid_form = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}").fullmatch


_is_canonical = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch
_POOL_BYTES = 8_192
_VERSIONED = tuple(f"7{number:03x}-" for number in range(1 << 12))
_VARIANTS = tuple(f"{0b10 << 14 | number:04x}-" for number in range(1 << 14))
_pool: list[int] = []
"""Random numbers of 64 bits; an id takes two."""
_prefix = (0, "00000000-0000-")
"""A millisecond, and how the ids made in it begin."""


def _refill() -> None:
    """Draw random bytes for many ids at once: one system call each would be half an id's cost."""
    _pool.extend(memoryview(os.urandom(_POOL_BYTES)).cast("Q"))


# A forked child must not draw the numbers that its parent draws.
os.register_at_fork(after_in_child=_pool.clear)


def uuid7(unix_ms: int | None = None) -> str:
    """Return a new UUIDv7 in its canonical text form.

    48 bits of Unix milliseconds, then 74 random bits from the operating system. Safe for threads
    and after fork. Ids made within one millisecond are not ordered.
    """
    global _prefix
    at_ms = time.time_ns() // 1_000_000 if unix_ms is None else unix_ms
    while True:
        try:
            high, low = _pool.pop(), _pool.pop()
            break
        except IndexError:
            _refill()
    made_ms, prefix = _prefix
    if made_ms != at_ms:
        digits = f"{at_ms & 0xFFFFFFFFFFFF:012x}"
        prefix = f"{digits[:8]}-{digits[8:]}-"
        _prefix = at_ms, prefix
    return f"{prefix}{_VERSIONED[high & 0xFFF]}{_VARIANTS[high >> 12 & 0x3FFF]}{low & 0xFFFFFFFFFFFF:012x}"


def is_canonical_uuid(text: str) -> bool:
    """Tell whether *text* is a UUID as we write it: with dashes, in lower case."""
    return _is_canonical(text) is not None


def is_uuid(text: str) -> bool:
    """Tell whether *text* is a UUID with dashes, in either case (RFC 9562, section 4)."""
    return _has_uuid_form(text) is not None
