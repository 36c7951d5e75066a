"""Rows as lines of text: fitted to a terminal, or complete for a file or a pipe."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from trailhouse.cli.printable import printable
from trailhouse.cli.summary import content, subject
from trailhouse.schemas.event import AuditEvent
from trailhouse.schemas.plain import rfc3339

if TYPE_CHECKING:
    from trailhouse.query import AlteredEvent

EVENT_COLUMNS = ("#", "time", "type", "run", "what", "content")
_NUMBERS = frozenset({"#", "events", "runs"})
_NARROWEST = {"run": 12, "what": 12, "type": 16}
"""Columns that give way to the last one on a narrow terminal, in this order, and down to what."""
_LAST_COLUMN_CELLS = 24
_DROPPED_FIRST = "run"
_GAP = "  "


def event_rows(events: Sequence["AuditEvent | AlteredEvent"]) -> list[tuple[str, ...]]:
    """Return one row an event, numbered from 1; one that was altered says so in the place of its content."""
    return [
        (str(number), *(_cells(each) if isinstance(each, AuditEvent) else _marked(each)))
        for number, each in enumerate(events, 1)
    ]


def _cells(event: AuditEvent) -> tuple[str, ...]:
    return (
        rfc3339(event.occurred_at),
        event.type,
        event.run_id or "",
        subject(event),
        content(event),
    )


def _marked(altered: "AlteredEvent") -> tuple[str, ...]:
    return "", altered.type, "", "ALTERED", f"event {altered.event_id}: {altered.reason}"


def print_table(console: Console, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print *rows*, one line each, with nothing in them that could steer the terminal.

    On a terminal the lines are cut to its width. Elsewhere every cell is complete.
    """
    safe_rows = [tuple(printable(cell) for cell in row) for row in rows]
    width = console.width if console.is_terminal else None
    header, *lines = table_lines(columns, safe_rows, width)
    console.print(Text(header, style="bold"), soft_wrap=True)
    for line in lines:
        console.print(Text(line), soft_wrap=True)


def table_lines(
    columns: Sequence[str], rows: Sequence[Sequence[str]], width: int | None
) -> list[str]:
    """Return the header and one line a row, columns aligned, at most *width* cells where possible."""
    everything = [tuple(columns), *rows]
    widths = {
        name: max(cell_len(row[index]) for row in everything) for index, name in enumerate(columns)
    }
    chosen = widths if width is None else fitted_widths(widths, width)
    return [_line(columns, row, chosen) for row in everything]


def fitted_widths(widths: Mapping[str, int], width: int) -> dict[str, int]:
    """Narrow the columns until they fit into *width* cells; a column may have to go altogether."""
    fitted = dict(widths)
    last = list(widths)[-1]
    wanted = min(widths[last], _LAST_COLUMN_CELLS)
    for name, narrowest in _NARROWEST.items():
        if name in fitted and name != last and (excess := wanted - _room(fitted, last, width)) > 0:
            fitted[name] = max(min(narrowest, fitted[name]), fitted[name] - excess)
    if _DROPPED_FIRST in fitted and _room(fitted, last, width) < wanted:
        del fitted[_DROPPED_FIRST]
    fitted[last] = max(1, min(fitted[last], _room(fitted, last, width)))
    return fitted


def _room(widths: Mapping[str, int], last: str, width: int) -> int:
    return width - sum(cells + len(_GAP) for name, cells in widths.items() if name != last)


def _line(columns: Sequence[str], row: Sequence[str], widths: Mapping[str, int]) -> str:
    cells = [
        _cell(name, text, widths[name])
        for name, text in zip(columns, row, strict=True)
        if name in widths
    ]
    return _GAP.join(cells).rstrip()


def _cell(name: str, text: str, width: int) -> str:
    if cell_len(text) > width:
        return set_cell_size(text, width - 1) + "…"
    padding = " " * (width - cell_len(text))
    return padding + text if name in _NUMBERS else text + padding
