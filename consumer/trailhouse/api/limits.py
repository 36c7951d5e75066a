"""How much one principal may ask: requests and bytes in a minute, requests at a time. Pure but for its clock."""

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import msgspec

MINUTE_SECONDS = 60.0
MAX_PRINCIPALS = 20_000
"""More than there can be tokens: nobody else is counted."""


class Refusal(NamedTuple):
    """Why a request must wait, and how long."""

    limit: str
    wait_seconds: float


class _Use(msgspec.Struct):
    """What a principal has left: both amounts fill up evenly, and a debt of bytes is paid back so."""

    requests: float
    size_bytes: float
    filled_at: float
    running: int = 0


class Limits:
    """Counts what each principal uses; safe to share between threads.

    Args:
        requests_per_minute: A burst of so many, and so many in a minute.
        concurrent_requests: So many at a time, streams included.
        bytes_per_minute: A new request waits until the bytes of earlier answers are within this.
        now: A clock in seconds that only goes on.
    """

    def __init__(
        self,
        *,
        requests_per_minute: int,
        concurrent_requests: int,
        bytes_per_minute: int,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._requests = float(requests_per_minute)
        self._concurrent = concurrent_requests
        self._bytes = float(bytes_per_minute)
        self._now = now
        self._lock = threading.Lock()
        self._uses: dict[str, _Use] = {}

    def begin(self, key: str) -> Refusal | None:
        """Count a request that begins; None if it may, and then `end` must follow."""
        with self._lock:
            use = self._filled(key)
            if use.running >= self._concurrent:
                return Refusal("concurrent_requests", 1.0)
            if use.size_bytes <= 0:
                rate = self._bytes / MINUTE_SECONDS
                return Refusal("bytes_per_minute", (1 - use.size_bytes) / rate)
            if use.requests < 1:
                rate = self._requests / MINUTE_SECONDS
                return Refusal("requests_per_minute", (1 - use.requests) / rate)
            use.requests -= 1
            use.running += 1
            return None

    def sent(self, key: str, size_bytes: int) -> None:
        """Count what was answered so far."""
        with self._lock:
            self._filled(key).size_bytes -= size_bytes

    def end(self, key: str) -> None:
        """Count a request that has ended."""
        with self._lock:
            use = self._filled(key)
            use.running = max(0, use.running - 1)

    def _filled(self, key: str) -> _Use:
        now = self._now()
        use = self._uses.get(key)
        if use is None:
            if len(self._uses) >= MAX_PRINCIPALS:
                self._uses = {name: each for name, each in self._uses.items() if each.running}
            use = self._uses[key] = _Use(self._requests, self._bytes, now)
        minutes = max(0.0, now - use.filled_at) / MINUTE_SECONDS
        use.requests = min(self._requests, use.requests + minutes * self._requests)
        use.size_bytes = min(self._bytes, use.size_bytes + minutes * self._bytes)
        use.filled_at = now
        return use
