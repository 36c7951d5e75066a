"""Blocking calls beside an event loop: each on a thread of its own, so that the loop goes on meanwhile."""

from __future__ import annotations

import contextlib
import threading
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


async def run_in_thread(
    function: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Result:
    """Call *function* on a new thread, in a copy of this context, and return what it returns or raise so.

    The loop's own executor is not used: its threads may all be busy with what waits for us. A caller that is
    cancelled waits no longer; the call goes on to its end, which is bounded by its own timeout.
    """
    import asyncio  # lazily: many users have no loop, and import time counts

    loop = asyncio.get_running_loop()
    done: asyncio.Future[Result] = loop.create_future()

    def call() -> None:
        try:
            outcome: Any = function(*args, **kwargs)
            settle: Callable[..., None] = done.set_result
        except BaseException as error:  # noqa: BLE001 - it is raised where it is awaited
            outcome, settle = error, done.set_exception
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits there
            loop.call_soon_threadsafe(_settle, done, settle, outcome)

    threading.Thread(
        target=copy_context().run, args=(call,), name="trailhouse-off-loop", daemon=True
    ).start()
    return await done


def _settle(done: asyncio.Future[Any], settle: Callable[..., None], outcome: Any) -> None:
    if not done.done():  # cancelled
        settle(outcome)
