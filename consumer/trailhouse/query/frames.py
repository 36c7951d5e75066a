"""What reads return as a table of columns: `to_arrow`, `to_pandas`, `to_polars`; their packages are optional."""

import importlib
import json
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from trailhouse.query.answer import Answer, Page
from trailhouse.query.session_log.records import AlteredEvent
from trailhouse.query.sql.statement import SqlAnswer
from trailhouse.schemas import AuditEvent
from trailhouse.schemas.errors import ConfigError, QueryError

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

_EXTRAS = {"pyarrow": "arrow", "pandas": "pandas", "polars": "polars"}
_EXACT = (Decimal, datetime, date)
_EVENT_FIELDS = (
    "event_id", "occurred_at", "type", "session_id", "run_id", "parent_run_id", "agent_id", "tenant_id", "provider",
    "correlation_id", "trace_id", "span_id", "schema_version",
)  # fmt: skip


def to_arrow(found: Page[Any] | Answer[Any] | SqlAnswer | Iterable[Any]) -> "pyarrow.Table":
    """Return what a read found as an Arrow table, a row for each event, run, or sum.

    Costs stay exact decimals, times are UTC to the microsecond. What is nested (`data`, lists, maps) is JSON text; an
    event has its record beside its fields.

    Args:
        found: A page, an answer that holds several, any of their items, such as a list of events, or what a
            statement in SQL found.

    Raises:
        QueryError: It holds something that has no columns, or two columns of one name. Permanent.
        ConfigError: pyarrow is missing: ``pip install 'trailhouse[arrow]'``. Permanent.
    """
    arrow = _imported("pyarrow")
    if isinstance(found, SqlAnswer):
        return _table_of(arrow, found)
    rows = [_row(each) for each in _items(found)]
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: _column(arrow, [row.get(name) for row in rows]) for name in names}
    table: pyarrow.Table = arrow.table(columns)
    return table


def _table_of(arrow: Any, found: SqlAnswer) -> "pyarrow.Table":
    """Return the rows and columns of *found*, which has them where it has no rows, too."""
    if twice := [name for name in found.columns if found.columns.count(name) > 1]:
        raise QueryError(f"two columns are named {twice[0]}: give one of them another name with AS")
    columns = zip(*found.rows, strict=True) if found.rows else ((),) * len(found.columns)
    table: pyarrow.Table = arrow.table(
        {
            name: _column(arrow, [_cell(value) for value in values])
            for name, values in zip(found.columns, columns, strict=True)
        }
    )
    return table


def to_pandas(found: Page[Any] | Answer[Any] | SqlAnswer | Iterable[Any]) -> "pandas.DataFrame":
    """Return what a read found as a pandas data frame, with the types of Arrow, so that decimals stay exact.

    Raises:
        QueryError, ConfigError: As for `to_arrow`. Permanent; pandas comes with ``trailhouse[pandas]``.
    """
    package = _imported("pandas")
    frame: pandas.DataFrame = to_arrow(found).to_pandas(types_mapper=package.ArrowDtype)
    return frame


def to_polars(found: Page[Any] | Answer[Any] | SqlAnswer | Iterable[Any]) -> "polars.DataFrame":
    """Return what a read found as a polars data frame.

    Raises:
        QueryError, ConfigError: As for `to_arrow`. Permanent; polars comes with ``trailhouse[polars]``.
    """
    frame: polars.DataFrame = _imported("polars").from_arrow(to_arrow(found))
    return frame


def _imported(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError:
        raise ConfigError(
            f"this needs the package {package}: pip install 'trailhouse[{_EXTRAS[package]}]'"
        ) from None


def _items(found: object) -> Iterable[object]:
    if isinstance(found, Page):
        return found.items
    if isinstance(found, Answer):
        return _items(found.value)
    if isinstance(found, (list, tuple)):
        return found
    if isinstance(found, Mapping):
        return [{"name": name, "value": value} for name, value in found.items()]
    if isinstance(found, msgspec.Struct):
        return [found]
    if isinstance(found, Iterable) and not isinstance(found, (str, bytes)):
        return list(found)
    raise QueryError(f"{type(found).__name__}: has no rows")


def _row(item: object) -> dict[str, Any]:
    if isinstance(item, AuditEvent):
        row = {name: getattr(item, name) for name in _EVENT_FIELDS}
        row["actor_type"] = item.actor.type if item.actor else None
        row["actor_id"] = item.actor.id if item.actor else None
        return row | {
            "data": _json(item.data),
            "metadata": _json(item.metadata),
            "record": item.record.decode(),
            "is_altered": False,
        }
    if isinstance(item, AlteredEvent):
        return {
            "event_id": item.event_id,
            "type": item.type,
            "session_id": item.session_id,
            "tenant_id": item.tenant_id,
            "record": item.record.decode(errors="replace"),
            "is_altered": True,
        }
    plain = (
        msgspec.to_builtins(item, builtin_types=_EXACT)
        if isinstance(item, msgspec.Struct)
        else item
    )
    if not isinstance(plain, Mapping):
        raise QueryError(f"{type(item).__name__}: has no columns")
    return {str(name): _cell(value) for name, value in plain.items()}


def _cell(value: object) -> object:
    return _json(value) if isinstance(value, (Mapping, list, tuple)) else value


def _json(value: object) -> str:
    return json.dumps(value, default=str, ensure_ascii=False)


def _column(arrow: Any, values: list[Any]) -> Any:
    kinds = {type(value) for value in values} - {type(None)}
    if kinds == {Decimal}:
        # Decimals of one column may differ in scale: that of the log holds them all.
        return arrow.array(values, arrow.decimal128(38, 18))
    if kinds == {datetime}:
        return arrow.array(values, arrow.timestamp("us", "UTC"))
    if len(kinds) > 1 and not kinds <= {int, float}:
        return arrow.array(
            [None if value is None else str(value) for value in values], arrow.string()
        )
    if kinds == {int} and max(abs(value) for value in values if value is not None) >= 2**63:
        return arrow.array(values, arrow.uint64())
    return arrow.array(values)
