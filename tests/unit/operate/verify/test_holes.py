"""Offsets without a record against what incidents say of them, where a partition's log has generations."""

from collections.abc import Sequence

from proven import ORIGIN
from trailhouse.operate.verify.duties.records.holes import tell_partition
from trailhouse.operate.verify.finding import Findings
from trailhouse.operate.verify.leaves.walked import Walked
from trailhouse.operate.verify.logs import LogId
from trailhouse.schemas.ranges import Range


def walked(
    generation: str, end: int, *holes: tuple[int, int], first: int = 0
) -> tuple[LogId, Walked]:
    """Return a log that was looked at from *first* on."""
    log = LogId(*ORIGIN, 0, generation)
    return log, Walked(log, first, end, 0, [Range(*each) for each in holes], [], [], 0, [])


def told(walks: Sequence[tuple[LogId, Walked]], *incidents: tuple[int, int]) -> list[str]:
    """Return what is told where incidents say that Kafka gave no record at some offsets."""
    found = Findings("records")
    tell_partition(found, walks, [("no_record", *each) for each in incidents])
    return [
        f"{each.kind} {each.place.first_offset}-{each.place.last_offset}" for each in found.all()
    ]


def test_what_one_leader_has_left_empty_and_the_next_one_has_not_is_in_order() -> None:
    """The other way round, too; at the start of the log as well, and where an earlier run has looked at the first."""
    assert told([walked("1", 3, (0, 1)), walked("2-a", 9)], (0, 1)) == []
    assert told([walked("1", 9), walked("2-a", 9, (0, 3), (6, 6))], (6, 6)) == []
    assert told([walked("1", 9, first=9), walked("2-a", 9, (0, 3))], (5, 6)) == []


def test_what_no_leader_has_left_empty_is_made_up() -> None:
    """Below its beginning a generation has no record of its own, which says nothing."""
    assert told([walked("1", 9)], (3, 4)) == ["made_up_incident 3-4"]
    both = [walked("1", 9, (7, 7)), walked("2-a", 12, (0, 5))]
    assert told(both, (3, 3), (7, 7), (10, 10)) == [
        "made_up_incident 3-3",
        "made_up_incident 10-10",
    ]


def test_a_hole_that_no_incident_names_is_told() -> None:
    """Whichever leader it is of; that a log begins far from its start is known by the log."""
    assert told([walked("1", 9, (5, 6))], (5, 5)) == ["hole_without_incident 6-6"]
    assert told([walked("1", 9), walked("2-a", 9, (0, 3), (6, 6))]) == ["hole_without_incident 6-6"]
