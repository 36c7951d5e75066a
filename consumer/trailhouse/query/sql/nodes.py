"""What the tree of a reader's statement may consist of: kinds of nodes, functions, names. Pure."""

import re
from typing import TYPE_CHECKING

from trailhouse.query.sql.refusal import RESERVED, kind_of, refused
from trailhouse.query.sql.words import (
    CONVERTING,
    DIVIDING,
    FUNCTIONS,
    TAKING_FUNCTIONS,
    TAKING_PLACES,
    WITH_PATTERN,
)

if TYPE_CHECKING:
    from sqlglot import exp

_is_name = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}").fullmatch
is_number = re.compile(r"[0-9]{1,40}(\.[0-9]{0,40})?([eE][+-]?[0-9]{1,4})?|\.[0-9]{1,40}").fullmatch


def _kinds() -> "tuple[type[exp.Expr], ...]":
    """Return the kinds of nodes that a statement may have."""
    from sqlglot import exp

    return (
        exp.Select, exp.From, exp.Where, exp.Group, exp.Having, exp.Qualify, exp.Order, exp.Ordered, exp.Limit,
        exp.Offset, exp.Table, exp.TableAlias, exp.Identifier, exp.Column, exp.Star, exp.Alias, exp.Subquery, exp.With,
        exp.CTE, exp.Join, exp.Literal, exp.Null, exp.Boolean, exp.Paren, exp.Neg, exp.Not, exp.And, exp.Or, exp.EQ,
        exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.Between, exp.In, exp.Is, exp.Like, exp.ILike, exp.Add, exp.Sub,
        exp.Mul, exp.Div, exp.Mod, exp.DPipe, exp.Tuple, exp.Array, exp.Interval, exp.Var, exp.Cast, exp.DataType,
        exp.DataTypeParam, exp.Window, exp.WindowSpec, exp.Lambda, exp.Bracket, exp.Dot, exp.Distinct,
        exp.LimitOptions, *_functions(), exp.Case, exp.If, exp.Exists,
    )  # fmt: skip


def _functions() -> "tuple[type[exp.Expr], ...]":
    """Return the kinds of functions that are told by a name; which ones they are is checked apart."""
    from sqlglot import exp

    return exp.Anonymous, exp.AnonymousAggFunc, exp.ParameterizedAgg


def check_nodes(tree: "exp.Select") -> None:
    """Refuse kinds of nodes, functions, names and numbers that are not known to be harmless.

    Raises:
        QueryError: Names the place. Permanent.
    """
    from sqlglot import exp

    kinds = _kinds()
    for node in tree.walk():
        if not isinstance(node, kinds):
            raise refused(node, f"{kind_of(node)} is not allowed")
        _check_parts(node)
        if isinstance(node, _functions()):
            _check_function_name(node)
        match node:
            case exp.Identifier():
                _check_name(node)
            case exp.Select() if node.args.get("from_") is None:
                raise refused(node, "a SELECT without FROM is not allowed")
            case exp.In():
                _check_in(node)
            case exp.Join() if "ARRAY" in (node.kind, node.side, node.method):
                raise refused(node, "ARRAY JOIN is not allowed: use arrayJoin")
            case exp.Literal() if not node.is_string and not is_number(str(node.this)):
                raise refused(node, "a number must be written with digits")
            case _:
                pass


def _check_function_name(node: "exp.Expr") -> None:
    from sqlglot import exp

    name, arguments = _function_name(node), _arguments(node)
    if name not in FUNCTIONS:
        raise refused(node, f"the function {name} is not allowed")
    # ClickHouse takes a bare name for that of a function, whichever it is.
    if name in TAKING_FUNCTIONS and len(arguments) > 1 and not isinstance(arguments[0], exp.Lambda):
        raise refused(node, f"{name} takes a lambda, such as x -> upper(x)")


_FORBIDDEN_PARTS = (
    "settings", "format", "into", "sample", "laterals", "pivots", "hint", "hints", "prewhere", "cluster", "distribute",
    "sort", "connect", "match", "locks", "kind_", "operation_modifiers", "options", "recursive", "scalar",
    "materialized", "with_fill", "version", "when", "only", "partition", "changes", "rows_from", "indexed", "global_",
    "is_global", "unnest", "totals", "db", "catalog",
)  # fmt: skip
"""What a node of an allowed kind may still not carry."""


def _check_parts(node: "exp.Expr") -> None:
    from sqlglot import exp

    for part in _FORBIDDEN_PARTS:
        # A path into a column reads as database and table; it names a column all the same.
        if isinstance(node, exp.Column if part in ("db", "catalog") else ()):
            continue
        if node.args.get(part):
            what = {"db": "another database", "catalog": "another database"}.get(part)
            raise refused(node, f"{what or part.strip('_').upper()} is not allowed")


def _check_name(node: "exp.Identifier") -> None:
    name = str(node.this)
    if not _is_name(name):
        raise refused(node, "a name must be letters, digits and underscores")
    if name.lower().startswith(RESERVED):
        raise refused(node, f"a name must not begin with {RESERVED}")


def _check_in(node: "exp.In") -> None:
    """Refuse a name in the place of a list: ClickHouse would take it for a table."""
    from sqlglot import exp

    values = [*node.expressions, *([node.args["field"]] if node.args.get("field") else [])]
    for value in values:
        bare = value
        while isinstance(bare, (exp.Paren, exp.Tuple)) and len(list(bare.iter_expressions())) == 1:
            bare = next(bare.iter_expressions())
        # A function is none that reads a table: those are not listed.
        if isinstance(bare, (exp.Column, exp.Identifier, exp.Dot, exp.Star)):
            raise refused(value, "IN takes a list of values or a SELECT")
    if node.args.get("field") is not None and not isinstance(
        node.args["field"], (exp.Paren, exp.Tuple, exp.Array, exp.Subquery)
    ):
        raise refused(node, "IN takes a list of values or a SELECT")


def check_failures(tree: "exp.Select") -> None:
    """Refuse what fails for some values of a row; turn `toDate` into what takes times alone."""
    from sqlglot import exp

    for node in list(tree.walk()):
        match node:
            case exp.Div() | exp.Mod() if not _is_divisor(node.expression):
                # Of exact numbers it fails for 0; of NULL it is NULL.
                null_if = exp.Anonymous(
                    this="nullIf", expressions=[node.expression.copy(), exp.Literal.number(0)]
                )
                node.set("expression", null_if)
            case exp.Like() | exp.ILike() if _has_column(node.expression):
                raise refused(node, "a pattern must be a text of the statement")
            case exp.Cast() | exp.Anonymous() | exp.AnonymousAggFunc() | exp.ParameterizedAgg():
                _check_function(node)
            case _:
                pass


def _check_function(node: "exp.Expr") -> None:
    from sqlglot import exp

    name = _function_name(node)
    arguments = _arguments(node)
    if name in DIVIDING and not (len(arguments) == 2 and _is_divisor(arguments[1])):
        raise refused(node, f"{name} fails for 0: use {DIVIDING[name]}")
    if name in TAKING_PLACES and any(_has_column(each) for each in arguments[1:]):
        raise refused(node, f"{name} fails for some values: write how many in the statement")
    if name == "arrayuniq" and len(arguments) > 1:
        raise refused(node, "arrayUniq fails for arrays of different lengths: give it one")
    if name in WITH_PATTERN and any(_has_column(each) for each in arguments[1:2]):
        raise refused(node, "a pattern must be a text of the statement")
    if name == "todate" and any(map(_has_column, arguments)):
        # Takes a text to the day it names, and fails; the start of a day is only that of a time.
        for argument in arguments[:1]:
            argument.replace(exp.Anonymous(this="toStartOfDay", expressions=[argument.copy()]))
    elif name in CONVERTING and any(map(_has_column, arguments)) and not _is_text_cast(node):
        raise refused(
            node, f"{name} fails for some values: use toFloat64OrNull(toString(…)) and the like"
        )


def _arguments(node: "exp.Expr") -> "list[exp.Expr]":
    from sqlglot import exp

    # The first word of an anonymous function is its name.
    return [
        each for each in node.iter_expressions() if not isinstance(each, (exp.DataType, exp.Var))
    ]


def _is_text_cast(node: "exp.Expr") -> bool:
    from sqlglot import exp

    return isinstance(node, exp.Cast) and node.to.is_type("text")


def _is_divisor(node: "exp.Expr") -> bool:
    from sqlglot import exp

    return isinstance(node, exp.Literal) and not node.is_string and float(node.this) != 0


def _has_column(node: "exp.Expr") -> bool:
    from sqlglot import exp

    return node.find(exp.Column, exp.Subquery, exp.Select, exp.Identifier) is not None


def _function_name(node: "exp.Expr") -> str:
    """Return the name under which ClickHouse meets *node*, in lower case."""
    from sqlglot import exp

    return "cast" if isinstance(node, exp.Cast) else str(node.this).lower()
