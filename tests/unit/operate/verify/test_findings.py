"""Findings are ranges, however many rows are wrong; and a verdict says no more than what was looked at."""

import pytest

from trailhouse.operate.verify.finding import MAX_NAMED, Findings
from trailhouse.operate.verify.report import DutyReport, Outcome, verdict_of


def add(found: Findings, first: int, last: int | None = None, kind: str = "gone") -> None:
    """Add one finding about some offsets."""
    found.add(
        kind, log="events/1/0", first_offset=first, last_offset=last, meaning="m", way_out="w"
    )


def test_offsets_that_touch_are_one_finding() -> None:
    """Rows in any order make one line, with their number."""
    found = Findings("records")
    for offset in (*range(0, 200_000, 2), *range(1, 200_000, 2)):
        add(found, offset)
    [finding] = found.all()
    assert (finding.place.first_offset, finding.place.last_offset) == (0, 199_999)
    assert finding.count == 200_000
    assert str(finding.place) == "events/1/0, offsets 0 to 199999"


def test_far_more_ranges_than_anybody_reads_are_told_by_few() -> None:
    """Every offset is within one of the findings, and all are counted."""
    found = Findings("records")
    wrong = range(0, 3_000_000, 30)
    for offset in wrong:
        add(found, offset)
    findings = found.all()
    assert len(findings) <= MAX_NAMED
    assert sum(finding.count for finding in findings) >= len(wrong)
    assert findings[0].place.first_offset == 0
    assert (findings[-1].place.last_offset or 0) >= wrong[-1]


def test_what_differs_in_kind_or_place_stays_apart() -> None:
    """Only ranges of the same kind, meaning and place are put together."""
    found = Findings("records")
    add(found, 1)
    add(found, 2, kind="other")
    assert len(found.all()) == 2


@pytest.mark.parametrize(
    ("outcomes", "checked", "expected"),
    [
        ([Outcome.INTACT, Outcome.LEFT_OUT], 1, Outcome.INTACT),
        ([Outcome.INTACT, Outcome.COULD_NOT_CHECK], 1, Outcome.COULD_NOT_CHECK),
        ([Outcome.FOUND, Outcome.COULD_NOT_CHECK], 1, Outcome.FOUND),
        ([Outcome.INTACT], 0, Outcome.COULD_NOT_CHECK),
        ([Outcome.LEFT_OUT], 0, Outcome.COULD_NOT_CHECK),
    ],
)
def test_nothing_unchecked_is_called_intact(
    outcomes: list[Outcome], checked: int, expected: Outcome
) -> None:
    """A finding outranks what could not be checked, and that outranks all that is intact."""
    duties = tuple(
        DutyReport(number=number, name=str(number), holds="", verdict=each, checked=checked)
        for number, each in enumerate(outcomes)
    )
    assert verdict_of(duties) is expected
