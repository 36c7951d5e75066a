"""Wait for a condition, with a deadline."""

import os
import time
from collections.abc import Callable

DEADLINE_SECONDS = float(os.environ.get("TESTS_DEADLINE_SECONDS", "120"))
"""For what is never late on purpose: a busy machine may take long, and only a failure waits to the end."""
LOOK_SECONDS = 0.05


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait until *condition* holds; fail with *what* was awaited at the deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"expected {what} within {DEADLINE_SECONDS:g} s"
        time.sleep(LOOK_SECONDS)  # between two looks, not instead of them
