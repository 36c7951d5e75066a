"""Traced functions: each call is a run, and the function stays what it is."""

import asyncio
import contextvars
import functools
import gc
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from capture_rules import check_runs
from trailhouse.producer.testing import InMemoryAuditLogger
from trailhouse.schemas.errors import SpoolFullError


def ends(audit: InMemoryAuditLogger) -> list[str]:
    """Return how the runs ended, each of which keeps all rules."""
    return [str(run.end.type) for run in check_runs(audit.events)]


def test_a_call_of_a_function_is_a_run(audit_log: InMemoryAuditLogger) -> None:
    """A call is a run in the session that a parameter names; what is logged in it belongs to it."""

    @audit_log.traced(session="conversation", agent_id="bot")
    def answer(question: str, conversation: str = "s-1") -> str:
        audit_log.log("note")
        return question.upper()

    assert answer("why") == "WHY"
    assert answer("how", conversation="s-2") == "HOW"
    assert ends(audit_log) == ["run_completed", "run_completed"]
    assert [event.session_id for event in audit_log.events] == ["s-1"] * 3 + ["s-2"] * 3
    assert {event.agent_id for event in audit_log.events} == {"bot"}
    assert audit_log.events[0].metadata["function"].endswith(".answer")


def test_the_session_is_taken_from_the_arguments(audit_log: InMemoryAuditLogger) -> None:
    """A function of the arguments gives the session; where it raises, the call goes on, and is recorded."""

    @audit_log.traced(session=lambda request: request["session"])
    def handle(request: dict[str, str]) -> int:
        return len(request)

    assert handle({"session": "s-9"}) == 1
    assert handle({}) == 0
    assert check_runs(audit_log.events)[0].start.session_id == "s-9"
    assert audit_log.stats().sessions_missing_total == 1
    assert audit_log.stats().unlogged_total == 1


def test_functions_stay_what_they_are(audit_log: InMemoryAuditLogger) -> None:
    """Kind, name and signature of a function are kept."""

    def plain(number: int) -> int:
        return number

    async def coroutine(number: int) -> int:
        return number

    def generator(number: int) -> Iterator[int]:
        yield number

    async def stream(number: int) -> AsyncIterator[int]:
        yield number

    trace: Callable[[Any], Any] = audit_log.traced(session="s-1")
    for function in (plain, coroutine, generator, stream):
        wrapped = trace(function)
        assert inspect.signature(wrapped) == inspect.signature(function)
        assert wrapped.__name__ == function.__name__
        for is_kind in (
            inspect.iscoroutinefunction,
            inspect.isgeneratorfunction,
            inspect.isasyncgenfunction,
        ):
            assert is_kind(wrapped) == is_kind(function)


def test_coroutines_end_as_they_do(audit_log: InMemoryAuditLogger) -> None:
    """A coroutine that returns, raises, is cancelled or times out ends so, and side by side they do not mix."""

    @audit_log.traced(session="session")
    async def work(session: str, error: Exception | None = None, wait: bool = False) -> str:
        audit_log.log("note", data={"session": session})
        await asyncio.sleep(0)
        if wait:
            await asyncio.Event().wait()
        if error is not None:
            raise error
        audit_log.log("note", data={"session": session})
        return session

    async def main() -> list[Any]:
        cancelled = asyncio.ensure_future(work("s-3", wait=True))
        others = asyncio.gather(
            work("s-1"), work("s-2", ValueError("x")), work("s-4", TimeoutError()), cancelled,
            return_exceptions=True,
        )  # fmt: skip
        await asyncio.sleep(0.01)
        cancelled.cancel()
        return list(await others)

    results = asyncio.run(main())
    assert results[0] == "s-1"
    assert [type(result) for result in results[1:]] == [
        ValueError,
        TimeoutError,
        asyncio.CancelledError,
    ]
    by_session = {run.start.session_id: str(run.end.type) for run in check_runs(audit_log.events)}
    assert by_session == {
        "s-1": "run_completed",
        "s-2": "run_failed",
        "s-3": "run_cancelled",
        "s-4": "run_timeout",
    }
    notes = [event for event in audit_log.events if event.type == "note"]
    assert all(note.data["session"] == note.session_id for note in notes)


def test_a_generator_is_bound_while_it_runs(audit_log: InMemoryAuditLogger) -> None:
    """What a generator logs belongs to its run, what its reader logs between does not; sends and returns pass."""

    @audit_log.traced(session="s-1")
    def count() -> Any:
        got = yield 1
        audit_log.log("inside", data={"got": got})
        try:
            yield 2
        except KeyError:
            audit_log.log("inside")
        return "done"

    numbers = count()
    assert next(numbers) == 1
    audit_log.log("outside", session_id="s-0")
    assert numbers.send("x") == 2
    with pytest.raises(StopIteration) as stop:
        numbers.throw(KeyError())
    assert stop.value.value == "done"
    (run,) = check_runs(audit_log.events)
    assert run.types == ["run_started", "inside", "inside", "run_completed"]
    assert audit_log.only("outside").run_id is None


def test_a_generator_that_is_broken_off_is_cancelled(audit_log: InMemoryAuditLogger) -> None:
    """A generator that is closed, or let go, is cancelled; one that was never asked is no run."""

    @audit_log.traced(session="s-1")
    def numbers() -> Iterator[int]:
        yield 1
        yield 2

    numbers()
    closed = numbers()
    next(closed)
    closed.close()  # type: ignore[attr-defined]
    let_go = numbers()
    next(let_go)
    del let_go
    gc.collect()
    assert ends(audit_log) == ["run_cancelled", "run_cancelled"]


def test_streams_end_as_they_do(audit_log: InMemoryAuditLogger) -> None:
    """An async generator ends as it does: read to its end, broken off, or by its own error."""

    @audit_log.traced(session="s-1")
    async def numbers(error: Exception | None = None) -> AsyncIterator[int]:
        yield 1
        audit_log.log("inside")
        if error is not None:
            raise error
        yield 2

    async def main() -> None:
        assert [number async for number in numbers()] == [1, 2]
        broken_off = numbers()
        assert await anext(broken_off) == 1
        audit_log.log("outside", session_id="s-0")
        await broken_off.aclose()  # type: ignore[attr-defined]
        with pytest.raises(LookupError):
            assert [number async for number in numbers(LookupError())] == []

    asyncio.run(main())
    assert ends(audit_log) == ["run_completed", "run_cancelled", "run_failed"]
    assert audit_log.only("outside").run_id is None


def test_methods_of_every_kind_are_traced(audit_log: InMemoryAuditLogger) -> None:
    """Methods, class methods, static methods, and callable objects are traced; content leaves `self` out."""

    class Agent:
        @audit_log.traced(session="session", with_content=True)
        def run(self, session: str) -> str:
            return f"run {session}"

        @audit_log.traced(session="session")
        @classmethod
        def make(cls, session: str) -> str:
            return cls.__name__ + session

        @staticmethod
        @audit_log.traced(session="session")
        def help(session: str) -> str:
            return session

    partial = audit_log.traced(session="s-4")(functools.partial(len, "four"))
    assert Agent().run("s-1") == "run s-1"
    assert (Agent.make("s-2"), Agent.help("s-3"), partial()) == ("Agents-2", "s-3", 4)
    runs = check_runs(audit_log.events)
    assert [run.start.session_id for run in runs] == ["s-1", "s-2", "s-3", "s-4"]
    assert audit_log.only("message_received").data["content"] == {"session": "s-1"}
    assert audit_log.only("message_sent").data["content"] == "run s-1"


def test_a_traced_call_within_another_is_its_child(audit_log: InMemoryAuditLogger) -> None:
    """A traced call within another is its child, in its session, and in a thread by a copied context."""
    import threading

    @audit_log.traced()
    def inner() -> None: ...

    @audit_log.traced(session="s-1", agent_id="bot")
    def outer() -> None:
        inner()
        thread = threading.Thread(target=contextvars.copy_context().run, args=(inner,))
        thread.start()
        thread.join()

    outer()
    first, *children = check_runs(audit_log.events)
    assert {run.start.parent_run_id for run in children} == {first.run_id}
    assert {run.start.session_id for run in children} == {"s-1"}
    assert {run.start.agent_id for run in children} == {"bot"}


def test_wrong_arguments_raise_what_they_do(audit_log: InMemoryAuditLogger) -> None:
    """A call whose arguments do not fit raises its own error, and no other."""

    @audit_log.traced(session="session")
    def work(session: str) -> str:
        return session

    untyped: Any = work
    with pytest.raises(TypeError, match="work"):
        untyped(1, 2, 3)


def test_a_strict_function_does_not_run_unrecorded(audit_log: InMemoryAuditLogger) -> None:
    """In strict mode a call that cannot be recorded raises before the function runs."""
    calls: list[int] = []
    audit_log.fail_with(SpoolFullError("full"))
    with pytest.raises(SpoolFullError):
        audit_log.traced(session="s-1", strict=True)(calls.append)(1)
    audit_log.traced(session="s-1")(calls.append)(2)
    assert calls == [2]
