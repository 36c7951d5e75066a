"""Whether the log can be read now: asked of ClickHouse at most once a second, however often it is asked."""

import threading
import time
from collections.abc import Callable

from trailhouse.api.problem import Problem, problem_of
from trailhouse.schemas.errors import TrailhouseError
from trailhouse.store import ClickHouse, ClickHouseConfig

FRESH_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 5.0


class Health:
    """Asks ClickHouse whether it answers; safe to share between threads.

    Args:
        config: Where ClickHouse is.
        now: A clock in seconds that only goes on.
    """

    def __init__(
        self, config: ClickHouseConfig, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._clickhouse = ClickHouse(config)
        self._now = now
        self._lock = threading.Lock()
        self._asked_at: float | None = None
        self._away: Problem | None = None

    def away(self) -> Problem | None:
        """Return why the log cannot be read; None if it can."""
        # Whoever comes meanwhile waits for the one answer, and does not ask again.
        with self._lock:
            if self._asked_at is None or self._now() - self._asked_at >= FRESH_SECONDS:
                self._away = self._ask()
                self._asked_at = self._now()
            return self._away

    def _ask(self) -> Problem | None:
        try:
            self._clickhouse.ping()
        except TrailhouseError as error:
            return problem_of(error)
        return None

    def close(self) -> None:
        """Close the connection."""
        self._clickhouse.close()
