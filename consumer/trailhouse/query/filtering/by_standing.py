"""Events chosen by their standing, as SQL: which events count, whoever writes others beside them. Pure."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from trailhouse.proof.standing import Standing
from trailhouse.query.filtering.search_filter import Condition, SearchFilter

STANDING = "standing"
Bound = Callable[[object, str], str]


def standing_sql(values: Sequence[object], bound: Bound, *, within: str) -> str:
    """Return the condition that holds the events whose standing is one of *values*.

    What is attested stands in rows of its own, and its key alone tells a record from every other. Any other standing is
    worked out from all events: such a question costs what reading them costs.

    Args:
        values: The standings that are wanted.
        bound: Binds a value and returns its name.
        within: What is known of the events, as a condition on time: rows of other times are not looked at.
    """
    if not values:
        return "true"  # `has`: every event has one
    source = "standings" if set(values) == {Standing.ATTESTED} else "events_with_standing"
    wanted = bound([str(value) for value in values], "Array(String)")
    return (
        f"record_key IN (SELECT record_key FROM {source}"  # noqa: S608 - names of ours
        f" WHERE standing IN {wanted} AND {within or 'true'})"
    )


def without_standing(wanted: SearchFilter) -> tuple[SearchFilter, tuple[Condition, ...]]:
    """Return *wanted* without its conditions on the standing, and those: they say which events are looked at at all."""
    chosen = tuple(each for each in wanted.conditions if each.field == STANDING)
    if not chosen:
        return wanted, ()
    rest = tuple(each for each in wanted.conditions if each.field != STANDING)
    return msgspec.structs.replace(wanted, conditions=rest), chosen


def chosen_sql(
    chosen: Sequence[Condition], *, within: str, prefix: str
) -> tuple[str, dict[str, Any]]:
    """Return the condition that *chosen*, all of them on the standing, makes, and the values that it names."""
    values: dict[str, Any] = {}

    def bound(value: object, kind: str) -> str:
        name = f"{prefix}{len(values)}"
        values[name] = value
        return f"{{{name}:{kind}}}"

    parts = [
        f"{'NOT ' if each.negated else ''}{standing_sql(each.values, bound, within=within)}"
        for each in chosen
    ]
    return " AND ".join(parts) or "true", values


def counted_sql(wanted: SearchFilter, sessions: str) -> tuple[str, dict[str, Any]]:
    """Return the condition on events that *wanted* asks of their standing, where *sessions* holds all that are read."""
    within = f"occurred_us IN (SELECT occurred_us FROM events_by_time_as_stored WHERE {sessions})"  # noqa: S608 - as above
    return chosen_sql(without_standing(wanted)[1], within=within, prefix="counted_")
