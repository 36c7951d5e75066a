"""How a command writes its result: the option `--format`, the same for all of them."""

from enum import StrEnum
from typing import Annotated

import typer


class Format(StrEnum):
    """For people, or for programs."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"


class FileFormat(StrEnum):
    """For files of an export."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"
    ARROW = "arrow"


class EndlessFormat(StrEnum):
    """For what has no end."""

    TABLE = "table"
    JSONL = "jsonl"


FormatOption = Annotated[
    Format,
    typer.Option(
        "--format", help="A table for people; JSON; JSON, one line each; or CSV for a spreadsheet."
    ),
]


def one_line(record: bytes) -> bytes:
    """Return *record* without raw line breaks, which JSON allows between values alone.

    Our encoder writes none, so this changes only records of other producers: same size, same
    meaning, other bytes.
    """
    return record.replace(b"\n", b" ").replace(b"\r", b" ")
