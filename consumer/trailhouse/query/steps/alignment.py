"""Align two sequences by what they have in common: Myers' O(ND) difference, with bounded work. Pure.

E. Myers, "An O(ND) Difference Algorithm and Its Variations", Algorithmica 1 (1986). Where more than
`MAX_EDITS` edits lie between two matches, the path that got furthest is kept and the search begins anew
at its end: still an alignment, though perhaps not the one with the most matches.
"""

from collections.abc import Hashable, Iterator, Sequence
from typing import NamedTuple

MAX_EDITS = 256
_NOWHERE = -(1 << 60)
Match = tuple[int, int]


class Alignment(NamedTuple):
    """Places in both sequences that are equal, in order, and whether no other alignment has more of them."""

    matches: list[Match]
    is_longest: bool


def aligned(a: Sequence[Hashable], b: Sequence[Hashable]) -> Alignment:
    """Return which places of *a* and *b* match: rising in both."""
    # What only one of them has can match nothing: two that have nothing in common cost nothing.
    of_a, of_b = set(a), set(b)
    kept_a = [place for place, each in enumerate(a) if each in of_b]
    kept_b = [place for place, each in enumerate(b) if each in of_a]
    found = _walked([a[place] for place in kept_a], [b[place] for place in kept_b])
    return Alignment([(kept_a[x], kept_b[y]) for x, y in found.matches], found.is_longest)


def _walked(a: Sequence[Hashable], b: Sequence[Hashable]) -> Alignment:
    matches: list[Match] = []
    x = y = 0
    is_longest = True
    while x < len(a) and y < len(b):
        trace, k, is_at_end = _furthest(a, b, x, y)
        part = list(_path(trace, k, len(a) - x, len(b) - y))
        matches += [(x + i, y + j) for i, j, is_match in reversed(part) if is_match]
        if is_at_end:
            break
        is_longest = False
        end = trace[-1][k]
        x, y = x + end, y + end - k
    return Alignment(matches, is_longest)


def _furthest(
    a: Sequence[Hashable], b: Sequence[Hashable], x0: int, y0: int
) -> tuple[list[dict[int, int]], int, bool]:
    """Return how far each diagonal gets with 0, 1, 2 … edits from (x0, y0), and the diagonal to follow back."""
    n, m = len(a) - x0, len(b) - y0
    trace: list[dict[int, int]] = []
    before: dict[int, int] = {}
    for edits in range(MAX_EDITS + 1):
        reached: dict[int, int] = {}
        for k in range(-edits, edits + 1, 2):
            x = 0 if edits == 0 else _entered(before, k, n, m)
            if x < 0:
                continue
            y = x - k
            while x < n and y < m and a[x0 + x] == b[y0 + y]:
                x += 1
                y += 1
            reached[k] = x
            if x == n and y == m:
                return [*trace, reached], k, True
        trace.append(reached)
        before = reached
    return trace, max(before, key=lambda k: 2 * before[k] - k), False


def _entered(before: dict[int, int], k: int, n: int, m: int) -> int:
    """Return where diagonal *k* is entered with one edit more: by an element of `a` alone, or of `b` alone."""
    right = before.get(k - 1, _NOWHERE) + 1
    down = before.get(k + 1, _NOWHERE)
    return max(right if right <= n else _NOWHERE, down if down - k <= m else _NOWHERE)


def _path(
    trace: Sequence[dict[int, int]], k: int, n: int, m: int
) -> Iterator[tuple[int, int, bool]]:
    """Yield the way back from the end of diagonal *k*: places, and whether they match."""
    for edits in range(len(trace) - 1, -1, -1):
        x = trace[edits][k]
        entered = 0 if edits == 0 else _entered(trace[edits - 1], k, n, m)
        while x > entered:
            x -= 1
            yield x, x - k, True
        if edits:
            right = trace[edits - 1].get(k - 1, _NOWHERE) + 1
            k = k - 1 if right == entered and right <= n else k + 1
