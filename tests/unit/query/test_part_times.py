"""By the times of an index's parts: where each row is an event, and where copies may be."""

import random

import pytest

from trailhouse.query.search.part_times import MOST_TIMES, Part, part_times


def part(name: str, *times: int) -> Part:
    """Return a part of rows of these times."""
    return Part(name, len(times), min(times), max(times))


@pytest.mark.parametrize(
    ("name", "is_merged"),
    [
        ("2026_1_9_1", True),
        ("2026_1_9_12_40", True),
        ("2026_1_1_0", False),
        ("2026_1_1_0_40", False),
        ("all", False),
        ("2026_1_1_x", False),
    ],
)
def test_a_merge_is_known_by_the_level_of_its_part(name: str, is_merged: bool) -> None:
    """A name that nobody knows is of a part that may have copies."""
    assert Part(name, 1, 0, 0).is_merged is is_merged


def test_merged_parts_one_after_another_share_nothing() -> None:
    """All of their rows are events."""
    known = part_times([part("y_1_1_1", 1, 5), part("y_3_3_1", 6, 9), part("y_2_2_1", -4, 0)])
    assert (known.merged_rows, known.shared, known.shared_rows) == (6, (), 0)


def test_what_two_parts_reach_is_shared() -> None:
    """Both ends too: two parts that meet at one moment may both have its event."""
    known = part_times([part("y_1_1_1", 1, 5), part("y_2_2_1", 5, 9)])
    assert known.shared == ((5, 5),)
    assert part_times([part("y_1_1_1", 1, 9), part("y_2_2_1", 3, 4)]).shared == ((3, 4),)


def test_all_of_an_insert_is_shared() -> None:
    """Two copies may stand in it."""
    known = part_times([part("y_1_1_1", 1, 5), part("y_2_2_0", 7, 9)])
    assert (sorted(known.merged), known.shared) == (["y_1_1_1"], ((7, 9),))


def test_an_empty_index_has_nothing() -> None:
    """Nothing is counted, and nothing asked."""
    assert part_times([]) == (frozenset(), 0, (), 0)


def test_rows_and_times_tell_how_many_events_there_are() -> None:
    """Rows of merged parts, less those in shared times, and the events there: whatever stands where."""
    draw = random.Random(7)  # noqa: S311 - the same each time
    for _ in range(2_000):
        rows = {
            f"y_{number}_{number}_{level}": _drawn(draw, is_merged=level > 0)
            for number in range(draw.randrange(1, 9))
            if (level := draw.randrange(3)) >= 0
        }
        known = part_times(part(name, *times) for name, times in rows.items())

        def is_shared(time: int, times: tuple[tuple[int, int], ...] = known.shared) -> bool:
            return any(first <= time <= last for first, last in times)

        there = {time for times in rows.values() for time in times if is_shared(time)}
        off = sum(is_shared(time) for name in known.merged for time in rows[name])
        events = {time for times in rows.values() for time in times}
        assert known.merged_rows - off + len(there) == len(events)


def _drawn(draw: random.Random, *, is_merged: bool) -> list[int]:
    start = draw.randrange(60)
    times = [start + draw.randrange(15) for _ in range(draw.randrange(1, 12))]
    return list(set(times)) if is_merged else times


def test_many_times_become_few_that_hold_them() -> None:
    """The widest gaps stay, since a statement names each of the times."""
    inserts = [part(f"y_{n}_{n}_0", n * 100 + (n % 3) * 40, n * 100 + 130) for n in range(300)]
    apart = [Part(f"y_{n}_{n}_0", 1, n * 10, n * 10) for n in range(300)]
    assert len(part_times(inserts).shared) <= MOST_TIMES
    few = part_times([*apart, Part("y_900_900_0", 1, 99_000, 99_000)]).shared
    assert len(few) == MOST_TIMES
    assert few[-1] == (99_000, 99_000)
    assert all(any(a <= each.first_us <= b for a, b in few) for each in apart)


def test_rows_are_guessed_from_the_times() -> None:
    """As though those of each part were spread evenly."""
    known = part_times([Part("y_1_1_1", 1_000, 0, 99), Part("y_2_2_1", 500, 90, 139)])
    assert (known.shared, known.shared_rows) == (((90, 99),), 100 + 100)
