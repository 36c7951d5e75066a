"""A column of few different texts, compared with what ClickHouse sends of it without taking either apart. Pure."""

from array import array
from collections.abc import Sequence

_MOST_NARROW = 255
_UNKNOWN = 255
"""Stands for a text that was not added; a narrow column has a smaller number for each that was."""


class Texts:
    """Texts as they come, each as its number among the different ones: a byte, or four where these are many."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._narrow: list[bytes] = []
        self._wide: array[int] | None = None

    def add(self, values: Sequence[str]) -> None:
        """Append *values*, at least one."""
        numbers = self._numbers
        first = values[0]
        is_one = values.count(first) == len(values)
        for value in (first,) if is_one else dict.fromkeys(values):
            numbers.setdefault(value, len(numbers))
        if self._wide is None and len(numbers) > _MOST_NARROW:
            self._wide = array("I", b"".join(self._narrow))
        if self._wide is not None:
            self._wide.extend(map(numbers.__getitem__, values))
        elif is_one:
            self._narrow.append(bytes((numbers[first],)) * len(values))
        else:
            self._narrow.append(bytes(map(numbers.__getitem__, values)))

    def are(self, keys: Sequence[bytes], places: Sequence[int]) -> bool:
        """Tell whether these are the texts, each of them the one of *keys* at its place."""
        unknown = len(self._numbers) if self._wide is not None else _UNKNOWN
        found = [self._numbers.get(key.decode(errors="surrogateescape"), unknown) for key in keys]
        if self._wide is None and isinstance(places, array) and places.typecode == "B":
            table = bytes(found).ljust(256, b"\xff")
            return places.tobytes().translate(table) == b"".join(self._narrow)
        ours = array("I", b"".join(self._narrow)) if self._wide is None else self._wide
        return array("I", map(found.__getitem__, places)) == ours
