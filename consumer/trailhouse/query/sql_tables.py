"""Which tables a reader's statement reads: views of ours, of one tenant where the reader is bound to one. Pure."""

import itertools
from typing import TYPE_CHECKING

from trailhouse.query.sql_refusal import RESERVED, refused
from trailhouse.query.sql_words import VIEWS

if TYPE_CHECKING:
    from sqlglot import exp


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


def bind_tenant(tree: "exp.Select") -> None:
    """Put the rows of one tenant in the place of each view."""
    from sqlglot import exp

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
        restricted = exp.select("*").from_(view).where(own)
        replaced = exp.Subquery(this=restricted, alias=table.args["alias"].copy())
        replaced.set("joins", table.args.get("joins"))
        table.replace(replaced)
