"""Results as programs read them: the same values in JSON, JSON lines and CSV."""

import csv
import json
from decimal import Decimal
from typing import Any

import pytest

from trailhouse.cli.output.formats import Format
from trailhouse.cli.output.written import written

ROWS: list[dict[str, Any]] = [
    {
        "id": "a\x1b[2J\n\u202e",
        "cost": Decimal("-0.10"),
        "tokens": {"input": 1, "by": {}},
        "list": [1, "x"],
    },
    {"id": "=cmd|'/c calc'!A0", "more": None, "tokens": {"input": -2, "by": {"a.b": True}}},
]


def output(form: Format, value: object, capsys: pytest.CaptureFixture[str], **more: Any) -> str:
    """Return what is written of *value*."""
    assert written(form, value, **more) is (form is not Format.TABLE)
    text = capsys.readouterr().out
    assert all(part.isprintable() or part == "\n" for part in text)
    return text


def test_a_table_is_left_to_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is written where a table is wanted."""
    assert output(Format.TABLE, ROWS, capsys) == ""


def test_json_has_it_all(capsys: pytest.CaptureFixture[str]) -> None:
    """JSON is the whole result, JSON lines each of its items; what would steer a terminal is escaped in both."""
    expected = json.loads(json.dumps(ROWS, default=str))
    assert json.loads(output(Format.JSON, {"items": ROWS, "next": "c"}, capsys, items=ROWS)) == {
        "items": expected,
        "next": "c",
    }
    lines = output(Format.JSONL, {"items": ROWS}, capsys, items=ROWS).splitlines()
    assert [json.loads(line) for line in lines] == expected
    assert json.loads(output(Format.JSONL, {"one": 1}, capsys)) == {"one": 1}


def test_csv_has_a_column_for_each_value(capsys: pytest.CaptureFixture[str]) -> None:
    """What is within a field has its own column, no cell is a formula, and no row is forged."""
    lines = output(Format.CSV, {"items": ROWS}, capsys, items=ROWS).splitlines()
    header, first, second = list(csv.reader(lines))
    assert header == ["id", "cost", "tokens.input", "tokens.by", "list", "more", "tokens.by.a.b"]
    assert first == ["a\\x1b[2J\\n\\u202e", "-0.10", "1", "", '[1,"x"]', "", ""]
    assert second == ["'=cmd|'/c calc'!A0", "", "-2", "", "", "", "true"]
    assert output(Format.CSV, [], capsys) == ""
