"""Connections of the development stack's engine: prepared once, used again only for what they were prepared for."""

from typing import Any

import pytest

from trailhouse.devstack.connections import MOST_KEPT, Connections
from trailhouse.devstack.engine import EngineConnection
from trailhouse.devstack.engine_error import EngineError

SETTINGS = {"max_threads": "1"}


class Raw:
    """Notes what is run on it."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.is_closed = False

    def query(self, query_str: str, format: str = "", *, params: object = None) -> Any:
        """Note a statement; one that names `unknown` fails."""
        self.statements.append(query_str)
        if "unknown" in query_str:
            raise RuntimeError("Code: 115. DB::Exception: Unknown setting. (UNKNOWN_SETTING)")
        return Nothing()

    def close(self) -> None:
        """Note that it was closed."""
        self.is_closed = True


class Nothing:
    """The answer of a statement that has none."""

    def bytes(self) -> bytes:
        """Return nothing."""
        return b""

    def __getattr__(self, name: str) -> Any:
        return lambda: 0


class Engines:
    """Opens connections, and keeps them for a look."""

    def __init__(self) -> None:
        self.opened: list[Raw] = []

    def connect(self) -> EngineConnection:
        """Open one."""
        self.opened.append(Raw())
        return EngineConnection(self.opened[-1])  # type: ignore[arg-type]  # notes statements, streams none


@pytest.fixture
def engine() -> Engines:
    """Return an engine that has no connection."""
    return Engines()


@pytest.fixture
def connections(engine: Engines) -> Connections:
    """Return what is tested."""
    return Connections(engine)  # type: ignore[arg-type]  # as above


def ask(connections: Connections, sql: str, **values: Any) -> None:
    """Run a statement that changes nothing, unless said otherwise."""
    given: dict[str, Any] = {
        "database": "d",
        "settings": SETTINGS,
        "changes_nothing": True,
    } | values
    with connections.prepared("q", **given) as connection:
        connection.run(sql, "Null")


def test_the_next_statement_with_the_same_settings_needs_no_preparing(
    engine: Engines, connections: Connections
) -> None:
    """Only the id of a statement is set again."""
    ask(connections, "first")
    ask(connections, "second")
    [raw] = engine.opened
    assert raw.statements == [
        "USE `d`",
        "SET `max_threads` = '1', `log_comment` = 'q'",
        "first",
        "SET `log_comment` = 'q'",
        "second",
    ]


@pytest.mark.parametrize(
    "other",
    [
        {"database": "e"},
        {"settings": {}},
        {"settings": {"max_threads": "2"}},
        {"settings": SETTINGS | {"readonly": "2"}},
    ],
)
def test_another_database_or_setting_is_another_connection(
    engine: Engines, connections: Connections, other: dict[str, Any]
) -> None:
    """Nobody gets what was set for somebody else."""
    ask(connections, "first")
    ask(connections, "second", **other)
    assert len(engine.opened) == 2


def test_after_a_change_none_is_used_again(engine: Engines, connections: Connections) -> None:
    """A statement that may have dropped a database, or chosen another, leaves no connection behind."""
    ask(connections, "first")
    ask(connections, "DROP DATABASE d", changes_nothing=False)
    assert all(raw.is_closed for raw in engine.opened)
    ask(connections, "second")
    assert not engine.opened[-1].is_closed


def test_one_that_was_lent_during_a_change_is_closed(
    engine: Engines, connections: Connections
) -> None:
    """A connection that was prepared before a change and comes back after it is not used again."""
    with connections.prepared("q", "d", SETTINGS, changes_nothing=True):
        ask(connections, "DROP DATABASE d", changes_nothing=False)
    assert engine.opened[0].is_closed


def test_one_that_failed_is_closed(engine: Engines, connections: Connections) -> None:
    """What a failed statement leaves behind is nobody's."""
    with pytest.raises(EngineError):
        ask(connections, "unknown")
    with pytest.raises(EngineError):
        ask(connections, "never run", settings={"unknown": "1"})
    assert [raw.is_closed for raw in engine.opened] == [True, True]


def test_one_that_takes_no_setting_is_closed(engine: Engines, connections: Connections) -> None:
    """Under `readonly=1` the id of the next statement could not be set."""
    ask(connections, "first", settings={"readonly": "1"})
    assert engine.opened[0].is_closed


def test_only_so_many_are_kept(engine: Engines, connections: Connections) -> None:
    """Whoever sends other settings each time does not fill the memory: the oldest goes."""
    for number in range(MOST_KEPT + 1):
        ask(connections, "one", settings={"max_threads": str(number)})
    assert [raw.is_closed for raw in engine.opened] == [True] + [False] * MOST_KEPT
    connections.close()
    assert all(raw.is_closed for raw in engine.opened)
