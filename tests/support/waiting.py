"""Wait for a condition, with a deadline."""

import os
import time
from collections.abc import Callable

DEADLINE_SECONDS = float(os.environ.get("TESTS_DEADLINE_SECONDS", "120"))
"""For what is never late on purpose: a busy machine may take long, and only a failure waits to the end."""
_FIRST_LOOK_SECONDS = 0.01
_LAST_LOOK_SECONDS = 0.1


def eventually(
    condition: Callable[[], object], expected: str, seconds: float = DEADLINE_SECONDS
) -> None:
    """Wait until *condition* holds, or fail saying what was *expected*.

    The longer it takes, the rarer it is looked, and never for more than half of the time: looking takes the
    processor from what is waited for.
    """
    began = looked = time.monotonic()
    while not condition():
        now = time.monotonic()
        assert now - began < seconds, f"expected within {seconds:g} s: {expected}"
        pause = min(max((now - began) / 10, _FIRST_LOOK_SECONDS), _LAST_LOOK_SECONDS)
        # Between two looks, not instead of them.
        time.sleep(max(pause, now - looked))
        looked = time.monotonic()
