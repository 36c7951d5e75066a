"""`trailhouse redact`: what redaction would take out of a file, and the file without it."""

import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from trailhouse.cli.output.console import say
from trailhouse.cli.output.formats import Format, FormatOption
from trailhouse.cli.output.printable import counted
from trailhouse.cli.output.written import written

if TYPE_CHECKING:
    from trailhouse.redaction.redactor import Redactor

EXAMPLES = (
    "trailhouse redact transcript.txt",
    "trailhouse redact runs.jsonl --format csv",
    "trailhouse redact .env --print > shared.env",
    "git diff | trailhouse redact - --check  (exit code 1 if there is a secret)",
)
LARGEST_FILE_BYTES = 1_000_000_000
_TEXT = "text"
_ENVELOPE = {"type", "session_id"}
_CONTENT = ("data", "metadata")


class Piece(NamedTuple):
    """What is looked through at once: the number of its first line, from 1, and what stands there."""

    line: int
    fields: dict[str, Any]
    is_text: bool


@dataclass(frozen=True)
class Found:
    """One secret: where it stands, and what it is taken for; never the value."""

    line: int
    path: str
    category: str


def _readable(file: Path) -> Path:
    if str(file) != "-" and not (file.is_file() and os.access(file, os.R_OK)):
        raise typer.BadParameter(f"{file} is not a file that can be read")
    return file


def redact(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE|-",
            help="JSON, JSON lines or any text; - is standard input.",
            callback=_readable,
        ),
    ] = Path("-"),
    is_printed: Annotated[
        bool, typer.Option("--print", help="Print the content without what is secret instead.")
    ] = False,
    is_check: Annotated[
        bool, typer.Option("--check", help="Exit with 1 if anything would be taken out.")
    ] = False,
    format: FormatOption = Format.TABLE,
) -> None:
    """Show what redaction would take out of a file: line, path and category, never the value.

    The settings are the producer's, those of `redaction`; of an event's line only data and metadata are looked
    through, as when it is logged. Nothing is sent and no file is changed. The exit code is 0 whatever is
    found, unless --check is given.
    """
    from trailhouse.redaction import RedactionConfig
    from trailhouse.redaction.redactor import Redactor
    from trailhouse.schemas.errors import ConfigError

    config = RedactionConfig()
    if not config.enabled:
        raise ConfigError("redaction is off: set TRAILHOUSE_REDACTION_ENABLED=true")
    redactor = Redactor(config, limit_bytes=LARGEST_FILE_BYTES)
    pieces = list(pieces_of(_content(file)))
    found = [each for piece in pieces for each in _found_in(piece, redactor)]
    if is_printed:
        for piece in pieces:
            _show(_without_secrets(redactor, piece))
    elif not written(format, found):
        _print(found)
    if is_check and found:
        raise typer.Exit(1)


def _found_in(piece: Piece, redactor: "Redactor") -> Iterator[Found]:
    if piece.is_text:
        text = str(piece.fields[_TEXT]).encode()
        for begin, _, category in redactor.spans(text):
            yield Found(piece.line + text.count(b"\n", 0, begin), "", category)
        return
    for finding in redactor.preview(_looked_through(piece.fields)):
        yield Found(piece.line, finding.path, finding.category)


def _looked_through(fields: dict[str, Any]) -> dict[str, Any]:
    """Return what redaction looks through of *fields*: all of it, or of an event what is its content."""
    if fields.keys() >= _ENVELOPE:
        return {name: fields[name] for name in _CONTENT if isinstance(fields.get(name), dict)}
    return fields


def _content(file: Path) -> str:
    if str(file) == "-":
        if sys.stdin is None:  # Python has no stream where the caller closed it
            raise typer.BadParameter("standard input is closed")
        content = sys.stdin.buffer.read()
    else:
        content = file.read_bytes()
    # What is no UTF-8 is looked through all the same: a secret in it is one.
    return content.decode(errors="backslashreplace")


def pieces_of(content: str) -> Iterator[Piece]:
    """Yield what *content* holds: one JSON document, objects line by line, or text as a whole."""
    whole = _object(content)
    if whole is not None:
        yield Piece(1, whole, is_text=False)
        return
    text: list[str] = []
    begin = 1
    for number, line in enumerate(content.splitlines(), 1):
        fields = _object(line)
        if fields is None:
            text.append(line)
            continue
        yield from _text(begin, text)
        text, begin = [], number + 1
        yield Piece(number, fields, is_text=False)
    yield from _text(begin, text)


def _text(begin: int, lines: Iterable[str]) -> Iterator[Piece]:
    text = "\n".join(lines)
    if text:
        yield Piece(begin, {_TEXT: text}, is_text=True)


def _object(text: str) -> dict[str, Any] | None:
    """Return what is looked through of the JSON object or array *text*; None if it is none."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(found, dict):
        return found
    return {"": found} if isinstance(found, list) else None


def _without_secrets(redactor: "Redactor", piece: Piece) -> str:
    clean = piece.fields | redactor.without_secrets(_looked_through(piece.fields))
    if piece.is_text:
        return str(clean[_TEXT])
    return json.dumps(clean.get("", clean), ensure_ascii=False)


def _show(text: str) -> None:
    if not sys.stdout.isatty():
        sys.stdout.write(text + "\n")  # to the byte, for a file or a pipe
        return
    for line in text.split("\n"):
        say(line)  # what could steer a terminal is escaped


def _print(found: list[Found]) -> None:
    if not found:
        say("nothing would be taken out")
        return
    from trailhouse.cli.output.console import results
    from trailhouse.cli.output.table import print_table

    rows = [[str(each.line), each.path or "-", each.category] for each in found]
    print_table(results(), ("line", "path", "category"), rows)
    counts = ", ".join(
        f"{number} {name}" for name, number in Counter(e.category for e in found).most_common()
    )
    say(f"{counted(len(found), 'secret')}: {counts}")
