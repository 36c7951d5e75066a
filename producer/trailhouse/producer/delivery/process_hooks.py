"""What happens to loggers when the process forks or exits."""

from __future__ import annotations

import atexit
import gc
import logging
import os
import sys
import weakref
from typing import Protocol

from trailhouse.producer.clock import SYSTEM_CLOCK
from trailhouse.schemas.errors import DeliveryError

log = logging.getLogger(__name__)


class Hooked(Protocol):
    """What is renewed in forked children and closed at exit: a `Dispatcher`."""

    @property
    def close_timeout_seconds(self) -> float:
        """The longest time that closing it may take."""
        ...

    def after_fork(self) -> None:
        """Begin anew in a forked child, in which nothing else runs yet."""
        ...

    def close(self, timeout_seconds: float) -> None:
        """Deliver what can be delivered in time.

        Raises:
            DeliveryError: As `AuditLogger.close`: something was not delivered; its message says what became of it.
        """
        ...


_dispatchers: weakref.WeakSet[Hooked] = weakref.WeakSet()
_abandoned: list[object] = []
_registered_with_multiprocessing: list[object] = []
_held: set[Hooked] = set()
_were_collecting: list[bool] = []
"""Whether the collector was on when each fork that goes on began; a signal handler may fork during another."""


class _ExitHook:
    """What multiprocessing's registry, which holds its keys weakly, is given to hold."""


_exit_hook = _ExitHook()


def register(dispatcher: Hooked) -> None:
    """Have *dispatcher* renewed in forked children and closed at exit, as long as it is there."""
    _dispatchers.add(dispatcher)


def hold(dispatcher: Hooked) -> None:
    """Keep *dispatcher*, which has events on their way, until `release`: its caller may let go of it."""
    _held.add(dispatcher)


def release(dispatcher: Hooked) -> None:
    """Undo `register` and `hold`: *dispatcher* is closed."""
    _held.discard(dispatcher)
    _dispatchers.discard(dispatcher)


def abandon(inherited: object) -> None:
    """Keep what a forked child inherited from being freed: librdkafka's threads are not there to end."""
    if inherited is not None:
        _abandoned.append(inherited)


def before_fork() -> None:
    """Keep the collector away from the fork, and have a multiprocessing child close its loggers."""
    _were_collecting.append(gc.isenabled())
    gc.disable()
    # A forked multiprocessing child leaves by os._exit, past atexit.
    util = sys.modules.get("multiprocessing.util")
    if util is not None and not _registered_with_multiprocessing:
        _registered_with_multiprocessing.append(util)
        # A child clears the finalizers it inherits, and then runs what is registered here.
        util.register_after_fork(
            _exit_hook, lambda _: util.Finalize(None, close_all, exitpriority=0)
        )


def after_fork_in_parent() -> None:
    if _were_collecting and _were_collecting.pop():
        gc.enable()


def after_fork_in_child() -> None:
    # A Kafka client that the parent left as garbage must never be freed here: its threads, which
    # librdkafka would wait for, are not in this process, and the child would hang or crash.
    gc.freeze()
    if any(_were_collecting):  # of other threads, too, which are not here
        gc.enable()
    _were_collecting.clear()
    for dispatcher in list(_dispatchers):
        dispatcher.after_fork()
    _held.clear()


def close_all() -> None:
    """Close every logger, all within the longest of their times; say where one could not deliver."""
    now = SYSTEM_CLOCK.monotonic_seconds
    began = now()
    for dispatcher in list(_dispatchers):
        try:
            dispatcher.close(max(0.0, dispatcher.close_timeout_seconds - (now() - began)))
        except (DeliveryError, OSError) as error:
            log.error("the process exits with undelivered events: %s", error)


def close_at_multiprocessing_exit() -> None:
    """Have a child that was not forked from here, such as a forkserver's, close its loggers too."""
    process = sys.modules.get("multiprocessing.process")
    util = sys.modules.get("multiprocessing.util")
    if process is not None and util is not None and process.parent_process() is not None:
        util.Finalize(None, close_all, exitpriority=0)


atexit.register(close_all)
close_at_multiprocessing_exit()
os.register_at_fork(
    before=before_fork,
    after_in_parent=after_fork_in_parent,
    after_in_child=after_fork_in_child,
)
