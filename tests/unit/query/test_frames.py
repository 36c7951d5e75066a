"""Answers as tables: every row and column, exact, whichever package holds it."""

import datetime as dt
import sys
from decimal import Decimal

import msgspec
import pytest

from trailhouse.query import Answer, ConfigError, Page, QueryError
from trailhouse.query.frames import to_arrow, to_pandas, to_polars
from trailhouse.query.sql.statement import SqlAnswer
from trailhouse.schemas import Actor, AuditEvent

DAY = dt.datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=dt.UTC)


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """A row of sums."""

    agent: str
    cost_usd: Decimal | None
    last_at: dt.datetime
    tokens: int
    by_model: dict[str, int]


COSTS = (
    Cost(
        agent="a",
        cost_usd=Decimal("0.000000000000000001"),
        last_at=DAY,
        tokens=2**63,
        by_model={"m": 1},
    ),
    Cost(agent="雪", cost_usd=None, last_at=DAY, tokens=0, by_model={}),
    Cost(agent="=1", cost_usd=Decimal("12345.5"), last_at=DAY, tokens=1, by_model={}),
)


def test_sums_stay_exact() -> None:
    """Decimals, large counts and times are what they were; what is nested is JSON."""
    table = to_arrow(Page(items=COSTS))
    assert table.column_names == ["agent", "cost_usd", "last_at", "tokens", "by_model"]
    assert [row["cost_usd"] for row in table.to_pylist()] == [each.cost_usd for each in COSTS]
    assert table["tokens"].to_pylist() == [2**63, 0, 1]
    assert table["last_at"].to_pylist() == [DAY] * 3
    assert table["by_model"].to_pylist()[0] == '{"m": 1}'
    assert to_arrow(Answer(value=COSTS)).equals(table)


def test_events_have_their_records() -> None:
    """A row an event, its record to the byte, absent fields null."""
    events = [
        AuditEvent(
            type="message_sent",
            session_id="s",
            data={"n": number},
            actor=Actor(type="user", id="u"),
        )
        for number in range(3)
    ]
    table = to_arrow(events)
    assert [record.encode() for record in table["record"].to_pylist()] == [
        each.record for each in events
    ]
    assert table["actor_id"].to_pylist() == ["u"] * 3
    assert table["run_id"].to_pylist() == [None] * 3


def test_an_answer_in_sql_is_its_rows_and_columns() -> None:
    """A row a row and a column a column, exact, without rows too; two columns of one name are refused."""
    columns = ("agent", "cost", "at", "agents")
    rows: tuple[tuple[object, ...], ...] = (
        ("a", Decimal("0.000000000000000001"), DAY, ["a", "b"]),
        ("b", None, DAY, []),
    )
    table = to_arrow(SqlAnswer(columns=columns, rows=rows))
    assert table.to_pylist() == [
        {"agent": "a", "cost": Decimal("0.000000000000000001"), "at": DAY, "agents": '["a", "b"]'},
        {"agent": "b", "cost": None, "at": DAY, "agents": "[]"},
    ]
    empty = to_arrow(SqlAnswer(columns=columns, rows=()))
    assert (tuple(empty.column_names), empty.num_rows) == (columns, 0)
    assert len(to_pandas(SqlAnswer(columns=columns, rows=rows))) == len(rows)
    with pytest.raises(QueryError, match=r"two columns are named agent: .* AS"):
        to_arrow(SqlAnswer(columns=("agent", "agent"), rows=(("a", "b"),)))


def test_a_data_frame_is_the_same_table() -> None:
    """pandas keeps Arrow's types, so that nothing is rounded."""
    frame = to_pandas(COSTS)
    assert list(frame["agent"]) == ["a", "雪", "=1"]
    assert frame["cost_usd"].iloc[0] == Decimal("0.000000000000000001")


def test_what_has_no_columns_is_refused() -> None:
    """Numbers and text are no rows."""
    for value in (["text"], [1]):
        with pytest.raises(QueryError, match="has no columns"):
            to_arrow(value)


@pytest.mark.parametrize(
    ("package", "extra", "make"), [("pyarrow", "arrow", to_arrow), ("polars", "polars", to_polars)]
)
def test_a_missing_package_is_one_line(
    monkeypatch: pytest.MonkeyPatch, package: str, extra: str, make: type
) -> None:
    """Who asks for a frame without its package is told which extra brings it."""
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=rf"{package}: pip install 'trailhouse\[{extra}\]'"):
        make(COSTS)
