"""What to say when `trailhouse log` finds nothing: what was wrong with the question, and what there is."""

import datetime as dt
import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from trailhouse.cli.output.printable import counted
from trailhouse.schemas.json_form import rfc3339

if TYPE_CHECKING:
    from trailhouse.query import SessionOutline

SHOWN_TYPES = 12


class Asked(NamedTuple):
    """The filters of a question about one session."""

    run_id: str | None
    types: tuple[str, ...]
    since: dt.datetime | None
    until: dt.datetime | None


def explanation(
    session_id: str, tenant: str | None, asked: Asked, outline: "SessionOutline"
) -> list[str]:
    """Return lines that say what the session holds and what may have been meant.

    A question for one tenant is answered from that tenant's events alone: whether others have a
    session of this name is not told.
    """
    whose = "" if tenant is None else f" for tenant {tenant!r}"
    # A reader of one tenant is not told whether another has such a session.
    if not outline.events:
        return [
            f"no events for session {session_id!r}{whose}",
            "if it was logged just now, `trailhouse status` says how far the worker is; `trailhouse sessions`"
            " lists the last ones",
        ]
    lines = [
        f"session {session_id!r} has {counted(outline.events, 'event')}{whose}, none {_wanted(asked)}"
    ]
    if asked.types:
        lines += _about_types(asked.types, outline)
    if asked.run_id is not None and asked.run_id not in outline.runs:
        lines += _about_runs(asked.run_id, outline)
    if outline.first_occurred_at is not None and outline.last_occurred_at is not None:
        span = (rfc3339(outline.first_occurred_at), rfc3339(outline.last_occurred_at))
        if asked.since is not None or asked.until is not None:
            lines.append(f"its events occurred from {span[0]} to {span[1]}")
    return lines


def _wanted(asked: Asked) -> str:
    parts = []
    if asked.types:
        parts.append(f"of type {' or '.join(asked.types)}")
    if asked.run_id is not None:
        parts.append(f"of run {asked.run_id!r}")
    if asked.since is not None:
        parts.append(f"since {rfc3339(asked.since.astimezone(dt.UTC))}")
    if asked.until is not None:
        parts.append(f"until {rfc3339(asked.until.astimezone(dt.UTC))}")
    return " and ".join(parts)


def _about_types(asked: Iterable[str], outline: "SessionOutline") -> list[str]:
    there = list(outline.by_type)
    shown = ", ".join(f"{name} ({outline.by_type[name]})" for name in there[:SHOWN_TYPES])
    more = f" and {len(there) - SHOWN_TYPES} more" if len(there) > SHOWN_TYPES else ""
    # A type that is there, and matched nothing in the time that was asked for, is no slip.
    missing = [name for name in asked if name not in outline.by_type]
    return [f"types there: {shown}{more}", *_meant(missing, there)]


def _about_runs(run_id: str, outline: "SessionOutline") -> list[str]:
    if not outline.runs:
        return ["its events name no run"]
    more = outline.runs_total - len(outline.runs)
    shown = ", ".join(outline.runs) + (f" and {more} more" if more > 0 else "")
    return [f"runs there: {shown}", *_meant([run_id], outline.runs)]


def _meant(asked: Iterable[str], there: Iterable[str]) -> list[str]:
    found = [close[0] for name in asked if (close := difflib.get_close_matches(name, there, 1))]
    return [f"did you mean {' or '.join(found)}?"] if found else []
