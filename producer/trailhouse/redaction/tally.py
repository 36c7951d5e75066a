"""What is known of a record while its secrets are taken out: what may be in it, and what was found so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_SECRETS = 20_000
"""A text or a record with more secrets than that is one as a whole: what is left of it would say little."""


class TooManySecretsError(Exception):
    """A record has more secrets than are taken out one by one."""


class Tally:
    """Counts the secrets of one record.

    Args:
        places: Of the rules that may find something in it; None: not known.
        most: So many secrets are counted, and no more.
    """

    __slots__ = ("_left", "counts", "places")

    def __init__(self, places: Sequence[int] | None = None, most: float = float("inf")) -> None:
        self.places = places
        self.counts: dict[str, int] = {}
        """How many were found, by category."""
        self._left = most

    def add(self, category: str) -> None:
        """Count one more; where there are too many, end the work on this record."""
        self._left -= 1
        if self._left < 0:
            raise TooManySecretsError
        self.counts[category] = self.counts.get(category, 0) + 1
