"""The threads in which LiteLLM tells how synchronous calls ended: their callers have the answer before that."""

from __future__ import annotations

import importlib
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

TOLD_WITHIN_SECONDS = 2.0
"""How long who closes waits for what LiteLLM has in hand."""
LOOKED_EVERY_SECONDS = 0.005


def wait_for_told(is_one_open: Callable[[], bool]) -> None:
    """Return when LiteLLM has nothing in hand to tell, or no call is open any more; in two seconds at the latest.

    A call that will never be told of, such as a stream that is broken off, is not in hand, and not waited for.
    """
    deadline = time.monotonic() + TOLD_WITHIN_SECONDS
    while is_one_open() and _is_telling() and time.monotonic() < deadline:
        time.sleep(LOOKED_EVERY_SECONDS)


def _is_telling() -> bool:
    """Tell whether LiteLLM has anything in hand; no, where its threads are not as they were tried."""
    module = importlib.import_module("litellm.litellm_core_utils.thread_pool_executor")
    executor: Any = module.executor
    try:  # private, and the only word of what is in hand, queued or begun
        return bool(executor._pending_slots._value < executor._max_pending_tasks)
    except AttributeError:
        return False
