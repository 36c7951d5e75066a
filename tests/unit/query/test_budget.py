"""Budgets: checked when made, and spent by a clock."""

import math
from typing import Any

import pytest

from trailhouse.query.budget import Meter, ReadBudget
from trailhouse.query.config import ReaderConfig
from trailhouse.schemas.errors import ConfigError, QueryError


@pytest.mark.parametrize(
    "wrong",
    [{"seconds": 0}, {"seconds": -1}, {"seconds": math.nan}, {"seconds": math.inf}, {"seconds": True}, {"seconds": "5"},
     {"rows": 0}, {"rows": 1.5}, {"bytes": 0}, {"bytes": 2**63}],
)  # fmt: skip
def test_a_wrong_budget_is_refused_by_name(wrong: dict[str, Any]) -> None:
    """The message names the number and what is allowed."""
    [name] = wrong
    with pytest.raises(QueryError, match=rf"budget\.{name}: must be a number above 0"):
        ReadBudget(**wrong)


def test_what_is_left_becomes_the_limits_of_a_statement() -> None:
    """Seconds are shared by all statements of a read, rows and bytes are each one's."""
    now = [100.0]
    meter = Meter(ReadBudget(seconds=4, rows=5, bytes=6), clock=lambda: now[0])
    assert meter.settings(0.5) == {
        "max_execution_time": "2.000",
        "timeout_overflow_mode": "throw",
        "max_rows_to_read": "5",
        "max_bytes_to_read": "6",
        "read_overflow_mode": "throw",
    }
    now[0] = 103.0
    assert meter.settings()["max_execution_time"] == "1.000"
    now[0] = 103.96
    assert meter.is_spent
    now[0] = 105.0
    assert meter.seconds_left == 0


def test_statements_of_a_quick_read_have_the_same_limits() -> None:
    """What is left is rounded down in steps, never to more than there is, nor to less than eight ninths of it."""
    now = [0.0]
    meter = Meter(ReadBudget(seconds=10), clock=lambda: now[0])
    quick: set[str] = set()
    for milliseconds in range(1, 9_950, 7):
        now[0] = milliseconds / 1_000
        given = float(meter.settings()["max_execution_time"])
        assert meter.seconds_left * 8 / 9 - 0.001 <= given <= meter.seconds_left + 0.001
        if milliseconds < 500:
            quick.add(meter.settings()["max_execution_time"])
    assert len(quick) == 1


def test_settings_of_reads_are_checked_and_the_secret_is_not_shown() -> None:
    """A short secret could be guessed; a wrong time is named."""
    assert ReaderConfig(budget_seconds=2).budget == ReadBudget(seconds=2)
    with pytest.raises(ConfigError, match=r"reader\.cursor_secret: must be empty, or 32"):
        ReaderConfig(cursor_secret="short")
    with pytest.raises(ConfigError, match=r"reader\.budget_seconds"):
        ReaderConfig(budget_seconds=0)
    secret = "0123456789abcdef" * 2
    assert secret not in repr(ReaderConfig(cursor_secret=secret))
