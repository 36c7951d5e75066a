"""How a command writes its result: the option `--format`, the same for all of them."""

from enum import StrEnum
from typing import Annotated

import typer


class Format(StrEnum):
    """For one result."""

    TABLE = "table"
    JSON = "json"


class EventFormat(StrEnum):
    """For events, of which there may be many."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"


FormatOption = Annotated[Format, typer.Option("--format", help="Lines for people, or JSON.")]
