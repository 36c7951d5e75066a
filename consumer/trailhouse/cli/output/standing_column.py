"""The column `standing` of a table: there only where the policy enrols anybody, and empty for what is attested."""

from collections.abc import Sequence

ATTESTED = "attested"
COLUMN = "standing"


def with_standing(
    columns: Sequence[str],
    rows: Sequence[tuple[str, ...]],
    standings: Sequence[str | None],
    before: str,
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return *columns* and *rows* with a column for *standings* in front of the column *before*.

    What is attested is the usual, and shows nothing; without a policy nothing has a standing, and there is no column.

    Args:
        columns: Names of the columns.
        rows: Their cells; rows behind the last standing have none.
        standings: Of the first rows.
        before: The column behind it.
    """
    if not any(standings):
        return tuple(columns), list(rows)
    place = columns.index(before)
    marks = [
        "" if each in (None, ATTESTED) else str(each).upper()
        for each in (*standings, *[None] * (len(rows) - len(standings)))
    ]
    shown = [(*row[:place], mark, *row[place:]) for row, mark in zip(rows, marks, strict=True)]
    return (*columns[:place], COLUMN, *columns[place:]), shown
