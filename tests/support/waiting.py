"""Wait for a condition, with a deadline."""

import time
from collections.abc import Callable

DEADLINE_SECONDS = 60.0
LOOK_SECONDS = 0.05


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait until *condition* holds; fail with *what* was awaited at the deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"expected {what} within {DEADLINE_SECONDS:g} s"
        time.sleep(LOOK_SECONDS)  # between two looks, not instead of them
