"""SQL of a reader's own: one SELECT on our views, guarded, read-only, and within a budget."""

import re
from typing import Any

import msgspec

from trailhouse.query.answer import LeftOut
from trailhouse.query.budget import Meter, ReadBudget
from trailhouse.query.filtering.filters import whole_number
from trailhouse.query.sql.guard import GuardedStatement, guard
from trailhouse.schemas.errors import QueryError, StorageError, StorageLimitError
from trailhouse.store import ClickHouse
from trailhouse.store.errors import LIMIT_CODES, OVERLOAD_CODES

MAX_ROWS = 10_000
SHOWN_ROWS = 1_000
MAX_RESULT_BYTES = 64 * 2**20
MAX_MEMORY_BYTES = 2**31


class SqlAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a statement of a reader's found.

    Attributes:
        columns: Their names, in order; two may be the same.
        rows: One tuple a row: text, numbers (Decimals exact), aware times, lists, or None.
        complete: Whether these are all rows.
        left_out: What is missing, and the way to it; empty exactly when `complete`.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    complete: bool = True
    left_out: tuple[LeftOut, ...] = ()


def read_sql(
    clickhouse: ClickHouse,
    guarded: GuardedStatement,
    limit: int,
    budget: ReadBudget,
    *,
    is_bound: bool,
) -> SqlAnswer:
    """Return what *guarded* finds, *limit* rows of it at most.

    Raises:
        QueryError: ClickHouse cannot make sense of the statement: a column that is not there, types that do not
            fit. Permanent.
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    settings = Meter(budget).settings() | settings_of(limit, is_bound=is_bound)
    try:
        found = clickhouse.query(guarded.sql, guarded.parameters, settings=settings)
    except StorageLimitError:
        why = "the statement meets a limit of time, memory or bytes: narrow it by session_id or occurred_at"
        return SqlAnswer(
            columns=(), rows=(), complete=False, left_out=(LeftOut(what="every row", why=why),)
        )
    except StorageError as error:
        if (mistake := _mistake(error)) is not None:
            raise mistake from error
        raise
    rows = tuple(tuple(map(_readable, row)) for row in found.rows[:limit])
    if len(found.rows) <= limit:
        return SqlAnswer(columns=found.names, rows=rows)
    why = f"at most {limit:,} rows were asked for; ask for more, or narrow the statement"
    return SqlAnswer(
        columns=found.names,
        rows=rows,
        complete=False,
        left_out=(LeftOut(what="further rows", why=why),),
    )


def _readable(value: Any) -> Any:
    """Return *value*, a hash as its hexadecimal digits."""
    return value.hex() if isinstance(value, bytes) else value


def settings_of(limit: int, *, is_bound: bool) -> dict[str, str]:
    """Return what bounds a statement, whatever is in it."""
    return {
        "readonly": "2",  # no more than a SELECT, even for a user who may do more; 1 would forbid the next ones
        "limit": str(limit + 1),
        "max_result_bytes": str(MAX_RESULT_BYTES),
        "result_overflow_mode": "throw",  # `break` would leave rows out and not say so
        "max_memory_usage": str(MAX_MEMORY_BYTES),
        # The LIMIT that shields rows of others is shown to hold for this planner alone, and a profile may name another.
        "enable_analyzer": "1",
        # An amount that is too large would tell a reader of rows that are not his.
        **({"decimal_check_overflow": "0"} if is_bound else {}),
    }


_NO_MISTAKES = frozenset({
    *LIMIT_CODES, *OVERLOAD_CODES,
    3, 23, 24, 32, 33, 74, 75, 76, 88, 107, 228, 243, 271, 499, 586, 650,  # its disks and files
    95, 96, 198, 203, 209, 210, 216, 279, 373, 425,  # its network, and connections
    173, 201, 236, 394, 439, 473, 735, 1000, 1001, 1002,  # memory, quotas, threads; given up from outside
    218, 225, 242, 244, 254, 319, 722, 999,  # tables on their way, and Keeper
    57, 60, 81, 115, 164, 192, 193, 194, 452, 497, 516,  # tables, settings and rights
})  # fmt: skip
"""Codes that mean the server, or its user. Whatever else ClickHouse says is about the statement, now and later."""
_UNKNOWN = re.compile(r"[Uu]nknown expression(?: or function)? identifier [`']([\w.]{1,200})[`']")


def _mistake(error: StorageError) -> QueryError | None:
    """Return what was wrong in the statement: never ClickHouse's own text, which quotes values of rows."""
    code = _code(error)
    if not code or code in _NO_MISTAKES:
        return None
    if found := _UNKNOWN.search(str(error.__cause__)):
        return QueryError(
            f"sql: there is no column {found[1]}; the view's first row shows which there are"
        )
    name = getattr(error.__cause__, "name", None) or "error"
    return QueryError(f"sql: ClickHouse cannot run it: {name} ({code})")


def _code(error: StorageError) -> int:
    code = getattr(error.__cause__, "code", None)
    return code if isinstance(code, int) else 0


def prepared(statement: object, limit: object, tenant_id: str | None) -> GuardedStatement:
    """Return what would be sent for *statement*.

    Raises:
        QueryError: As for `guard`; or *limit* is not a number from 1 to MAX_ROWS. Permanent.
    """
    if not isinstance(statement, str):
        raise QueryError(f"sql: must be a string, got {type(statement).__name__}")
    if not 1 <= whole_number(limit) <= MAX_ROWS:
        raise QueryError(f"limit: must be at most {MAX_ROWS:,}; export is for more")
    return guard(statement, tenant_id)
