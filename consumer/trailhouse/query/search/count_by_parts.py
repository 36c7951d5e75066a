"""Count all events of the index, each once, by what its parts say of their times: only what may have copies is read."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trailhouse.query.search.part_times import Part, PartTimes, part_times

MOST_SHARED_ROWS = 1_000_000
"""To tell more rows apart by their keys than this takes as long as to merge all."""
_ATTEMPTS = 2
_PARTS = """
    SELECT stored_part, count(), min(occurred_us), max(occurred_us) FROM events_by_time_as_stored GROUP BY stored_part
"""
"""ClickHouse answers it from what it remembers of each part, without reading a row."""

Ask = Callable[[str, Mapping[str, Any]], Sequence[tuple[Any, ...]]]
"""Returns the rows of a statement and its values."""


def count_by_parts(ask: Ask) -> int | None:
    """Return how many events the index has, each once; None where too much of it may have copies.

    Of the times that one merged part alone holds, every row is an event. The rest is told apart by keys, and of the
    merged parts as many rows are taken off as lie there. A part never changes: if those are still there when their rows
    have been counted, it does not matter what was stored or merged meanwhile.

    Raises:
        StorageError: As by *ask*.
    """
    now = _parts(ask)
    for _ in range(_ATTEMPTS):
        known = part_times(now)
        if not known.shared:
            return known.merged_rows
        if known.shared_rows > MOST_SHARED_ROWS:
            return None
        rows, events, of_merged = _shared(ask, known)
        if rows > MOST_SHARED_ROWS:
            return None
        now = _parts(ask)
        if known.merged <= {part.name for part in now}:
            return known.merged_rows - of_merged + events
    return None


def _parts(ask: Ask) -> list[Part]:
    return [Part(*row) for row in ask(_PARTS, {})]


def _shared(ask: Ask, known: PartTimes) -> tuple[int, int, int]:
    """Return how many rows lie in the shared times, how many events they are, and how many rows are of merged parts."""
    values: dict[str, Any] = {"merged": sorted(known.merged)}
    times: list[str] = []
    for number, (first, last) in enumerate(known.shared):
        values |= {f"first{number}": first, f"last{number}": last}
        times.append(f"occurred_us BETWEEN {{first{number}:Int64}} AND {{last{number}:Int64}}")
    found = ask(
        "SELECT count(), uniqExact(reinterpretAsUInt128(record_key)), countIf(stored_part IN {merged:Array(String)})"  # noqa: S608 - no value in it
        f" FROM (SELECT record_key, stored_part FROM events_by_time_as_stored WHERE {' OR '.join(times)}"
        f" LIMIT {MOST_SHARED_ROWS + 1})",
        values,
    )
    [(rows, events, of_merged)] = found
    return rows, events, of_merged
