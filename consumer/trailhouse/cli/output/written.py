"""A result as programs read it: JSON, JSON lines or CSV, made of the same values."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from trailhouse.cli.output.console import say, say_json
from trailhouse.cli.output.formats import Format

_LISTS = (list, tuple)


def written(format: Format, value: Any, items: Sequence[Any] | None = None) -> bool:
    """Write *value* unless a table is wanted; tell whether it was.

    Args:
        format: What was asked for.
        value: The whole result, a struct, a mapping or a list of them: what JSON shows.
        items: What there is a line of for each in JSON lines and CSV; the result itself if None.
    """
    rows = items if items is not None else value if isinstance(value, _LISTS) else [value]
    match format:
        case Format.TABLE:
            return False
        case Format.JSON:
            say_json(value)
        case Format.JSONL:
            for row in rows:
                say(_json(row))
        case Format.CSV:
            for line in csv_of(rows):
                say(line)
    return True


def csv_of(rows: Sequence[Any]) -> Iterator[str]:
    """Yield a header and a line for each of *rows*; what is within a field has its own column, as ``a.b``."""
    from trailhouse.cli.output.csv_rows import csv_line

    flat = [dict(_flat(_plain(row))) for row in rows]
    columns = list(dict.fromkeys(name for row in flat for name in row))
    if columns:
        yield csv_line(columns)
        for row in flat:
            yield csv_line([row.get(name, "") for name in columns])


def _plain(value: Any) -> Any:
    import msgspec

    # Exact numbers stay numbers: a text that begins with a sign would be guarded from being run.
    return msgspec.to_builtins(value, builtin_types=(Decimal,), str_keys=True)


def _json(value: Any) -> str:
    from trailhouse.access.json_form import encoded_line
    from trailhouse.cli.output.printable import printable_json

    return printable_json(encoded_line(value).decode().rstrip())


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, str | float | Decimal]]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _flat(inner, f"{path}.{name}" if path else str(name))
    else:
        yield path or "value", _cell(value)


def _cell(value: Any) -> str | float | Decimal:
    if value is None or value == {}:
        return ""
    if isinstance(value, (str, int, float, Decimal)) and not isinstance(value, bool):
        return value
    return _json(value)
