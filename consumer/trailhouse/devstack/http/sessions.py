"""Connections that outlive one request: ClickHouse's HTTP sessions, named by ``session_id``."""

import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager

from trailhouse.devstack.engine import Engine, EngineConnection, quote_text
from trailhouse.devstack.engine_error import EngineError


class _Session:
    def __init__(self, connection: EngineConnection) -> None:
        self.connection = connection
        self.is_busy = True
        self.ends_at = 0.0
        self.has_own_settings = False


class Sessions:
    """The live sessions of a server; safe to use from any thread."""

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._clock = clock
        self._lock = threading.Lock()
        self._by_id: dict[str, _Session] = {}

    @contextmanager
    def connection(
        self, session_id: str, seconds: float, *, changes_settings: bool
    ) -> Generator[EngineConnection]:
        """Lend the connection of a session; a new one with each request when *session_id* is empty.

        Raises:
            EngineError: Another request of the same session is running (ClickHouse's code 373).
        """
        if not session_id:
            with self._engine.connect() as connection:
                yield connection
            return
        session = self._take(session_id)
        session.has_own_settings = session.has_own_settings or changes_settings
        try:
            yield session.connection
        finally:
            session.ends_at = self._clock() + seconds
            session.is_busy = False

    def settings_to_restore(self, session_id: str, names: list[str]) -> Mapping[str, str]:
        """Return the values the session itself has given to *names*, so that a request's own can be undone."""
        session = self._by_id.get(session_id)
        if session is None or not session.has_own_settings or not names:
            return {}
        quoted = ", ".join(quote_text(name) for name in names)
        answer, _ = session.connection.run(
            f"SELECT name, value FROM system.settings WHERE changed AND name IN ({quoted})",  # noqa: S608 - quoted above
            "TabSeparatedRaw",
        )
        return dict(line.split("\t", 1) for line in answer.decode().splitlines())

    def end_expired(self) -> None:
        """Close the sessions that nobody has used within their timeout."""
        now = self._clock()
        with self._lock:
            over = [
                name
                for name, session in self._by_id.items()
                if not session.is_busy and session.ends_at < now
            ]
            ended = [self._by_id.pop(name) for name in over]
        for session in ended:
            session.connection.close()

    def close(self) -> None:
        """Close every session that is not busy."""
        with self._lock:
            ended = [session for session in self._by_id.values() if not session.is_busy]
            self._by_id.clear()
        for session in ended:
            session.connection.close()

    def _take(self, session_id: str) -> _Session:
        with self._lock:
            session = self._by_id.get(session_id)
            if session is None:
                session = self._by_id[session_id] = _Session(self._engine.connect())
            elif session.is_busy:
                raise EngineError(
                    373,
                    "SESSION_IS_LOCKED",
                    f"Session {session_id} is locked by a concurrent client",
                )
            session.is_busy = True
            return session
