"""What a row must say, by its record alone, and in which columns one says something else. Pure.

The columns are derived by the very code with which the worker makes them, so that both cannot differ.
"""

import uuid
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from trailhouse.consumer.batch.rows import EVENT_COLUMNS, Coordinates, envelope_of, event_columns
from trailhouse.schemas.codec import decode_all, parts_of
from trailhouse.schemas.errors import InvalidEventError

MAX_NAMED = 1_000
"""So many contradictions are named one by one; the rest are counted."""

Kind = Literal["altered", "forged", "planted", "absent", "ledger"]
"""``altered``: a record contradicts its hash. ``forged``: columns contradict their record, or Kafka.
``planted``: a row that Kafka contradicts. ``absent``: Kafka's record is in no table, whatever stands
at its offset. ``ledger``: a batch of the ledger that Kafka's records contradict."""

DERIVED_COLUMNS = tuple(
    name
    for name in EVENT_COLUMNS
    if name not in {"record", "record_key", "kafka_partition", "kafka_offset", "appended_at"}
)
"""The columns that follow from a record's bytes alone; `record_key` is compared by itself."""

_EVENT_ID = DERIVED_COLUMNS.index("event_id")


class Contradiction(msgspec.Struct, frozen=True, kw_only=True):
    """One row, record or batch that is not what Kafka, or its own record, says.

    Attributes:
        kind: What contradicts what.
        partition: The partition that it stands in, or claims to.
        first_offset: Its offset, or the first of a batch.
        last_offset: The same, or the last of a batch.
        session_id: The session that the row claims, or that Kafka's record names; empty for a batch.
        event_id: The event, likewise.
        columns: The columns that are not as they should be; never their values.
        why: What was found.
        way_out: What mends it.
    """

    kind: Kind
    partition: int
    first_offset: int
    last_offset: int
    session_id: str = ""
    event_id: str = ""
    columns: tuple[str, ...] = ()
    why: str
    way_out: str


class Found:
    """Contradictions as they are found: the first of them by name, all of them by number."""

    def __init__(self) -> None:
        self.named: list[Contradiction] = []
        self.count = 0

    def add(self, found: Contradiction) -> None:
        """Take one in."""
        self.count += 1
        if len(self.named) < MAX_NAMED:
            self.named.append(found)


def derived(records: Sequence[bytes]) -> list[tuple[Any, ...] | None]:
    """Return the values of DERIVED_COLUMNS for each of *records*; None for one that is not an event."""
    rows: list[tuple[Any, ...] | None] = []
    for part in parts_of(records):
        some = list(records[part])
        envelopes = decode_all(some)
        if envelopes is None:
            rows += [_derived_one(record) for record in some]
        else:
            rows += _rows(envelopes, some)
    return rows


def differences(row: Sequence[Any], expected: Sequence[Any]) -> tuple[str, ...]:
    """Return those of DERIVED_COLUMNS in which a stored row is not what its record says."""
    if tuple(row) == tuple(expected):
        return ()
    return tuple(
        name
        for place, name in enumerate(DERIVED_COLUMNS)
        if row[place] != expected[place]
        and not (place == _EVENT_ID and uuid.UUID(row[place]) == uuid.UUID(expected[place]))
    )


def _derived_one(record: bytes) -> tuple[Any, ...] | None:
    try:
        return _rows([envelope_of(record)], [record])[0]
    except InvalidEventError:
        return None


def _rows(envelopes: Sequence[Any], records: list[bytes]) -> list[tuple[Any, ...]]:
    blanks = [b""] * len(records)
    nowhere = [0] * len(records)
    columns = event_columns(envelopes, records, blanks, Coordinates(nowhere, nowhere, nowhere))
    chosen = [
        values for name, values in zip(EVENT_COLUMNS, columns, strict=True) if name in _DERIVED
    ]
    return list(zip(*chosen, strict=True))


_DERIVED = frozenset(DERIVED_COLUMNS)


def mend(partition: int, offset: int, *, is_row: bool) -> str:
    """Return how a contradiction at this offset is mended: a false row hides what a replay stores."""
    replay = f"trailhouse replay --from {partition}:{offset} --to {partition}:{offset}"
    return f"delete the row as docs/guarantees.md says, then {replay}" if is_row else replay
