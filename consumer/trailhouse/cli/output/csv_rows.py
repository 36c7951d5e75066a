"""Events as CSV, for a spreadsheet: a cell is never a formula, and never steers a terminal."""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator
from decimal import Decimal

from trailhouse.cli.output.printable import printable
from trailhouse.query.export.formats import FORMULA
from trailhouse.schemas.event import AuditEvent
from trailhouse.schemas.json_form import rfc3339

COLUMNS = (
    *("event_id", "occurred_at", "type", "session_id", "run_id", "agent_id", "tenant_id", "actor_type", "actor_id"),
    "data",
)  # fmt: skip
_is_formula = re.compile(FORMULA).match


def csv_lines(events: Iterable[AuditEvent]) -> Iterator[str]:
    """Yield the header and a line an event; the exact record is what the other formats are for."""
    yield csv_line(COLUMNS)
    for event in events:
        actor = event.actor
        yield csv_line((
            event.event_id, rfc3339(event.occurred_at), event.type, event.session_id, event.run_id or "",
            event.agent_id or "", event.tenant_id or "", actor.type if actor else "", actor.id if actor else "",
            json.dumps(event.data),
        ))  # fmt: skip


def csv_line(cells: Iterable[str | float | Decimal]) -> str:
    """Return one line of CSV whose cells no spreadsheet runs."""
    written = io.StringIO()
    csv.writer(written, lineterminator="").writerow([_cell(cell) for cell in cells])
    return written.getvalue()


def _cell(cell: str | float | Decimal) -> str:
    if isinstance(cell, Decimal):
        return format(cell, "f")
    return _harmless(cell) if isinstance(cell, str) else str(cell)


def _harmless(cell: str) -> str:
    """Return *cell* on one line, so that a spreadsheet shows it: what begins like a formula gets an apostrophe."""
    # First this: a tab or a return before the sign would be skipped by a spreadsheet, and is an escape now.
    shown = printable(cell)
    return f"'{shown}" if _is_formula(shown) else shown
