"""A page of answers: in the format that was asked for, and on standard error whether it is all."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import typer

from trailhouse.cli.output.console import tell
from trailhouse.cli.output.formats import Format
from trailhouse.cli.output.standing_column import with_standing
from trailhouse.cli.output.whole import NO_TIME, Within, tell_whole
from trailhouse.cli.output.written import written

if TYPE_CHECKING:
    from trailhouse.query import Page

T = TypeVar("T")


def show_page(
    page: "Page[T]",
    format: Format,
    noun: str,
    columns: Sequence[str],
    cells: Callable[[T], tuple[str, ...]],
    within: Within = NO_TIME,
    standing_before: str = "",
    hint: str = "",
) -> None:
    """Write the items of *page*, and say what is missing; exits with 1 if there are none.

    Args:
        page: The answer; JSON is all of it, JSON lines and CSV its items.
        format: What was asked for.
        noun: What one item is.
        columns: The head of the table.
        cells: Makes a row of an item.
        within: Since and until when was asked.
        standing_before: In front of which column the standing stands, where items have one.
        hint: What to say beside, where nothing matches.
    """
    if not written(format, page, items=page.items):
        rows = list(map(cells, page.items))
        if standing_before:
            standings = [getattr(item, "standing", None) for item in page.items]
            columns, rows = with_standing(columns, rows, standings, standing_before)
        show_rows(columns, rows)
    tell_whole(page, len(page.items), noun, within)
    if not page.items:
        tell(
            f"nothing matches; {hint}`trailhouse status` says how far the worker is"
            if page.complete
            else "nothing was found yet: what was left out may match"
        )
        raise typer.Exit(1)


def show_rows(columns: Sequence[str], rows: Sequence[tuple[str, ...]]) -> None:
    """Print a table, unless there are no rows."""
    from trailhouse.cli.output.console import results
    from trailhouse.cli.output.table import print_table

    if rows:
        print_table(results(), columns, rows)
