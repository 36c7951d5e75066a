"""The tree of RFC 6962 as its text defines it: recursive and slow, for comparison."""

from collections.abc import Sequence
from hashlib import sha256


def plain_root(leaves: Sequence[bytes]) -> bytes:
    """Return MTH of RFC 6962, 2.1, over *leaves* by their hashes."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = _split(len(leaves))
    return sha256(b"\x01" + plain_root(leaves[:split]) + plain_root(leaves[split:])).digest()


def plain_path(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """Return PATH of RFC 6962, 2.1.1."""
    if len(leaves) == 1:
        return []
    split = _split(len(leaves))
    if index < split:
        return [*plain_path(index, leaves[:split]), plain_root(leaves[split:])]
    return [*plain_path(index - split, leaves[split:]), plain_root(leaves[:split])]


def plain_consistency(smaller: int, leaves: Sequence[bytes], is_whole: bool = True) -> list[bytes]:
    """Return SUBPROOF of RFC 6962, 2.1.2."""
    if smaller == len(leaves):
        return [] if is_whole else [plain_root(leaves)]
    split = _split(len(leaves))
    if smaller <= split:
        left = plain_consistency(smaller, leaves[:split], is_whole)
        return [*left, plain_root(leaves[split:])]
    right = plain_consistency(smaller - split, leaves[split:], is_whole=False)
    return [*right, plain_root(leaves[:split])]


def _split(count: int) -> int:
    split = 1
    while split * 2 < count:
        split *= 2
    return split
