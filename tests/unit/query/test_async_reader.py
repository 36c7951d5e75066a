"""The reader for asyncio has every method of the other one, with its arguments, and never holds the loop."""

import asyncio
import inspect
import threading
from typing import Any

import pytest

from trailhouse.query import AsyncAuditReader, AuditReader, QueryError
from trailhouse.query.in_thread import OffLoop, in_thread
from trailhouse.store import ClickHouseConfig

NOWHERE = ClickHouseConfig(url="http://127.0.0.1:1")
LIFE_CYCLE = {"close"}
DEADLINE_SECONDS = 30.0


def methods(of: type) -> dict[str, Any]:
    """Return the public methods of a class."""
    return {
        name: member
        for name, member in inspect.getmembers(of, inspect.isfunction)
        if not name.startswith("_")
    }


def arguments(method: Any) -> list[tuple[str, Any, Any, Any]]:
    """Return name, kind, default and type of each argument."""
    parameters = inspect.signature(method).parameters.values()
    return [(each.name, each.kind, each.default, each.annotation) for each in parameters]


def test_both_readers_have_the_same_methods_with_the_same_arguments() -> None:
    """A question that is added to the one is added to the other."""
    blocking, off_loop = methods(AuditReader), methods(AsyncAuditReader)
    assert off_loop.keys() == blocking.keys(), (
        "AsyncAuditReader: name = in_thread(AuditReader.name)"
    )
    for name, method in blocking.items():
        assert arguments(off_loop[name]) == arguments(method), name
        if name not in ("follow", *LIFE_CYCLE):
            assert inspect.iscoroutinefunction(off_loop[name]), name


def test_what_can_be_set_is_the_same_but_for_the_threads() -> None:
    """Tenant, database, budget and principal are those of the reader that is asked."""
    made = {each[0]: each[1:] for each in arguments(AsyncAuditReader.__init__)}
    made.pop("threads")
    assert made == {each[0]: each[1:] for each in arguments(AuditReader.__init__)}
    reader = AsyncAuditReader("acme", config=NOWHERE, principal="ann")
    assert (reader.tenant_id, reader.principal) == ("acme", "ann")
    assert (reader.blocking.tenant_id, reader.blocking.principal) == ("acme", "ann")


@pytest.mark.parametrize("threads", [0, -1, 257])
def test_threads_are_a_number_that_a_process_can_have(threads: int) -> None:
    """None, fewer than none, or very many are refused."""
    with pytest.raises(QueryError, match="threads"):
        AsyncAuditReader(config=NOWHERE, threads=threads)


class Gate:
    """A method of a reader that waits until it is let through, and notes which thread asks."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()
        self.asked: list[int] = []

    def ask(self, reader: AuditReader) -> str:
        """Wait for the gate."""
        self.asked.append(threading.get_ident())
        self.reached.set()
        assert self.opened.wait(DEADLINE_SECONDS)
        return "answer"


def test_a_question_holds_neither_the_loop_nor_a_caller_who_is_cancelled() -> None:
    """While one waits the loop goes on; who is cancelled waits no longer, and what waits for a thread is not begun."""
    gate = Gate()
    ask = in_thread(gate.ask)

    async def scene() -> str:
        reader = OffLoop(AuditReader(config=NOWHERE), threads=1)
        first, second = (asyncio.create_task(ask(reader)) for _ in range(2))
        assert await asyncio.to_thread(gate.reached.wait, DEADLINE_SECONDS)
        for task in (second, first):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        gate.opened.set()
        return await ask(reader)

    assert asyncio.run(scene()) == "answer"
    assert len(gate.asked) == 2
    assert threading.get_ident() not in gate.asked


def test_a_closed_reader_is_closed_for_good_and_may_be_closed_again() -> None:
    """Leaving the block closes it."""

    async def scene() -> None:
        async with AsyncAuditReader(config=NOWHERE) as reader:
            pass
        await reader.close()
        with pytest.raises(RuntimeError):
            await reader.overview()

    asyncio.run(scene())
