"""What a check of the log has found: kind, place, meaning and way out; ranges, never a line a row. Pure."""

from collections.abc import Iterable

import msgspec

from trailhouse.schemas.ranges import Ranges

MAX_PARTS = 10_000
"""So many ranges of one kind are kept apart; then those that are near each other are told as one."""
MAX_NAMED = 200
"""So many findings of one kind are named one by one; the last of them stands for the rest."""


class Location(msgspec.Struct, frozen=True, kw_only=True):
    """Where something was found; what does not apply is empty or None.

    Attributes:
        log: Topic, topic id and partition, as an origin has them behind the log's name: ``events/Ab3…/4``.
        first_offset: The first offset, or size of a tree.
        last_offset: The last one, both included.
        table: The table or view.
        name: What else names it: a policy's version, an anchor's number, a producer, a session's hash.
    """

    log: str = ""
    first_offset: int | None = None
    last_offset: int | None = None
    table: str = ""
    name: str = ""

    def __str__(self) -> str:
        offsets = ""
        if self.first_offset is not None:
            offsets = f"offset {self.first_offset}"
            if self.last_offset not in (None, self.first_offset):
                offsets = f"offsets {self.first_offset} to {self.last_offset}"
        return ", ".join(part for part in (self.table, self.log, offsets, self.name) if part)


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not as it was signed.

    Attributes:
        duty: The name of the duty that found it.
        kind: A short, stable word for programs, such as ``row_without_leaf``.
        place: Where.
        count: How many rows, leaves or checkpoints it is about.
        meaning: What it says about the log; never what a record holds.
        way_out: What to do.
    """

    duty: str
    kind: str
    place: Location
    count: int
    meaning: str
    way_out: str


class _About(msgspec.Struct, frozen=True):
    kind: str
    meaning: str
    way_out: str
    log: str
    table: str
    name: str


class Findings:
    """Takes in what one duty finds, in any order, and gives it as ranges; of any number it keeps little."""

    def __init__(self, duty: str) -> None:
        self._duty = duty
        self._ranges: dict[_About, list[tuple[int, int]]] = {}
        self._counts: dict[_About, int] = {}

    def __bool__(self) -> bool:
        return bool(self._counts)

    def add(
        self,
        kind: str,
        *,
        meaning: str,
        way_out: str,
        log: str = "",
        first_offset: int | None = None,
        last_offset: int | None = None,
        table: str = "",
        name: str = "",
        count: int | None = None,
    ) -> None:
        """Take one in; of the same kind, meaning and place, ranges of offsets that touch become one finding.

        Args:
            count: How many it is about; as many as offsets if None.
        """
        about = _About(kind, meaning, way_out, log, table, name)
        size = 1
        parts = self._ranges.setdefault(about, [])
        if first_offset is not None:
            last = first_offset if last_offset is None else last_offset
            size = last - first_offset + 1
            if parts and parts[-1][1] + 1 == first_offset:
                parts[-1] = (parts[-1][0], last)
            else:
                parts.append((first_offset, last))
            if len(parts) > 2 * MAX_PARTS:
                self._ranges[about] = _fewer(parts)
        self._counts[about] = self._counts.get(about, 0) + (size if count is None else count)

    def take(self, other: "Findings") -> None:
        """Take in all that *other* holds."""
        for about, count in other._counts.items():
            self._ranges.setdefault(about, []).extend(other._ranges[about])
            self._counts[about] = self._counts.get(about, 0) + count

    def all(self) -> tuple[Finding, ...]:
        """Return all of them, each range of offsets once."""
        found: list[Finding] = []
        for about, count in self._counts.items():
            parts = list(Ranges(self._ranges[about]))
            if not parts:
                found.append(self._finding(about, None, None, count))
                continue
            if len(parts) > MAX_NAMED:
                rest = parts[MAX_NAMED - 1 :]
                parts = [*parts[: MAX_NAMED - 1], type(rest[0])(rest[0].first, rest[-1].last)]
            left = count
            for part in parts[:-1]:
                found.append(self._finding(about, part.first, part.last, min(part.size, left)))
                left -= min(part.size, left)
            found.append(self._finding(about, parts[-1].first, parts[-1].last, max(left, 1)))
        return tuple(found)

    def _finding(self, about: _About, first: int | None, last: int | None, count: int) -> Finding:
        place = Location(
            log=about.log, first_offset=first, last_offset=last, table=about.table, name=about.name
        )
        return Finding(
            duty=self._duty,
            kind=about.kind,
            place=place,
            count=count,
            meaning=about.meaning,
            way_out=about.way_out,
        )


def _fewer(parts: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return ranges that hold *parts*, at most MAX_PARTS: those that are nearest to each other become one."""
    ranges, distance = Ranges(parts), 1
    while len(list(ranges)) > MAX_PARTS:
        distance *= 4
        ranges = ranges.coalesced(distance)
    return [(part.first, part.last) for part in ranges]
