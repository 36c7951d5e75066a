"""How a statement of a reader's is refused: the place, the rule and what is allowed."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from trailhouse.query.sql.words import VIEWS
from trailhouse.schemas.errors import QueryError

if TYPE_CHECKING:
    from sqlglot import exp

RESERVED = "trailhouse_"
"""How names of ours begin, and none of a reader's may."""
WAY_OUT = f"one SELECT on {', '.join(VIEWS)}"


def refused(node: "exp.Expr", rule: str) -> QueryError:
    line, column = _place(node)
    where = f"line {line}, column {column}: " if line else ""
    return QueryError(f"sql: {where}{rule}; allowed is {WAY_OUT}")


def _place(node: "exp.Expr") -> tuple[int, int]:
    for each in (*node.walk(), *_above(node)):
        if "line" in each.meta:
            return int(each.meta["line"]), int(each.meta["col"]) - len(each.name) + 1
    return 0, 0


def _above(node: "exp.Expr") -> "Iterator[exp.Expr]":
    above = node.parent
    while above is not None:
        yield above
        above = above.parent


def kind_of(node: object) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(node).__name__).upper()
