"""UUIDv7 (RFC 9562, section 5.7): event ids that begin with the time they were made."""

import os
import re
import time

_has_uuid_form = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}").fullmatch


def uuid7(unix_ms: int | None = None) -> str:
    """Return a new UUIDv7 in its canonical text form.

    48 bits of Unix milliseconds, then 74 random bits from the operating system, so that forked
    processes never share a sequence. Ids made within one millisecond are not ordered.
    """
    at_ms = time.time_ns() // 1_000_000 if unix_ms is None else unix_ms
    random = int.from_bytes(os.urandom(10), "big")
    version_and_a = 0x7000 | (random >> 68)
    variant_and_b = 0x8000000000000000 | (random & 0x3FFFFFFFFFFFFFFF)
    digits = f"{at_ms & 0xFFFFFFFFFFFF:012x}{version_and_a:04x}{variant_and_b:016x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def is_uuid(text: str) -> bool:
    """Tell whether *text* is a UUID with dashes, in either case (RFC 9562, section 4)."""
    return _has_uuid_form(text) is not None
