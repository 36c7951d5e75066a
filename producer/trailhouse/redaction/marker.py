"""What stands in the place of a secret: its category, or a keyed digest of it."""

import hashlib
import hmac
import re
from collections.abc import Callable

MARKER = r"\[(?:REDACTED:[a-z0-9_]{1,64}|HMAC:[a-z0-9_]{1,64}:[0-9a-f]{16})\]"
DIGEST_DIGITS = 16
_MARKERS = re.compile(MARKER.encode())
_MARKED = re.compile(rf"{MARKER}(?:#\d+)?")
_OPENINGS = _MASKED, _HASHED = b"[REDACTED:", b"[HMAC:"

Mark = Callable[[str, bytes], bytes]
"""Returns what stands in the place of a secret of that category."""


def masked(category: str, _secret: bytes) -> bytes:
    """Return the marker that says no more than the category."""
    return b"[REDACTED:%b]" % category.encode()


def hashed_with(key: str) -> Mark:
    """Return what makes markers by which equal secrets can be told to be equal, by no one but who has *key*."""
    secret_key = key.encode()

    def hashed(category: str, secret: bytes) -> bytes:
        digest = hmac.new(secret_key, secret, hashlib.sha256).hexdigest()[:DIGEST_DIGITS]
        return b"[HMAC:%b:%b]" % (category.encode(), digest.encode())

    return hashed


def markers_in(text: bytes) -> list[tuple[int, int]]:
    """Return where markers stand in *text*: what has been taken out is not taken out again."""
    if _MASKED not in text and _HASHED not in text:
        return []
    return [found.span() for found in _MARKERS.finditer(text)]


def is_marker(text: bytes) -> bool:
    """Tell whether *text* is a marker and nothing else."""
    return text.startswith(_OPENINGS) and _MARKERS.fullmatch(text) is not None


def blinded(name: str) -> str:
    """Return *name* with a letter for each marker in it, as it is judged with the secret there: that names nothing."""
    return _MARKED.sub("x", name)
