"""Events as CSV."""

import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trailhouse.cli.output.csv_rows import COLUMNS, csv_lines
from trailhouse.schemas import Actor, AuditEvent

_SIGNS = (
    "=cmd|'/c calc'!A0",
    "+1",
    "-1",
    "@SUM(A1)",
    " =1+1",
    "  -1",
    "＝1+1",
    " ＋1",
    "－1",
    "＠A1",
)


@pytest.mark.parametrize("cell", _SIGNS)
def test_no_cell_is_a_formula(cell: str) -> None:
    """A spreadsheet shows what begins like a formula, and does not run it."""
    event = AuditEvent(type="a", session_id=cell, run_id=cell, actor=Actor(type=cell, id=cell))
    header, line = csv_lines([event])
    assert header == ",".join(COLUMNS)
    [row] = csv.reader([line])
    found = dict(zip(COLUMNS, row, strict=True))
    for name in ("session_id", "run_id", "actor_type", "actor_id"):
        assert found[name] == f"'{cell}"


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30))
def test_any_text_is_one_cell(text: str) -> None:
    """Commas, quotes and line breaks in a value do not move the columns."""
    event = AuditEvent(type="a", session_id="s", data={"text": text})
    _, line = csv_lines([event])
    [row] = csv.reader([line])
    assert line.isprintable()
    assert len(row) == len(COLUMNS)
    assert row[2] == "a"
