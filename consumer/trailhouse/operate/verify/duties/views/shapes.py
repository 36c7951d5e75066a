"""What tables and views are, as ClickHouse has them, beside what the migrations make of them on the same server.

The reference is made by the migrations themselves in a database of its own, empty, and read back by the same questions:
so that no version of ClickHouse, whose texts differ, makes a difference that is none. What changes no answer is not
compared: a table's indexes, codecs, comments, settings of storage and rules of where and how dense old parts lie,
who a view's definer is, and columns of somebody's own that no insert works out and no view of ours means.
"""

import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from trailhouse.schemas.migrations import migrations
from trailhouse.store.clickhouse import ClickHouse

_HERE = "{database}."
"""Stands for the name of the database that is read; it is not a name that a database can have unquoted."""
_DEFINER = re.compile(r"\bDEFINER = (?:`(?:[^`\\]|\\.)*`|\S+)")
_TEXT = r"'(?:[^'\\]|\\.|'')*'"
_COMMENT = re.compile(rf"({_TEXT}|`(?:[^`\\]|\\.)*`)| COMMENT {_TEXT}")
"""A comment, or a text or name, in which the word is none: who writes it there does not hide what follows."""
_QUOTED = re.compile(rf"{_TEXT}|`(?:[^`\\]|\\.)*`")
_NEXT_RULE = re.compile(r", (?![^()]*\))")
_LITERAL = re.compile(rf"(?:{_TEXT}|-?\d+(?:\.\d+)?|NULL|true|false)")
_NAME = r"(?:`(?:[^`\\]|\\.)*`|[^\s`.]+)"
_TO_OURS = re.compile(
    rf"CREATE MATERIALIZED VIEW {_NAME}(?:\.{_NAME})? (?:REFRESH .*? )?TO \{{database\}}\.({_NAME})"
)
_KEEPS_ROWS = re.compile(r" (?:RECOMPRESS CODEC\(.*\)|TO (?:DISK|VOLUME) (?:IF EXISTS )?'[^']*')")
_REMOVES_ROWS = re.compile(r" (?:DELETE|WHERE|GROUP BY)\b")
_LEDGER = "schema_migrations"
_COLUMN = "column "

_TABLES = """
    SELECT name, engine, create_table_query, partition_key, primary_key, sorting_key, sampling_key, engine_full
    FROM system.tables WHERE database = {database:String}
"""
_COLUMNS = """
    SELECT table, name, type, default_kind, default_expression
    FROM system.columns WHERE database = {database:String} ORDER BY table, position
"""

_FOREIGN_VIEWS = """
    SELECT database, name, create_table_query FROM system.tables
    WHERE engine = 'MaterializedView' AND database != {database:String}
"""


class Shape(NamedTuple):
    """One table or view: by what each part of it is called, what it says."""

    is_view: bool
    parts: Mapping[str, str]
    target: str = ""
    """Where a materialized view writes to."""


class Difference(NamedTuple):
    """A table or view that is not as the migrations make it: which, and what of it (a part's name, or "")."""

    name: str
    what: str


def read_shapes(clickhouse: ClickHouse, database: str) -> dict[str, Shape]:
    """Return every table and view of *database* by its name.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    columns: dict[str, dict[str, str]] = {}
    values = {"database": database}
    for table, name, *said in clickhouse.query(_COLUMNS, values, in_database=False).rows:
        type_name, kind, expression = map(str, said)
        # The kind first: nobody's type or expression is taken for it.
        columns.setdefault(table, {})[_COLUMN + name] = f"{kind} {expression}\0{type_name}"
    shapes: dict[str, Shape] = {}
    for name, engine, statement, *keys in clickhouse.query(_TABLES, values, in_database=False).rows:
        text = _without_comments(_neutral(str(statement), database))
        if engine.endswith("View"):
            shapes[name] = Shape(True, {"definition": text}, _target(text))
        else:
            shapes[name] = shape_of_table(engine, text, keys, columns.get(name, {}))
    return shapes


def shape_of_table(engine: str, text: str, keys: list[str], columns: dict[str, str]) -> Shape:
    """Return what a table's statement, its keys and its columns say. Pure."""
    partition, primary, sorting, sampling, engine_full = map(str, keys)
    inside, storage = _parted(text, ") ENGINE = ")
    parts = {
        "engine": engine_full.partition(" ")[0] if engine.endswith("MergeTree") else engine,
        "partition key": partition,
        "primary key": primary,
        "order": sorting,
        "sampling key": sampling,
        "TTL": _expiry(_parted(_parted(storage, " TTL ")[1], " SETTINGS ")[0]),
        "TTL of columns": _parted(inside, " TTL ")[1],  # each blanks one
        "constraints": _parted(inside, ", CONSTRAINT ")[1],
        "projections": _parted(inside, ", PROJECTION ")[1],
    }
    return Shape(False, {**parts, **columns})


def _without_comments(text: str) -> str:
    return _COMMENT.sub(lambda found: found[1] or "", text)


def _parted(text: str, word: str) -> tuple[str, str]:
    """Return what stands in *text* before and after *word*, which is no part of a name or a text there."""
    place = _masked(text).find(word)
    return (text, "") if place < 0 else (text[:place], text[place + len(word) :])


def _masked(text: str) -> str:
    """Return *text*, as long as it is, with nothing in its quoted names and texts."""
    return _QUOTED.sub(
        lambda found: f"{found[0][0]}{'_' * (len(found[0]) - 2)}{found[0][-1]}", text
    )


def _expiry(clause: str) -> str:
    """Return what of a table's rules of age takes rows, or values, away."""
    masked = _masked(clause)
    kept = []
    first = 0
    for end in (*(found.start() for found in _NEXT_RULE.finditer(masked)), len(clause)):
        if _removes(masked[first:end]):
            kept.append(clause[first:end])
        first = end + 2
    return ", ".join(kept)


def _removes(rule: str) -> bool:
    found = _KEEPS_ROWS.search(rule)
    return _REMOVES_ROWS.search(rule) is not None or found is None or found.end() < len(rule)


def foreign_views(clickhouse: ClickHouse, database: str) -> Iterator[Difference]:
    """Yield the materialized views of other databases that write into *database*, each with the table it writes into.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    rows = clickhouse.query(_FOREIGN_VIEWS, {"database": database}, in_database=False).rows
    for other, name, statement in rows:
        if target := _target(_neutral(str(statement), database)):
            yield Difference(f"{other}.{name}", target)


def _target(text: str) -> str:
    found = _TO_OURS.match(text)
    return found[1].strip("`") if found else ""


def _neutral(statement: str, database: str) -> str:
    """Return *statement* without the name of its database and its definer's."""
    quoted = "`" + database.replace("\\", "\\\\").replace("`", "\\`") + "`."
    named = re.sub(rf"(?<![\w`.]){re.escape(database)}\.", _HERE, statement.replace(quoted, _HERE))
    return _DEFINER.sub("DEFINER = …", named, count=1)


_made_before: dict[tuple[str, ...], dict[str, Shape]] = {}
"""By server, its version and the migrations: making it takes a second."""


def reference_shapes(clickhouse: ClickHouse) -> dict[str, Shape]:
    """Return what the migrations make on this server, by making it in a database that is dropped again.

    Raises:
        StorageError: ClickHouse is away (retriable), or does not let this user make a database (permanent).
    """
    made_of = (clickhouse.config.url, clickhouse.version(), *(each.sha256 for each in migrations()))
    if made_of not in _made_before:
        _made_before[made_of] = _made(clickhouse)
    return _made_before[made_of]


def _made(clickhouse: ClickHouse) -> dict[str, Shape]:
    scratch = f"{clickhouse.config.database}_shape_{secrets.token_hex(6)}"
    clickhouse.command(f"CREATE DATABASE `{scratch}`", in_database=False)
    try:
        for migration in migrations():
            for statement in migration.statements:
                clickhouse.command(
                    statement.replace("{database}", f"`{scratch}`"), in_database=False
                )
        return read_shapes(clickhouse, scratch)
    finally:
        clickhouse.command(f"DROP DATABASE `{scratch}`", in_database=False)


def differences(found: Mapping[str, Shape], reference: Mapping[str, Shape]) -> Iterator[Difference]:
    """Yield what of *found* is not as in *reference*, and which view that nobody of ours made writes into ours."""
    for name, wanted in sorted(reference.items()):
        if (shape := found.get(name)) is None:
            yield Difference(name, "")
        elif shape.is_view != wanted.is_view:
            yield Difference(name, "kind")
        else:
            added = _own_columns(shape, wanted, reference)
            changed = (what for what in _changed(shape.parts, wanted.parts) if what not in added)
            yield from (Difference(name, what) for what in changed)
    for name, shape in sorted(found.items()):
        if name not in reference and name != _LEDGER and shape.target in reference:
            yield Difference(name, f"writes into {shape.target}")


def _own_columns(shape: Shape, wanted: Shape, reference: Mapping[str, Shape]) -> set[str]:
    """Return which columns somebody has added that change neither what is inserted nor what a view of ours shows."""
    if shape.is_view:
        return set()
    views = " ".join(each.parts["definition"] for each in reference.values() if each.is_view)
    meant = set(re.findall(r"\w+", views))
    return {
        part
        for part, said in shape.parts.items()
        if part.startswith(_COLUMN)
        and part not in wanted.parts
        and part.removeprefix(_COLUMN) not in meant
        and _is_idle(said)
    }


def _is_idle(said: str) -> bool:
    """Tell whether a column of this type, kind and expression is not worked out when rows are inserted."""
    kind, _, rest = said.partition(" ")
    return kind in ("", "ALIAS") or _LITERAL.fullmatch(rest.rpartition("\0")[0]) is not None


def _changed(found: Mapping[str, str], wanted: Mapping[str, str]) -> Iterable[str]:
    return sorted(
        part for part in found.keys() | wanted.keys() if found.get(part) != wanted.get(part)
    )
