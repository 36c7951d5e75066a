"""What time it is, as the producer's parts are told: one place to ask the system, and a seam for tests."""

import time
from collections.abc import Callable
from typing import NamedTuple


class Clock(NamedTuple):
    """Two clocks: for how long something takes, and for the ages of files, which others compare as well."""

    monotonic_seconds: Callable[[], float]
    unix_ns: Callable[[], int]

    def age_seconds(self, modified_at_seconds: float) -> float:
        """Return how long ago a file was modified, by its `st_mtime`."""
        return self.unix_ns() / 1_000_000_000 - modified_at_seconds


SYSTEM_CLOCK = Clock(time.monotonic, time.time_ns)
