"""Find the rows that contradict their own record, over all sessions and without Kafka.

ClickHouse hashes every record and reads it as JSON; the few rows that it suspects come here and are
derived again by the worker's own code, which decides. What is established of each row:

1. `record_key` is the first half of the SHA-256 of `record`.
2. `record` is an event, and every column that follows from it says what it says.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from trailhouse.operate.reconcile.derived_columns import (
    DERIVED_COLUMNS,
    Contradiction,
    Found,
    derived,
    differences,
    mend,
)
from trailhouse.store.clickhouse import ClickHouse

ROWS_PER_SLICE = 1_000_000
BYTES_PER_SLICE = 134_217_728
SLICE_TIMEOUT_SECONDS = 600.0
"""For a store that is asked by slices: a session is never cut, and may be all there is."""
MAX_SLICES = 10_000
DOUBTED_PER_QUERY = 100
"""A record may be of a megabyte: so many are in memory at a time."""
MAX_COPIES = 8
MAX_RECORD_BYTES = 16_777_216

_USAGE = (
    "model String, tool_name String, tool_call_id String, error_code String, input_tokens Nullable(UInt64),"
    " output_tokens Nullable(UInt64), total_tokens Nullable(UInt64), cost_usd Nullable(Float64),"
    " duration_ms Nullable(Float64)"
)
_SAID = (
    "JSONExtract(record, 'Tuple(session_id String, tenant_id String, event_id String, type String, run_id String,"
    " parent_run_id String, agent_id String, occurred_at String, provider String, correlation_id String,"
    " trace_id String,"
    " schema_version UInt64, actor Tuple(type String, id String),"
    " source Tuple(producer_id String, seq Nullable(UInt64)),"
    f" data Tuple({_USAGE}, token_usage Tuple({_USAGE})))')"
)


def _text(name: str) -> str:
    return f"{name} != if(said.data.{name} != '', said.data.{name}, said.data.token_usage.{name})"


def _number(name: str) -> str:
    true = f"coalesce(said.data.{name}, said.data.token_usage.{name})"
    return f"(isNull({name}) != isNull({true})) + ifNull(abs(toFloat64({name}) - {true}) > 1e-12 * abs({true}), false)"


def _whole(name: str) -> str:
    return f"{name} IS DISTINCT FROM coalesce(said.data.{name}, said.data.token_usage.{name})"


# Where ClickHouse reads JSON otherwise than we do it suspects a row too many; the row is looked at here.
# Added up and not joined by OR: that is evaluated lazily, which copies what was read of the JSON again and
# again and makes it 15 times slower.
_DOUBTS = " + ".join(f"({doubt})" for doubt in (
    "is_altered",
    *(f"{name} != said.{name}" for name in (
        "session_id", "tenant_id", "type", "run_id", "parent_run_id", "agent_id", "provider", "correlation_id",
        "trace_id",
    )),
    "toString(event_id) != lower(said.event_id)",
    "occurred_us IS DISTINCT FROM toUnixTimestamp64Micro(parseDateTime64BestEffortOrNull(said.occurred_at, 6, 'UTC'))",
    "schema_version != said.schema_version",
    "actor_type != said.actor.type", "actor_id != said.actor.id",
    "producer_id != said.source.producer_id", "seq IS DISTINCT FROM said.source.seq",
    *map(_text, ("model", "tool_name", "tool_call_id", "error_code")),
    *map(_whole, ("input_tokens", "output_tokens", "total_tokens")),
    *map(_number, ("cost_usd", "duration_ms")),
))  # fmt: skip
_IS_ALTERED = "record_key != toFixedString(substring(SHA256(record), 1, 16), 16)"
_KEY = "session_id, tenant_id, occurred_us, event_id, record_key"
# In hexadecimal: a forged text need not be UTF-8, and must lead on to the next page all the same.
_PAGE = ("hex(session_id)", "hex(tenant_id)", "occurred_us", "toString(event_id)", "hex(record_key)")  # fmt: skip
_AFTER = (
    "(unhex({after_session:String}), unhex({after_tenant:String}), {after_us:Int64}, {after_event:UUID},"
    " toFixedString(unhex({after_hash:String}), 16))"
)


class HashCheck(msgspec.Struct, frozen=True, kw_only=True):
    """What was found in the table; every row is in order unless `contradictions` are."""

    rows: int
    contradictions: int
    named: tuple[Contradiction, ...]


class _Suspect(NamedTuple):
    """A row that ClickHouse suspects: its place, its record where it is worth a look, its columns."""

    partition: int
    offset: int
    is_altered: bool
    is_large: bool
    record: bytes
    columns: tuple[Any, ...]


def check_hashes(
    storage: ClickHouse, report: Callable[[str], None] = lambda step: None
) -> HashCheck:
    """Look at every row of `event_log`, merged or not; nothing is changed, and Kafka is not asked.

    A row that is written meanwhile may be looked at or not. ClickHouse reads every record once.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    rows, size_bytes = storage.query("SELECT count(), sum(length(record)) FROM event_log").rows[0]
    slices = _slices(storage, max(rows // ROWS_PER_SLICE, size_bytes // BYTES_PER_SLICE))
    found = Found()
    for number, (first, until) in enumerate(slices, 1):
        report(f"hashing the records of {rows} rows: part {number} of {len(slices)}")
        for suspect in _suspects(storage, first, until):
            if (contradiction := _judged(suspect)) is not None:
                found.add(contradiction)
    return HashCheck(rows=rows, contradictions=found.count, named=tuple(found.named))


def _slices(storage: ClickHouse, wanted: int) -> list[tuple[str, str | None]]:
    """Return ranges of sessions, in hexadecimal, about *wanted* of them, that hold about as many rows each."""
    count = min(wanted, MAX_SLICES)
    borders: list[str] = []
    if count:
        sql = f"SELECT arraySort(arrayDistinct(groupArraySample({count:d}, 1)(hex(session_id)))) FROM event_log"  # noqa: S608 - a number
        borders = list(storage.query(sql).rows[0][0])
    return list(zip(["", *borders], [*borders, None], strict=True))


def _suspects(storage: ClickHouse, first: str, until: str | None) -> Iterator[_Suspect]:
    """Yield the suspect rows of the sessions from *first* to below *until*, some at a time."""
    end = "" if until is None else "AND session_id < unhex({until:String})"
    values: dict[str, Any] = {"first": first} | ({} if until is None else {"until": until})
    after: Sequence[Any] | None = None
    while True:
        beyond = "" if after is None else f"AND ({_KEY}) > {_AFTER}"
        rows = storage.query(
            f"""
            SELECT kafka_partition, kafka_offset, is_altered, length(record) > {MAX_RECORD_BYTES} AS is_large,
                if(is_altered OR is_large, '', record) AS shown, {", ".join(DERIVED_COLUMNS)}, {", ".join(_PAGE)}
            FROM (
                SELECT *, {_IS_ALTERED} AS is_altered, {_SAID} AS said
                FROM event_log
                WHERE session_id >= unhex({{first:String}}) {end} {beyond} AND ({_DOUBTS}) > 0
                LIMIT {MAX_COPIES} BY {_KEY}
            )
            ORDER BY {_KEY} LIMIT {DOUBTED_PER_QUERY} WITH TIES
            """,  # noqa: S608 - names of ours; every value is a bound parameter
            values,
            bytes_columns=("shown",),
        ).rows
        width = len(rows[0]) - len(_PAGE) if rows else 0
        for partition, offset, is_altered, is_large, record, *rest in (row[:width] for row in rows):
            yield _Suspect(partition, offset, bool(is_altered), bool(is_large), record, tuple(rest))
        if len(rows) < DOUBTED_PER_QUERY:
            return
        after = rows[-1][width:]
        names = ("after_session", "after_tenant", "after_us", "after_event", "after_hash")
        values |= dict(zip(names, after, strict=True))
        values["first"] = after[0]


def _judged(suspect: _Suspect) -> Contradiction | None:
    if suspect.is_altered:
        return _contradiction(suspect, "altered", (), "its record contradicts its hash")
    if suspect.is_large:
        return _contradiction(suspect, "forged", (), "its record is larger than any event")
    [expected] = derived([suspect.record])
    if expected is None:
        return _contradiction(suspect, "forged", (), "its record is not an event")
    if not (names := differences(suspect.columns, expected)):
        return None
    why = f"its record contradicts {', '.join(names)}"
    return _contradiction(suspect, "forged", names, why)


def _contradiction(
    suspect: _Suspect, kind: Any, columns: tuple[str, ...], why: str
) -> Contradiction:
    claims = dict(zip(DERIVED_COLUMNS, suspect.columns, strict=True))
    return Contradiction(
        kind=kind,
        partition=suspect.partition,
        first_offset=suspect.offset,
        last_offset=suspect.offset,
        session_id=claims["session_id"],
        event_id=claims["event_id"],
        columns=columns,
        why=why,
        way_out=mend(suspect.partition, suspect.offset, is_row=True),
    )
