"""How runs of LangChain and LangGraph end: limits, cancellations, broken-off streams, and runs side by side."""

import asyncio
import contextvars
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableGenerator, RunnableLambda
from langchain_core.tools import tool
from langgraph.errors import NodeTimeoutError
from langgraph.graph import START, MessagesState, StateGraph
from tests.capture.all.langchain_scenes import (
    Count,
    ScriptedModel,
    agent,
    asks,
    calls,
    count,
    graph,
    logged,
    only_run,
    runs_of,
    says,
    thread,
    used,
)

from trailhouse.capture.langchain import install
from trailhouse.producer.testing import InMemoryAuditLogger
from waiting import DEADLINE_SECONDS


@pytest.fixture(autouse=True)
def installed(audit: InMemoryAuditLogger) -> Iterator[None]:
    """Record what LangChain does, and stop recording it afterwards."""
    undo = install(audit)
    yield
    undo()


def test_the_recursion_limit_is_a_failure(audit: InMemoryAuditLogger) -> None:
    """A graph that would go on for ever fails at its limit."""
    builder = StateGraph(Count)
    builder.add_node("count", count)
    builder.add_edge(START, "count")
    builder.add_edge("count", "count")
    with pytest.raises(RecursionError):
        builder.compile().invoke({"number": 0}, {"recursion_limit": 3})

    assert only_run(audit).end.data["error_code"] == "GraphRecursionError"


async def test_a_cancelled_run_is_cancelled_and_keeps_its_late_tool(
    audit: InMemoryAuditLogger,
) -> None:
    """A cancelled task ends its run as cancelled; its tool, which ends later in its thread, stays in it."""
    begun, may_end = threading.Event(), threading.Event()

    @tool
    def slow(query: str) -> str:
        """Wait."""
        begun.set()
        may_end.wait(DEADLINE_SECONDS)
        return query

    task = asyncio.create_task(
        agent(calls(("slow", "c-1")), says("done"), tools=[slow]).ainvoke(asks(), thread())
    )
    await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    may_end.set()
    await logged(audit, "tool_call_completed")

    run = only_run(audit)
    assert run.end.type == "run_cancelled"
    assert run.types[-1] == "tool_call_completed"


async def test_a_time_limit_around_a_run_cancels_it(audit: InMemoryAuditLogger) -> None:
    """`wait_for` arrives as a cancellation, and cannot be told from one."""

    async def wait(_: Count) -> Count:
        await asyncio.Event().wait()
        return {"number": 0}

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(graph(("wait", wait)).ainvoke({"number": 1}, thread()), 0.05)

    assert only_run(audit).end.type == "run_cancelled"


async def test_a_time_limit_of_a_step_is_a_timeout(audit: InMemoryAuditLogger) -> None:
    """LangGraph's own limits of a step and of a node end the run as timed out."""

    async def wait(_: Count) -> Count:
        await asyncio.Event().wait()
        return {"number": 0}

    by_step = graph(("wait", wait))
    by_step.step_timeout = 0.05
    by_node = graph(("wait", wait), timeout=0.05)
    for limited in (by_step, by_node):
        with pytest.raises((TimeoutError, NodeTimeoutError)):
            await limited.ainvoke({"number": 1}, thread())

    assert [run.end.type for run in runs_of(audit)] == ["run_timeout"] * 2


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_what_stops_the_program_cancels_the_run(
    audit: InMemoryAuditLogger, interruption: type[BaseException]
) -> None:
    """Ctrl-C and an exit within a node are cancellations, and go on."""

    def stop(_: Count) -> Count:
        raise interruption

    with pytest.raises(interruption):
        graph(("stop", stop)).invoke({"number": 1}, thread())

    assert only_run(audit).end.type == "run_cancelled"


async def test_a_stream_that_is_broken_off_is_cancelled(audit: InMemoryAuditLogger) -> None:
    """A reader that leaves a stream early has cancelled the run."""
    two = graph(("first", count), ("second", count))
    stream = two.stream({"number": 1}, thread())
    next(stream)
    stream.close()
    chunks = two.astream({"number": 1}, thread())
    await anext(chunks)
    await chunks.aclose()
    await logged(audit, "run_cancelled", 2)

    assert [run.end.type for run in runs_of(audit)] == ["run_cancelled"] * 2


async def test_a_chain_whose_stream_is_left_is_cancelled(audit: InMemoryAuditLogger) -> None:
    """LangChain ends it as if it had answered, while its model is at work; one that is read has answered."""

    def chain() -> Any:
        said = [AIMessage("it is three")]
        return GenericFakeChatModel(messages=iter(said)) | StrOutputParser()

    stream = chain().stream("hi", thread())
    assert next(stream) == "it"
    stream.close()
    chunks = chain().astream("hi", thread())
    assert await anext(chunks) == "it"
    await chunks.aclose()
    assert "".join(chain().stream("hi", thread())) == "it is three"
    assert "".join([chunk async for chunk in chain().astream("hi", thread())]) == "it is three"

    left, read = ["run_cancelled"] * 2, ["run_completed"] * 2
    assert [run.end.type for run in runs_of(audit)] == left + read


def test_a_chain_without_a_model_whose_stream_is_left_is_cancelled(
    audit: InMemoryAuditLogger,
) -> None:
    """So does it with a chain of plain functions; one that is read to its end has answered."""

    def letters(asked: Iterator[str]) -> Iterator[str]:
        for _ in asked:
            yield from "abc"

    chain = RunnableLambda(str) | RunnableGenerator(letters)
    stream = chain.stream("hi", thread())
    assert next(stream) == "a"
    stream.close()
    assert "".join(chain.stream("hi", thread())) == "abc"
    assert [run.end.type for run in runs_of(audit)] == ["run_cancelled", "run_completed"]


def test_runs_side_by_side_do_not_mix(audit: InMemoryAuditLogger) -> None:
    """Interleaved streams, batches and threads of one agent give runs with sessions of their own."""
    two = graph(("first", count), ("second", count))
    streams = [two.stream({"number": 1}, thread(f"s-{n}")) for n in range(3)]
    for _ in range(2):
        for stream in streams:
            next(stream)
    for stream in streams:
        assert list(stream) == []
    two.batch([{"number": n} for n in range(3)], [thread(f"b-{n}") for n in range(3)])
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda n: two.invoke({"number": n}, thread(f"p-{n}")), range(3)))

    runs = runs_of(audit)
    assert sorted(run.start.session_id for run in runs) == sorted(
        f"{kind}-{n}" for kind in "bps" for n in range(3)
    )
    assert all(run.start.parent_run_id is None for run in runs)


async def test_tasks_side_by_side_do_not_mix(audit: InMemoryAuditLogger) -> None:
    """Agents gathered in one loop, and a batch of them, are runs of their own."""
    answers = [calls(("search", "c-1")), says("done")]
    await asyncio.gather(
        *(agent(*answers).ainvoke(asks(), thread(f"t-{n}")) for n in range(5)),
        graph(("count", count)).abatch([{"number": n} for n in range(3)]),
    )

    runs = runs_of(audit)
    assert len(runs) == 8
    assert all(run.end.type == "run_completed" for run in runs)
    assert [
        run.types.count("tool_call_started") for run in runs if "t-" in run.start.session_id
    ] == [1] * 5


def test_parallel_branches_are_one_run(audit: InMemoryAuditLogger) -> None:
    """Nodes of one step that run in threads of their own belong to the run."""
    model = ScriptedModel(answers=[says("a"), says("b")])
    builder = StateGraph(MessagesState)
    for name in ("left", "right"):
        builder.add_node(name, lambda state: {"messages": [model.invoke(state["messages"])]})
        builder.add_edge(START, name)
    builder.compile().invoke(asks(), thread())

    assert only_run(audit).end.data["token_usage"] == used(2)


def test_a_bare_thread_is_seen(audit: InMemoryAuditLogger) -> None:
    """A thread without a copy of the context is recorded, without a session under the run's own id."""
    worker = threading.Thread(
        target=contextvars.Context().run,
        args=(agent(says("done")).invoke, asks()),
    )
    worker.start()
    worker.join()

    run = only_run(audit)
    assert run.start.session_id == run.run_id
    assert run.start.metadata["session_missing"] is True
