"""Rows as lines of text: fitted to a terminal, or complete for a file or a pipe."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from trailhouse.cli.output.console import tell
from trailhouse.cli.output.event_summary import content, subject
from trailhouse.cli.output.printable import printable
from trailhouse.schemas.event import AuditEvent
from trailhouse.schemas.json_form import rfc3339

if TYPE_CHECKING:
    from trailhouse.query import AlteredEvent

_STYLES = {
    **dict.fromkeys(
        ("ALTERED", "DISPUTED", "UNGRANTED", "UNASKED", "failed", "timeout", "denied"), "red"
    ),
    **dict.fromkeys(
        ("UNATTESTED", "PENDING", "running", "open", "abandoned", "cancelled", "TOO LARGE"),
        "yellow",
    ),
}

EVENT_COLUMNS = ("#", "time", "type", "run", "what", "content")
_NUMBERS = frozenset((
    "#", "events", "runs", "bytes", "pid", "partition", "checked", "gaps", "failed", "tools", "took", "after", "input",
    "output", "increments", "totals", "unpriced", "turn", "tokens", "cost", "count",
))  # fmt: skip
_TIMES = frozenset({"time", "appended", "started", "last"})
_BY_THEIR_END = frozenset({
    *("run", "session", "spool", "topic", "brokers", "service", "group", "call", "type", "by"),
})  # fmt: skip
"""Shortened in the middle: the start of an id, or of a type, is often the same, and its end tells."""

_STEPS = (
    ("content", 24), ("error", 24), ("reason", 24), ("time", 20), ("appended", 20), ("started", 20), ("last", 20),
    ("step", 40), ("run", 12), ("session", 24), ("agents", 16), ("agent", 12), ("call", 12), ("last", 14),
    ("brokers", 21), ("topic", 16), ("what", 24), ("type", 20), ("service", 12), ("content", 12), ("time", 14),
    ("appended", 14), ("started", 14), ("step", 24), ("error", 12), ("tool", 12), ("spool", 13), ("session", 12),
    ("run", 9), ("type", 14), ("what", 12), ("reason", 14), ("topic", 9), ("brokers", 13), ("service", 6),
)  # fmt: skip
"""Which column gives way on a narrow terminal, and down to how many cells, one step after the other."""

_LEFT_OUT = (
    *("turn", "tokens", "last", "tools", "events", "agents", "call", "input", "output", "totals", "agent"),
    *("run", "reason", "after", "content", "#", "brokers", "service", "pid", "elsewhere", "checked", "log"),
)  # fmt: skip
"""What is left out, and said to be, where all that does not help: time, type and what stay."""

_WHOLE = ("event",)
"""What is of use only to the last character, and is left out before it would be cut."""

_OTHERS = (40, 24, 16)
"""Down to how many cells the rest gives way, from the right, before a column is left out."""

_NARROWEST = 4
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

    On a terminal the lines are cut to its width, and a column that has no room is named on standard
    error. Elsewhere every cell is complete.
    """
    # Before widths are measured: an escape is wider than the character it stands for.
    safe_rows = [tuple(printable(cell) for cell in row) for row in rows]
    # A file or a pipe gets every cell whole: programs read it, and a width would be a guess.
    width = console.width if console.is_terminal else None
    header, *lines = table_lines(columns, safe_rows, width)
    console.print(Text(header, style="bold"), soft_wrap=True)
    for row, line in zip(safe_rows, lines, strict=True):
        # Only a terminal gets colours: rich knows whether it is one.
        console.print(Text(line, style=_style(row)), soft_wrap=True)
    if width is not None and (left_out := _left_out(columns, safe_rows, width)):
        tell(
            f"no room for {', '.join(left_out)}: take a wider terminal, or write to a file or a pipe"
        )


def _style(row: Sequence[str]) -> str:
    """Return the colour of a row in which a cell is such a word; a text that only holds it colours nothing."""
    return next((style for word, style in _STYLES.items() if word in row), "")


def table_lines(
    columns: Sequence[str], rows: Sequence[Sequence[str]], width: int | None
) -> list[str]:
    """Return the header and one line a row, columns aligned, none wider than *width* cells."""
    chosen = _natural_widths(columns, rows) if width is None else _fitted(columns, rows, width)
    lines = [_line(columns, row, chosen) for row in (tuple(columns), *rows)]
    return lines if width is None else [_cut_end(line, width) for line in lines]


def _natural_widths(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> dict[str, int]:
    everything = [tuple(columns), *rows]
    return {
        name: max(cell_len(row[index]) for row in everything) for index, name in enumerate(columns)
    }


def _left_out(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    fitted = _fitted(columns, rows, width)
    return [
        name
        for index, name in enumerate(columns)
        if name not in fitted and not _is_empty(rows, index)
    ]


def _fitted(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> dict[str, int]:
    """Return how wide each column is; where not all fit, those that say nothing on this page go first."""
    widths = _natural_widths(columns, rows)
    for index, name in enumerate(columns):
        if _excess(widths, width) > 0 and len(widths) > 1 and _is_empty(rows, index):
            del widths[name]
    return fitted_widths(widths, width)


def _is_empty(rows: Sequence[Sequence[str]], index: int) -> bool:
    return not any(row[index] for row in rows)


def fitted_widths(widths: Mapping[str, int], width: int) -> dict[str, int]:
    """Narrow the columns until they fit into *width* cells; as a last resort some are left out."""
    fitted = dict(widths)
    for name, narrowest in _STEPS:
        _narrow(fitted, name, narrowest, width)
    for name in _WHOLE:
        if _excess(fitted, width) > 0 and name in fitted and len(fitted) > 1:
            del fitted[name]
    for narrowest in _OTHERS:
        for name in reversed(fitted):
            _narrow(fitted, name, narrowest, width)
    for name in _LEFT_OUT:
        # The last column stays, whatever it is: a line without anything says less than one that is cut.
        if _excess(fitted, width) > 0 and name in fitted and len(fitted) > 1:
            del fitted[name]
    # From the right: what stands to the left tells which line it is.
    for name in reversed(fitted):
        _narrow(fitted, name, _NARROWEST, width)
    _widen(fitted, widths, width)
    return fitted


def _narrow(fitted: dict[str, int], name: str, narrowest: int, width: int) -> None:
    if name in fitted and (excess := _excess(fitted, width)) > 0:
        fitted[name] = max(min(narrowest, fitted[name]), fitted[name] - excess)


def _widen(fitted: dict[str, int], widths: Mapping[str, int], width: int) -> None:
    """Give what is left to the last column: what was said reads on."""
    last = next(reversed(fitted))
    fitted[last] += max(0, min(widths[last] - fitted[last], -_excess(fitted, width)))


def _excess(widths: Mapping[str, int], width: int) -> int:
    return sum(widths.values()) + len(_GAP) * (len(widths) - 1) - width


def _line(columns: Sequence[str], row: Sequence[str], widths: Mapping[str, int]) -> str:
    cells = [
        _cell(name, text, widths[name])
        for name, text in zip(columns, row, strict=True)
        if name in widths
    ]
    return _GAP.join(cells).rstrip()


def _cell(name: str, text: str, width: int) -> str:
    if cell_len(text) > width:
        cut = _cut_time if name in _TIMES else _cut_middle if name in _BY_THEIR_END else _cut_end
        text = cut(text, width)
    padding = " " * (width - cell_len(text))
    return padding + text if name in _NUMBERS else text + padding


def _cut_end(text: str, width: int) -> str:
    return text if cell_len(text) <= width else set_cell_size(text, width - 1) + "…"


def _cut_middle(text: str, width: int) -> str:
    """Keep both ends of an id."""
    end = (width - 1) // 2
    tail = text[len(text) - end :] if end else ""
    # A character may take two cells.
    while cell_len(tail) > end:
        tail = tail[1:]
    return set_cell_size(text, width - 1 - cell_len(tail)) + "…" + tail


def _cut_time(text: str, width: int) -> str:
    """Leave out the fraction of an RFC 3339 time, then the year, then the day."""
    seconds = text[:19]
    if width >= len("2026-01-31T08:00:00Z"):
        return f"{seconds}Z"
    if width >= len("01-31 08:00:00"):
        return seconds[5:].replace("T", " ")
    return seconds[11:][:width]
