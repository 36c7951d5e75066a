"""Which tables a reader's statement reads: views of ours, of one tenant where the reader is bound to one. Pure."""

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from trailhouse.query.sql.refusal import RESERVED, refused
from trailhouse.query.sql.words import VIEWS

if TYPE_CHECKING:
    from sqlglot import exp

BARRIER_ROWS = 2**63 - 1
"""A limit that no table reaches. ClickHouse moves no condition below a LIMIT, nor looks at the key by one above it."""

_is_time = re.compile(
    r"(19[7-9][0-9]|20[0-9]{2})-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])"
    r" ([01][0-9]|2[0-3])(:[0-5][0-9]){2}(\.[0-9]{1,6})?"
).fullmatch
_is_integer = re.compile(r"[0-9]{1,18}").fullmatch


def rename_expressions(tree: "exp.Select") -> dict[int, str]:
    """Give each ``WITH name AS (SELECT …)`` a name of ours; return it by the id of each table that means it.

    A name that is out of its scope would be a table's to ClickHouse, and there is none with a name of ours.
    """
    from sqlglot import exp

    meant: dict[int, str] = {}
    numbers = itertools.count()
    for with_ in tree.find_all(exp.With):
        owner = with_.parent
        known: dict[str, str] = {}
        for cte in with_.expressions:
            name = cte.alias
            if not isinstance(cte.this, (exp.Select, exp.Subquery)) or not name:
                raise refused(cte, "WITH takes name AS (SELECT …)")
            if name in VIEWS or name in known:
                raise refused(cte, f"WITH gives the name {name} a second meaning")
            # Those before it are known in it, and it is not known in itself.
            _mark(cte.this, known, meant)
            known[name] = f"{RESERVED}with_{next(numbers)}"
            cte.args["alias"].set("this", exp.to_identifier(known[name]))
        for part in owner.iter_expressions() if owner is not None else ():
            if part is not with_:
                _mark(part, known, meant)
    return meant


def _mark(part: "exp.Expr", known: dict[str, str], meant: dict[int, str]) -> None:
    from sqlglot import exp

    for table in part.find_all(exp.Table):
        if table.name in known:
            # An inner WITH is met later, and its meaning is the nearer one.
            meant[id(table)] = known[table.name]


def check_tables(tree: "exp.Select", meant: dict[int, str]) -> None:
    """Let every table be a view of ours or an expression of WITH, which is renamed here."""
    from sqlglot import exp

    for table in list(tree.find_all(exp.Table)):
        if not isinstance(table.this, exp.Identifier):
            raise refused(table, "table functions are not allowed")
        if not table.alias:
            table.set("alias", exp.TableAlias(this=exp.to_identifier(table.name)))
        if (name := meant.get(id(table))) is not None:
            table.set("this", exp.to_identifier(name))
        elif table.name not in VIEWS:
            raise refused(table, f"{table.name!r} is not a view of ours")


def bind_tenant(tree: "exp.Select", texts: Mapping[str, str]) -> None:
    """Put the rows of one tenant in the place of each view, behind a LIMIT that keeps all of them.

    Whatever fails for some values would tell of the rows that it met. Without the LIMIT ClickHouse tries a reader's
    conditions wherever it deems them quickest, on rows of others and on marks of the key; beyond it there are none.
    """
    from sqlglot import exp

    aliases = _aliases(tree)
    for table in list(tree.find_all(exp.Table)):
        if table.name not in VIEWS:
            continue
        rows = f"{RESERVED}rows"
        # Qualified: no name that a reader gives can stand for this column.
        own = exp.EQ(
            this=exp.column("tenant_id", table=rows, quoted=True),
            expression=exp.Placeholder(
                this=f"{RESERVED}tenant", kind=exp.DataType.build("String", dialect="clickhouse")
            ),
        )
        view = exp.Table(this=exp.to_identifier(table.name, quoted=True))
        view.set("alias", exp.TableAlias(this=exp.to_identifier(rows, quoted=True)))
        restricted = exp.select("*").from_(view).where(own, *_by_key(table, texts, aliases, rows))
        replaced = exp.Subquery(
            this=restricted.limit(BARRIER_ROWS), alias=table.args["alias"].copy()
        )
        replaced.set("joins", table.args.get("joins"))
        table.replace(replaced)


def _aliases(tree: "exp.Select") -> frozenset[str]:
    from sqlglot import exp

    return frozenset(
        str(name.this)
        for alias in tree.find_all(exp.Alias, exp.TableAlias)
        for name in (
            alias.args.get("alias"),
            alias.args.get("this"),
            *(alias.args.get("columns") or ()),
        )
        if isinstance(name, exp.Identifier)
    )


def _by_key(
    table: "exp.Table", texts: Mapping[str, str], aliases: frozenset[str], rows: str
) -> "Iterator[exp.Expr]":
    """Yield the conditions on *table* that find rows quickly and fail for no row: these are asked of the view, too."""
    from sqlglot import exp

    select = table.parent_select
    if (
        not isinstance(table.parent, exp.From)
        or not isinstance(select, exp.Select)
        or select.args.get("joins")
        or table.args.get("joins")
        or (where := select.args.get("where")) is None
    ):
        return
    for condition in where.this.flatten() if isinstance(where.this, exp.And) else (where.this,):
        column = condition.this
        if (
            isinstance(condition, (exp.EQ, exp.In, exp.LT, exp.LTE, exp.GT, exp.GTE))
            and isinstance(column, exp.Column)
            and column.table in ("", table.alias)
            # An alias goes before a column of the same name, and means something else.
            and column.name not in aliases
            and _finds(table.name, condition, texts)
        ):
            found = condition.copy()
            found.set("this", exp.column(column.name, table=rows, quoted=True))
            yield found


def _finds(view: str, condition: "exp.Expr", texts: Mapping[str, str]) -> bool:
    """Tell whether *condition* compares a column by which *view* finds rows with values that every row takes."""
    from sqlglot import exp

    name = condition.this.name
    if name == "session_id" or (name == "run_id" and view != "sessions"):
        if isinstance(condition, exp.In):
            values = condition.expressions
            return bool(values) and all(isinstance(each, exp.Placeholder) for each in values)
        return isinstance(condition, exp.EQ) and isinstance(condition.expression, exp.Placeholder)
    if isinstance(condition, exp.In) or view not in (
        "events",
        "token_usage",
        "events_with_standing",
    ):
        return False
    value = condition.expression
    if name == "occurred_us":
        return isinstance(value, exp.Literal) and _is_integer(str(value.this)) is not None
    return name == "occurred_at" and _is_moment(value, texts)


def _is_moment(value: "exp.Expr", texts: Mapping[str, str]) -> bool:
    """Tell whether *value* is a time in whole words, or some seconds or days before or after now."""
    from sqlglot import exp

    match value:
        case exp.Placeholder():
            return _is_time(texts.get(str(value.this), "")) is not None
        case exp.Add() | exp.Sub():
            interval = value.expression
            return (
                isinstance(interval, exp.Interval)
                and isinstance(interval.this, exp.Literal)
                and len(str(interval.this.this)) < 4
                and interval.text("unit").upper() in ("SECOND", "MINUTE", "HOUR", "DAY", "WEEK")
                and _is_moment(value.this, texts)
            )
        case exp.Anonymous():
            return str(value.this).lower() in ("now", "today") and not value.expressions
        case _:
            return False
