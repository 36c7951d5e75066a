"""Days have the manifests that docs/proof.md says: each ends where the first record of a later one is."""

import random
from collections.abc import Iterator, Sequence
from itertools import accumulate

import pytest

from trailhouse.anchoring.listed_days import FirstRecord, ListedDay, listed_days
from trailhouse.proof.manifest import DAY_MS, MOST_EMPTY_DAYS, day_of

LATER = "2300-01-01"


def _firsts(days: Sequence[int]) -> list[FirstRecord]:
    """Return the first record of each day of a log whose records, from offset 0 on, are of *days*."""
    firsts: dict[int, FirstRecord] = {}
    for offset, day in enumerate(days):
        firsts.setdefault(day, FirstRecord(offset, day * DAY_MS + 7))
    return list(firsts.values())


def _by_hand(days: Sequence[int], today: int) -> Iterator[ListedDay]:
    """Go from record to record, as the document says it."""
    day, first = days[0], 0
    for offset, reached in enumerate(accumulate(days, max)):
        while day < min(reached, today):
            yield ListedDay(day_of(day * DAY_MS), first, offset)
            first = offset
            day = reached if reached - day > MOST_EMPTY_DAYS else day + 1


@pytest.mark.parametrize("seed", range(60))
def test_days_are_those_of_the_records_one_by_one(seed: int) -> None:
    """With clocks that go back, days without a record, and gaps of about a year; from any of them on they go on so."""
    draw = random.Random(seed)  # noqa: S311 - the same of one seed
    steps = (-400, -1, 0, 0, 0, 1, 1, 2, 30, 365, 366, 367, 368, 5_000)
    days = [abs(day) for day in accumulate(draw.choices(steps, k=draw.randrange(1, 40)))]
    today = draw.choice((0, 1, 200, 100_000))
    listed = list(_by_hand(days, today))
    firsts = _firsts(days)
    assert list(listed_days(firsts, day_of(today * DAY_MS))) == listed
    for place in draw.sample(range(len(listed)), min(5, len(listed))):
        after = listed[place]
        end = after.end_offset
        later = [
            FirstRecord(end + each.offset, each.at_ms)
            for each in (_firsts(days[end:]) if end < len(days) else [])
        ]
        assert list(listed_days(later, day_of(today * DAY_MS), after)) == listed[place + 1 :]


def test_a_log_of_one_day_has_none() -> None:
    """The day may go on; and a log without a record has no day."""
    assert list(listed_days([FirstRecord(3, 5)], LATER)) == []
    assert list(listed_days([], LATER)) == []
