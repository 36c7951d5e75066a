"""Connections to the engine, kept for the next statement that wants the same database and settings."""

import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from trailhouse.devstack.engine import Engine, EngineConnection

MOST_KEPT = 32
_STILL_SETTABLE = ("0", "2")
"""Under another `readonly` a connection takes no setting any more, the id of its statement included."""


class _Kept(NamedTuple):
    key: tuple[str, tuple[tuple[str, str], ...]]
    connection: EngineConnection


class Connections:
    """Connections that are prepared once: a worker's and a reader's statements come with the same settings each time.

    To open one and to set it costs the engine a tenth of a small insert. Safe to share between threads.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._kept: list[_Kept] = []
        self._lock = threading.Lock()
        self._changes = 0

    @contextmanager
    def prepared(
        self, query_id: str, database: str, settings: Mapping[str, str], *, changes_nothing: bool
    ) -> Generator[EngineConnection]:
        """Lend a connection for one statement.

        Args:
            query_id: By which `Engine.kill` finds the statement.
            database: The current one; empty for the engine's default.
            settings: What holds on the connection.
            changes_nothing: Whether the statement, once it succeeds, leaves the connection as it is, and what
                others were prepared for. After one that may do more (`USE`, `DROP DATABASE`) none is used again.

        Raises:
            EngineError: There is no such database, or no such setting.
        """
        key = (database, tuple(settings.items()))
        with self._lock:
            changes, kept = self._changes, self._take(key)
        # The engine gives statements its own ids; ours travels along.
        comment = {"log_comment": query_id}
        connection = kept or self._open(database, {**settings, **comment})
        may_be_kept = False
        try:
            if kept is not None:
                kept.set(comment)
            yield connection
            may_be_kept = changes_nothing and settings.get("readonly", "0") in _STILL_SETTABLE
        finally:
            if not changes_nothing:
                self.close()
            if not (may_be_kept and self._keep(_Kept(key, connection), changes)):
                connection.close()

    def close(self) -> None:
        """Close those that are kept, and those that are lent when they come back."""
        with self._lock:
            self._changes += 1
            kept, self._kept = self._kept, []
        for each in kept:
            each.connection.close()

    def _open(self, database: str, settings: Mapping[str, str]) -> EngineConnection:
        connection = self._engine.connect()
        try:
            if database:
                connection.use(database)
            connection.set(settings)
        except BaseException:
            connection.close()
            raise
        return connection

    def _take(self, key: object) -> EngineConnection | None:
        for place in reversed(range(len(self._kept))):
            if self._kept[place].key == key:
                return self._kept.pop(place).connection
        return None

    def _keep(self, lent: _Kept, changes: int) -> bool:
        with self._lock:
            if changes != self._changes:
                return False
            self._kept.append(lent)
            oldest = self._kept.pop(0) if len(self._kept) > MOST_KEPT else None
        if oldest is not None:
            oldest.connection.close()
        return True
