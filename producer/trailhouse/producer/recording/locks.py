"""Locks that may be entered again: a signal handler may record within a call."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

new_lock: Final[Callable[[], threading.RLock]] = type(threading.RLock())
"""Make an `RLock`; `threading.RLock` is a function round its class, and each run and tool call has one."""
