"""One implementation for both readers: what blocks is done on threads, with the signature that it has."""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, Concatenate, ParamSpec, TypeVar

from trailhouse.query.reader import AuditReader

P = ParamSpec("P")
R = TypeVar("R")


class OffLoop:
    """What asks a blocking reader on threads of its own.

    Attributes:
        blocking: The reader that is asked.
        executor: The threads: as many questions at a time.
    """

    def __init__(self, blocking: AuditReader, threads: int) -> None:
        self.blocking = blocking
        self.executor = ThreadPoolExecutor(threads, thread_name_prefix="trailhouse-reader")


async def call_in(
    threads: ThreadPoolExecutor, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs
) -> R:
    """Call *call* on one of *threads*, in a copy of this context, and return what it returns or raise so.

    A caller that is cancelled waits no longer. What waits for a thread is then not begun; a statement that runs
    goes on to its end in ClickHouse, which its own timeout bounds, and its answer is let go.
    """
    loop = asyncio.get_running_loop()
    work = functools.partial(copy_context().run, functools.partial(call, *args, **kwargs))
    return await loop.run_in_executor(threads, work)


def in_thread(
    method: Callable[Concatenate[AuditReader, P], R],
) -> Callable[Concatenate[OffLoop, P], Coroutine[Any, Any, R]]:
    """Return *method* of the blocking reader as a coroutine: the same arguments, guarantees and errors."""

    @functools.wraps(method)
    async def asked(reader: OffLoop, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await call_in(reader.executor, method, reader.blocking, *args, **kwargs)

    return asked
