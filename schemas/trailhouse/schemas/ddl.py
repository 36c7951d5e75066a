"""The tables as the migrations make them, read from their own statements: columns, engine, order and settings. Pure.

The statements are the one description. What the worker writes, what follows from the log and how a table is made again
under another name are taken from it, so that none of them can say otherwise.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from trailhouse.schemas.errors import ConfigError
from trailhouse.schemas.migrations import migrations

_CREATE = re.compile(
    r"CREATE TABLE IF NOT EXISTS \{database\}\.(?P<name>\w+)\n\((?P<body>.*)\n\)\n"
    r"ENGINE = (?P<engine>[^\n]+)\n(?P<rest>.*)",
    re.DOTALL,
)
_ALTER = re.compile(r"ALTER TABLE \{database\}\.(?P<name>\w+)\n(?P<body>.*)", re.DOTALL)
_ADDED = re.compile(
    r"ADD COLUMN IF NOT EXISTS (?P<column>.*?)(?: AFTER (?P<after>\w+))?", re.DOTALL
)
_CLAUSES = ("PARTITION BY", "PRIMARY KEY", "ORDER BY", "TTL", "SETTINGS")
_WORDS = ("DEFAULT", "MATERIALIZED", "ALIAS", "COMMENT", "CODEC")
_MARKS = re.compile("['()]")
_COMPUTED = ("MATERIALIZED", "ALIAS")


class Column(NamedTuple):
    """A column: its type, and by clause what else is said of it, such as ``{"CODEC": "(ZSTD(1))"}``."""

    name: str
    type: str
    clauses: dict[str, str]

    @property
    def is_written(self) -> bool:
        """Whether a value for it comes with a row; ClickHouse works out the others."""
        return not any(word in self.clauses for word in _COMPUTED)

    @property
    def definition(self) -> str:
        """It as a statement has it."""
        said = (
            f"{word}{'' if word == 'CODEC' else ' '}{self.clauses[word]}"
            for word in _WORDS
            if word in self.clauses
        )
        return " ".join((self.name, self.type, *said))


class TableDefinition(NamedTuple):
    """A table: its columns in order, its indexes, its engine, and by clause how it is ordered, kept and set."""

    name: str
    columns: tuple[Column, ...]
    indexes: tuple[str, ...]
    engine: str
    clauses: dict[str, str]

    @property
    def written(self) -> dict[str, str]:
        """The type of each column that comes with a row, by its name, in order."""
        return {column.name: column.type for column in self.columns if column.is_written}

    @property
    def key(self) -> str:
        """The columns that tell its rows apart, with commas."""
        return self.clauses["ORDER BY"].removeprefix("(").removesuffix(")")

    def statement(self, name: str) -> str:
        """Return what makes this table, with all that migrations added to it, under *name*, which must be free."""
        parts = [column.definition for column in self.columns] + list(self.indexes)
        said = "\n".join(f"{word} {text}" for word, text in self.clauses.items())
        body = ",\n    ".join(parts)
        return f"CREATE TABLE {{database}}.{name}\n(\n    {body}\n)\nENGINE = {self.engine}\n{said}"


@cache
def table_definitions() -> dict[str, TableDefinition]:
    """Return every table by its name, as it is after the last migration.

    Raises:
        ConfigError: A statement is not of the form that this module reads. Permanent.
    """
    found: dict[str, TableDefinition] = {}
    for migration in migrations():
        for statement in migration.statements:
            if made := _CREATE.fullmatch(statement):
                found[made["name"]] = _definition(made)
            elif changed := _ALTER.fullmatch(statement):
                found[changed["name"]] = _added(found[changed["name"]], changed["body"])
            elif statement.startswith(("CREATE TABLE", "ALTER TABLE")):
                raise ConfigError(
                    f"migration {migration.number} cannot be read: {statement[:60]!r}"
                )
    return found


def _definition(made: re.Match[str]) -> TableDefinition:
    parts = list(_split(made["body"], ","))
    return TableDefinition(
        name=made["name"],
        columns=tuple(_column(part) for part in parts if not part.startswith("INDEX ")),
        indexes=tuple(part for part in parts if part.startswith("INDEX ")),
        engine=made["engine"],
        clauses=_clauses(made["rest"], _CLAUSES),
    )


def _added(table: TableDefinition, body: str) -> TableDefinition:
    columns = list(table.columns)
    for part in _split(body, ","):
        if (added := _ADDED.fullmatch(part)) is None:
            raise ConfigError(f"a change of {table.name} cannot be read: {part[:60]!r}")
        names = [column.name for column in columns]
        place = names.index(added["after"]) + 1 if added["after"] else len(columns)
        columns.insert(place, _column(added["column"]))
    return table._replace(columns=tuple(columns))


def _column(text: str) -> Column:
    name, _, rest = text.partition(" ")
    said = _clauses(f"TYPE {rest.strip()}", ("TYPE", *_WORDS))
    return Column(name=name, type=said.pop("TYPE"), clauses=said)


def _clauses(text: str, words: tuple[str, ...]) -> dict[str, str]:
    """Return by word what follows it, up to the next of them that stands neither in parentheses nor in quotes."""
    found: dict[str, str] = {}
    word = ""
    pattern = re.compile("|".join(map(re.escape, sorted(words, key=len, reverse=True))))
    for part, is_outside in _spans(text):
        place = 0
        for match in pattern.finditer(part) if is_outside else ():
            if not match.start() or part[match.start() - 1].isspace():
                found[word] = found.get(word, "") + part[place : match.start()]
                word, place = match[0], match.end()
        found[word] = found.get(word, "") + part[place:]
    found.pop("", None)
    return {
        name: " ".join(said.split()) if name != "COMMENT" else said.strip()
        for name, said in found.items()
    }


def _split(text: str, separator: str) -> Iterator[str]:
    """Yield the parts between separators that stand neither in parentheses nor in quotes."""
    part = ""
    for span, is_outside in _spans(text):
        pieces = span.split(separator) if is_outside else [span]
        for piece in pieces[:-1]:
            yield (part + piece).strip()
            part = ""
        part += pieces[-1]
    if part.strip():
        yield part.strip()


def _spans(text: str) -> Iterator[tuple[str, bool]]:
    """Yield *text* in pieces, each with whether it stands outside of parentheses and quotes."""
    start, depth, is_quoted = 0, 0, False
    for mark in _MARKS.finditer(text):
        was_outside = not depth and not is_quoted
        if mark[0] == "'":
            is_quoted = not is_quoted
        elif not is_quoted:
            depth += 1 if mark[0] == "(" else -1
        is_outside = not depth and not is_quoted
        if was_outside != is_outside:
            # What opens and what closes belong to what is between them.
            end = mark.start() if was_outside else mark.end()
            yield text[start:end], was_outside
            start = end
    yield text[start:], True
