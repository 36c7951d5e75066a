"""One SELECT of a reader's on our views, checked and written anew before it is sent. Pure.

What is sent is never the reader's text. The statement is parsed, every node of the tree must be of a known kind, every
table one of our views, and the tree is rendered anew: names quoted, texts as bound parameters, and no word in it that
is not listed in `sql_words`. So a difference between this parser and ClickHouse's cannot open a door: what both read
is the same few words.

For a reader who is bound to a tenant each view is replaced by its rows of that tenant, behind a LIMIT below which
ClickHouse moves nothing of the statement: no expression of a reader's meets a row of another's, and so none can fail by
one. Functions that fail for some values, such as `intDiv`, are refused or replaced besides.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from trailhouse.query.sql.nodes import check_failures, check_nodes, is_number
from trailhouse.query.sql.refusal import RESERVED, WAY_OUT, refused
from trailhouse.query.sql.tables import bind_tenant, check_tables, rename_expressions
from trailhouse.query.sql.words import FUNCTIONS, KEYWORDS, TYPES
from trailhouse.schemas.errors import QueryError

if TYPE_CHECKING:
    from sqlglot import exp

MAX_STATEMENT_CHARACTERS = 20_000
MAX_TEXTS = 1_000
"""Texts of one statement, each of which is a parameter."""

_TOKEN = re.compile(
    r"(?P<space>\s+)"
    r'|(?P<name>"[A-Za-z_][A-Za-z0-9_]*")'
    r"|(?P<value>\{trailhouse_[a-z0-9]+: String\})"
    r"|(?P<number>(?<![\w.])(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?!\w))"
    r"|(?P<word>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<sign>->|<=|>=|<>|!=|\|\||[-+*/%(),.=<>\[\]])"
)


class GuardedStatement(NamedTuple):
    """What is sent: a SELECT made of listed words alone, and the values that it names."""

    sql: str
    parameters: dict[str, str]


def guard(statement: str, tenant_id: str | None) -> GuardedStatement:
    """Return *statement* as it may be sent for a reader of *tenant_id*; None sees all.

    Raises:
        QueryError: It is not one SELECT on our views, or uses what is not listed; names the place and the way out.
            Permanent.
        ImportError: The package sqlglot is missing.
    """
    from trailhouse.query.sql.dialect import ReaderSql

    tree = _parsed(statement)
    check_nodes(tree)
    names = rename_expressions(tree)
    check_tables(tree, names)
    if tenant_id is not None:
        check_failures(tree)
    parameters = _bind_texts(tree)
    _quote_names(tree)
    if tenant_id is not None:
        bind_tenant(tree, parameters)
        parameters[f"{RESERVED}tenant"] = tenant_id
    sql = tree.sql(dialect=ReaderSql, comments=False)
    _check_words(sql)
    return GuardedStatement(sql, parameters)


def _parsed(statement: str) -> "exp.Select":
    from sqlglot import exp
    from sqlglot.errors import ParseError, SqlglotError

    from trailhouse.query.sql.dialect import ReaderSql

    if len(statement) > MAX_STATEMENT_CHARACTERS:
        raise QueryError(f"sql: must have at most {MAX_STATEMENT_CHARACTERS:,} characters")
    try:
        statement.encode()
        found = [
            each
            for each in ReaderSql().parse(statement)
            if not isinstance(each, (exp.Semicolon, type(None)))
        ]
    except ParseError as error:
        place = error.errors[0] if error.errors else {}
        where = f"line {place.get('line')}, column {place.get('col')}: " if place else ""
        raise QueryError(
            f"sql: {where}does not parse near {str(place.get('highlight', ''))[:40]!r}; allowed is {WAY_OUT}"
        ) from None
    except RecursionError:
        raise QueryError("sql: is nested too deeply; use WITH name AS (SELECT …)") from None
    except (SqlglotError, UnicodeError, ValueError):
        raise QueryError(
            f"sql: has a text or a character that does not parse; allowed is {WAY_OUT}"
        ) from None
    if len(found) != 1 or not isinstance(found[0], exp.Select):
        raise QueryError(f"sql: must be exactly one SELECT; allowed is {WAY_OUT}")
    return found[0]


def _bind_texts(tree: "exp.Select") -> dict[str, str]:
    """Replace every text by a parameter; return the parameters."""
    from sqlglot import exp

    names: dict[str, str] = {}
    for node in list(tree.find_all(exp.Literal)):
        if not node.is_string:
            continue
        text = str(node.this)
        if isinstance(node.parent, exp.Interval):
            if not is_number(text):
                raise refused(node, "an interval takes a number and a unit: INTERVAL 1 DAY")
            node.replace(exp.Literal.number(text))
            continue
        name = names.setdefault(text, f"{RESERVED}p{len(names)}")
        if len(names) > MAX_TEXTS:
            raise refused(node, f"a statement has at most {MAX_TEXTS:,} texts")
        node.replace(
            exp.Placeholder(this=name, kind=exp.DataType.build("String", dialect="clickhouse"))
        )
    return {name: text for text, name in names.items()}


def _quote_names(tree: "exp.Select") -> None:
    from sqlglot import exp

    for node in tree.find_all(exp.Identifier):
        node.set("quoted", True)


def _check_words(sql: str) -> None:
    """Let nothing through that is not listed, whatever the tree was taken for."""
    for word in _words(sql):
        if word not in KEYWORDS and word not in FUNCTIONS and word not in TYPES:
            raise QueryError(
                f"sql: {word} is not allowed; the documents list the functions; allowed is {WAY_OUT}"
            )


def _words(sql: str) -> Iterator[str]:
    at = 0
    while at < len(sql):
        found = _TOKEN.match(sql, at)
        if found is None:
            raise QueryError(f"sql: {sql[at]!r} is not allowed here; allowed is {WAY_OUT}")
        if found.lastgroup == "word":
            yield found[0].lower()
        at = found.end()
