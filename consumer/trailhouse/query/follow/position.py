"""How far a follower is: the next offset of each partition, and what may still come below it. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from trailhouse.schemas.errors import QueryError
from trailhouse.schemas.ranges import Ranges

MAX_HOLES = 128
"""Of all partitions together: a token must fit into a header. The oldest are forgotten first."""
NOTHING = Ranges()
_MAX_OFFSET = 2**63 - 1


class Home(NamedTuple):
    """A partition of a topic, told from every other that ever was."""

    topic_id: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic_id}:{self.partition}"


class Token(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A position as it travels.

    Attributes:
        topics: The ids of the topics.
        homes: For each partition its topic's place in `topics`, its number, its next offset.
        holes: For each hole the place of its partition in `homes`, its first offset and its size.
    """

    topics: tuple[str, ...]
    homes: tuple[tuple[int, int, int], ...]
    holes: tuple[tuple[int, int, int], ...]


class Position:
    """The next offset of each partition, and the holes below it: offsets that had no event when they were passed.

    Everything below `next` is decided but for the holes. A replay may fill one: then its event is late.
    """

    def __init__(
        self, next_offsets: Mapping[Home, int] = {}, holes: Mapping[Home, Ranges] = {}
    ) -> None:
        self.next = dict(next_offsets)
        self.holes = {home: part for home, part in holes.items() if part}

    def copy(self) -> "Position":
        """Return one that moves by itself."""
        return Position(self.next, self.holes)

    def has_passed(self, home: Home, offset: int) -> bool:
        """Tell whether what stands there was decided, and is not waited for."""
        return offset < self.next.get(home, 0) and offset not in self.holes.get(home, NOTHING)

    def pass_to(self, home: Home, next_offset: int, opened: Ranges = NOTHING) -> None:
        """Take in that everything below *next_offset* is decided, but for what was *opened*."""
        if next_offset > self.next.get(home, 0):
            self.next[home] = next_offset
        if opened:
            self.holes[home] = self.holes.get(home, NOTHING) | opened
            self._forget()

    def fill(self, home: Home, offset: int) -> None:
        """Take in that the event at *offset*, in a hole, has come."""
        if left := self.holes.get(home, NOTHING) - Ranges([(offset, offset)]):
            self.holes[home] = left
        else:
            self.holes.pop(home, None)

    def _forget(self) -> None:
        # So many are left by a flood of bad records alone; late events are then looked for in the newest.
        excess = sum(len(list(part)) for part in self.holes.values()) - MAX_HOLES
        for home in sorted(self.holes, key=lambda home: -len(list(self.holes[home]))):
            if excess <= 0:
                return
            parts = list(self.holes[home])
            dropped = min(excess, len(parts))
            excess -= dropped
            self.holes[home] = Ranges(parts[dropped:])

    def token(self) -> Token:
        """Return it as it travels."""
        homes = sorted(self.next)
        topics = sorted({home.topic_id for home in homes})
        return Token(
            topics=tuple(topics),
            homes=tuple(
                (topics.index(home.topic_id), home.partition, self.next[home]) for home in homes
            ),
            holes=tuple(
                (place, part.first, part.size)
                for place, home in enumerate(homes)
                for part in self.holes.get(home, ())
            ),
        )

    @classmethod
    def of(cls, token: Token) -> "Position":
        """Return the position that *token* holds.

        Raises:
            QueryError: No follower has made it. Permanent.
        """
        try:
            homes = [(Home(token.topics[topic], number), at) for topic, number, at in token.homes]
            holes: dict[Home, Ranges] = {}
            for place, first, size in token.holes:
                home = homes[place][0]
                part = Ranges([(_checked(first), _checked(first + size - 1))])
                holes[home] = holes.get(home, NOTHING) | part
            return cls({home: _checked(at) for home, at in homes}, holes)
        except (ValueError, IndexError):
            raise QueryError("token: is not one of a follower") from None

    def is_at_least(self, next_offsets: Mapping[Home, int]) -> bool:
        """Tell whether all that *next_offsets* have behind them is behind this too."""
        return all(self.next.get(home, 0) >= offset for home, offset in next_offsets.items())

    @property
    def as_of(self) -> dict[str, int]:
        """The last offset of each partition that is decided."""
        return {str(home): offset - 1 for home, offset in sorted(self.next.items()) if offset}


class LedgerSpan(NamedTuple):
    """What the workers have entered: every record of these offsets is in one of the tables."""

    first: int
    last: int
    is_all_events: bool


class Decided(NamedTuple):
    """How far a partition is decided, and which offsets below had no event."""

    next: int
    opened: Ranges


def decide(
    next_offset: int,
    offsets: Sequence[int],
    spans: Iterable[LedgerSpan] = (),
    quarantined: Ranges = NOTHING,
    overtaken: int = -1,
) -> Decided:
    """Return how far a partition is decided, of which rows stand at *offsets*, in order, all not below *next_offset*.

    A missing offset may be a row that is not there yet: a batch writes a part for each year that it touches, and a
    worker may die in between. It is decided once the ledger has it, which is written after all rows, or quarantine.

    Args:
        next_offset: The first that is not decided.
        offsets: Of the rows that are there, different from each other.
        spans: Of the ledger, as it was before the rows were read.
        quarantined: Offsets whose records are in quarantine.
        overtaken: Gaps up to here have been waited for long enough.
    """
    spans = list(spans)
    covered = (
        Ranges((each.first, each.last) for each in spans) | quarantined | Ranges([(0, overtaken)])
    )
    # Where every record is an event, one that has no row any more is a copy of one that stands elsewhere.
    merged = Ranges((each.first, each.last) for each in spans if each.is_all_events)
    at, opened = next_offset, NOTHING
    for offset in offsets:
        if offset > at:
            gap = Ranges([(at, offset - 1)])
            if open_still := gap - covered:
                end = open_still.first if open_still.first is not None else at
                return Decided(end, (opened | (Ranges([(at, end - 1)]))) - merged)
            opened |= gap
        at = offset + 1
    return Decided(at, opened - merged)


def first_gap(next_offset: int, offsets: Sequence[int]) -> int | None:
    """Return the first offset from *next_offset* on that is missing below the last of *offsets*, in order."""
    for place, offset in enumerate(offsets):
        if offset != next_offset + place:
            return next_offset + place
    return None


def _checked(offset: int) -> int:
    if not 0 <= offset <= _MAX_OFFSET:
        raise ValueError
    return offset
