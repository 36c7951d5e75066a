"""What a read may cost, and what is left of it: time for the whole read, rows and bytes for each of its statements."""

import math
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import msgspec

from trailhouse.schemas.errors import QueryError, StorageLimitError
from trailhouse.schemas.settings import LONGEST_WAIT_SECONDS
from trailhouse.store import ClickHouse
from trailhouse.store.clickhouse import Result

DEFAULT_SECONDS = 10.0
LEAST_SECONDS = 0.05
"""What a statement is given at least: with less, ClickHouse would not even begin."""
BUDGET_WAY_OUT = "go on with the cursor, ask for less, or give it a larger budget"


class ReadBudget(msgspec.Struct, frozen=True, kw_only=True):
    """What one read may cost; a spent one gives what was found so far, and says so.

    Attributes:
        seconds: Longest time for the whole read.
        rows: Most rows that one statement of it may look at; None for any number. A read that would need more is
            split into statements over shorter times, as far as the seconds reach.
        bytes: Most bytes, likewise.

    Raises:
        QueryError: A number is not above 0, or not a number. Permanent.
    """

    seconds: float = DEFAULT_SECONDS
    rows: int | None = None
    bytes: int | None = None

    @property
    def larger(self) -> str:
        """What to say where not even a first step was possible with it: a cursor would lead to the same place."""
        amounts = [f"seconds={10 * self.seconds:g}"]
        amounts += [
            f"{name}={10 * value}"
            for name, value in (("rows", self.rows), ("bytes", self.bytes))
            if value is not None
        ]
        return f"it does not suffice for a single step: give it ten times as much ({', '.join(amounts)})"

    def __post_init__(self) -> None:
        _check("seconds", self.seconds, (int, float), LONGEST_WAIT_SECONDS)
        for name, value in (("rows", self.rows), ("bytes", self.bytes)):
            if value is not None:
                _check(name, value, (int,), 2**63 - 1)


class Meter:
    """How much of a budget is left while a read runs.

    Args:
        budget: What the read may cost.
        clock: Seconds of a clock that only goes forward.
    """

    def __init__(self, budget: ReadBudget, clock: Callable[[], float] = time.monotonic) -> None:
        self.budget = budget
        self._clock = clock
        self._deadline = clock() + budget.seconds

    @property
    def seconds_left(self) -> float:
        """Seconds until the budget is spent; 0 when it is."""
        return max(0.0, self._deadline - self._clock())

    @property
    def is_spent(self) -> bool:
        """Whether there is no time for another statement."""
        return self.seconds_left < LEAST_SECONDS

    def settings(self, share: float = 1.0) -> dict[str, str]:
        """Return the settings of a statement that may take *share* of the time that is left.

        A statement at its limit fails as a whole: ClickHouse's ``break`` would leave out rows in the middle. The
        time is rounded down, by a ninth at most: the local engine keeps connections by their settings, and to open
        one and set it takes a millisecond and a half of CPU, a third of a small statement.
        """
        seconds = max(_in_steps(self.seconds_left * share), LEAST_SECONDS)
        limits = {"max_execution_time": f"{seconds:.3f}", "timeout_overflow_mode": "throw"}
        if self.budget.rows is not None:
            limits |= {"max_rows_to_read": str(self.budget.rows), "read_overflow_mode": "throw"}
        if self.budget.bytes is not None:
            limits |= {"max_bytes_to_read": str(self.budget.bytes), "read_overflow_mode": "throw"}
        return limits


class Asks(Protocol):
    """What can be asked: ClickHouse itself, or within a budget."""

    def query(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        bytes_columns: Sequence[str] = (),
    ) -> Result:
        """As `ClickHouse.query`."""
        ...


class Metered:
    """ClickHouse within what is left of a budget: a statement that finds it spent fails like one that meets it."""

    def __init__(self, clickhouse: ClickHouse, meter: Meter) -> None:
        self._clickhouse, self._meter = clickhouse, meter

    def query(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        bytes_columns: Sequence[str] = (),
    ) -> Result:
        """As `ClickHouse.query`.

        Raises:
            StorageLimitError: The budget is spent. Retriable.
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        if self._meter.is_spent:
            raise StorageLimitError("the budget is spent")
        return self._clickhouse.query(
            sql, parameters, bytes_columns=bytes_columns, settings=self._meter.settings()
        )


@contextmanager
def naming_budget(what: str) -> Generator[None]:
    """Say of a limit that is met inside that it is the budget's: *what* has no part that could stand for it.

    Raises:
        StorageLimitError: The budget is spent. Retriable, with a larger one or a narrower question.
    """
    try:
        yield
    except StorageLimitError as error:
        raise StorageLimitError(
            f"budget: it was spent before {what} was read; ask for less, or give it a larger budget"
        ) from error


def _in_steps(seconds: float) -> float:
    """Return *seconds* rounded down to one of the eight steps from a power of two to the next."""
    if seconds <= 0:
        return 0.0
    step = 2.0 ** (math.floor(math.log2(seconds)) - 3)
    return math.floor(seconds / step) * step


def _check(name: str, value: object, kinds: tuple[type, ...], most: float) -> None:
    # True is an int to Python; as an amount it is a mistake. NaN is above nothing.
    if isinstance(value, bool) or not isinstance(value, kinds) or not 0 < value <= most:  # type: ignore[operator]
        raise QueryError(f"budget.{name}: must be a number above 0, at most {most:g}")
