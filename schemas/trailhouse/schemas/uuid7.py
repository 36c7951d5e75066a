"""UUIDv7 (RFC 9562, section 5.7): event ids that begin with the time they were made."""

import os
import re
import time

_has_uuid_form = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}").fullmatch


_VERSION_AND_VARIANT = 0x7 << 76 | 0b10 << 62
_RANDOM_BITS = 0xFFF << 64 | (1 << 62) - 1
_POOL_BYTES = 4_096
_pool: list[int] = []


def _refill() -> None:
    """Draw random bytes for many ids at once: one system call each would be half an id's cost."""
    noise = os.urandom(_POOL_BYTES)
    _pool.extend(
        int.from_bytes(noise[start : start + 10]) for start in range(0, _POOL_BYTES - 9, 10)
    )


# A forked child must not draw the numbers that its parent draws.
os.register_at_fork(after_in_child=_pool.clear)


def uuid7(unix_ms: int | None = None) -> str:
    """Return a new UUIDv7 in its canonical text form.

    48 bits of Unix milliseconds, then 74 random bits from the operating system. Safe for threads
    and after fork. Ids made within one millisecond are not ordered.
    """
    at_ms = time.time_ns() // 1_000_000 if unix_ms is None else unix_ms
    while True:
        try:
            noise = _pool.pop()
            break
        except IndexError:
            _refill()
    number = (at_ms & 0xFFFFFFFFFFFF) << 80 | noise & _RANDOM_BITS | _VERSION_AND_VARIANT
    digits = f"{number:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def is_uuid(text: str) -> bool:
    """Tell whether *text* is a UUID with dashes, in either case (RFC 9562, section 4)."""
    return _has_uuid_form(text) is not None
