"""LangChain and LangGraph, the real ones, with scripted models: what is recorded of a run without a pause."""

import asyncio
import contextvars
import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypedDict

import pytest
from langchain_core.documents import Document
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.tools import tool
from langgraph.errors import NodeTimeoutError
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, RetryPolicy
from tests.capture.all.langchain_scenes import (
    ONE_CALL,
    ScriptedModel,
    StreamingModel,
    agent,
    asks,
    broken,
    calls,
    only_run,
    runs_of,
    says,
    search,
    thread,
    used,
)

from capture_rules import check_same_outcome
from trailhouse.capture.langchain import install
from trailhouse.producer.testing import InMemoryAuditLogger
from trailhouse.schemas import SpoolFullError


@pytest.fixture(autouse=True)
def installed(audit: InMemoryAuditLogger) -> Iterator[None]:
    """Record what LangChain does, and stop recording it afterwards."""
    undo = install(audit)
    yield
    undo()


class Count(TypedDict):
    number: int


def graph(*nodes: tuple[str, Callable[..., Any]], **policy: Any) -> Any:
    """Return a graph of *nodes* in a row."""
    builder = StateGraph(Count)
    before = START
    for name, node in nodes:
        builder.add_node(name, node, **policy)
        builder.add_edge(before, name)
        before = name
    return builder.compile()


def count(state: Count) -> Count:
    return {"number": state["number"] + 1}


def fail(_: Count) -> Count:
    raise LookupError("gone")


async def logged(audit: InMemoryAuditLogger, type: str, count: int = 1) -> None:
    """Wait, ten seconds at most, until so many events of *type* are logged: LangChain ends some things late."""
    async with asyncio.timeout(10):
        while [str(event.type) for event in audit.events].count(type) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.001)


def test_a_run_has_its_input_tool_calls_usage_and_answer(audit: InMemoryAuditLogger) -> None:
    """An agent's run is recorded from question to answer, under its thread and its name."""
    agent(calls(("search", "c-1")), says("done")).invoke(asks(), thread())

    run = only_run(audit)
    assert run.types == [
        "run_started",
        "message_received",
        "token_usage_updated",
        "tool_call_started",
        "tool_call_completed",
        "token_usage_updated",
        "message_sent",
        "run_completed",
    ]
    assert {event.session_id for event in run.events} == {"t-1"}
    assert {event.agent_id for event in run.events} == {"helper"}
    by_type = {str(event.type): event.data for event in run.events}
    assert by_type["message_received"]["content"] == "hi"
    assert by_type["tool_call_started"]["arguments"] == {"query": "x"}
    assert by_type["tool_call_completed"]["result"] == "found x"
    assert by_type["tool_call_completed"]["tool_call_id"] == "c-1"
    assert by_type["token_usage_updated"] == ONE_CALL | {"model": "scripted-1"}
    assert by_type["message_sent"]["content"] == "done"
    assert run.end.data["token_usage"] == used(2)


async def test_an_asynchronous_run_is_recorded_as_a_synchronous_one(
    audit: InMemoryAuditLogger,
) -> None:
    """`ainvoke` gives the same events as `invoke`, in the same order."""
    agent(calls(("search", "c-1")), says("done")).invoke(asks(), thread())
    sync_types = only_run(audit).types
    audit.clear()

    await agent(calls(("search", "c-1")), says("done")).ainvoke(asks(), thread())

    assert only_run(audit).types == sync_types


@pytest.mark.parametrize("mode", ["values", "updates", "messages"])
async def test_a_streamed_run_is_recorded_once(audit: InMemoryAuditLogger, mode: str) -> None:
    """Each way to stream an agent gives one run with the usage that its stream ends with."""
    answers = [calls(("search", "c-1")), says("all is done")] * 2
    streamed = agent(*answers, kind=StreamingModel)

    for _ in streamed.stream(asks(), thread(), stream_mode=mode):
        pass
    async for _ in streamed.astream(asks(), thread(), stream_mode=mode):
        pass

    first, second = runs_of(audit)
    for run in (first, second):
        assert run.end.data["token_usage"] == used(2)
        assert run.types.count("tool_call_completed") == 1


def test_a_run_that_fails_says_why(audit: InMemoryAuditLogger) -> None:
    """What a model raises ends the run as failed, and the application gets it as ever."""
    with pytest.raises(ValueError, match="refused"):
        agent(ValueError("refused")).invoke(asks(), thread())

    run = only_run(audit)
    assert run.types[-2:] == ["model_call_failed", "run_failed"]
    assert run.end.data["error_code"] == "ValueError"


def test_a_tool_that_raises_has_failed(audit: InMemoryAuditLogger) -> None:
    """A tool's exception is its call's failure; where nothing catches it, also the run's, and told once."""
    with pytest.raises(LookupError):
        agent(calls(("broken", "c-1")), says("sorry"), tools=[broken]).invoke(asks(), thread())

    run = only_run(audit)
    assert run.types[-2:] == ["tool_call_failed", "run_failed"]


def test_a_tool_whose_error_the_model_is_told_has_failed_in_a_run_that_completes(
    audit: InMemoryAuditLogger,
) -> None:
    """A message of status error is no result."""
    from langgraph.prebuilt import ToolNode

    node = ToolNode([broken], handle_tool_errors=True)
    builder = StateGraph(MessagesState)
    builder.add_node("tools", node)
    builder.add_edge(START, "tools")
    builder.compile().invoke({"messages": [*asks()["messages"], calls(("broken", "c-1"))]})

    run = only_run(audit)
    assert run.end.type == "run_completed"
    assert "tool_call_failed" in run.types
    assert "error_occurred" not in run.types


def test_a_nested_agent_is_a_child_run_with_its_own_usage(audit: InMemoryAuditLogger) -> None:
    """An agent that a tool calls is a child in its parent's session, and its tokens are its own."""
    inner = agent(says("inner"), says("inner"), name="inner")

    @tool
    def ask(query: str) -> str:
        """Ask the other agent."""
        return str(inner.invoke(asks(query), thread("another"))["messages"][-1].content)

    agent(calls(("ask", "c-1")), calls(("ask", "c-2")), says("done"), tools=[ask]).invoke(
        asks(), thread()
    )

    outer, *children = runs_of(audit)
    assert [child.start.parent_run_id for child in children] == [outer.run_id] * 2
    assert {child.start.session_id for child in children} == {"t-1"}
    assert {child.start.agent_id for child in children} == {"inner"}
    assert [child.end.data["token_usage"] for child in children] == [used(1)] * 2
    assert outer.end.data["token_usage"] == used(3)
    assert "message_received" not in children[0].types


def test_agents_in_a_graph_are_runs_and_its_subgraphs_are_not(audit: InMemoryAuditLogger) -> None:
    """Named graphs and agents have runs of their own; a graph that only orders another's steps has none."""
    named = StateGraph(MessagesState)
    named.add_node("step", lambda _: {"messages": []})
    named.add_edge(START, "step")
    builder = StateGraph(MessagesState)
    builder.add_node("named_agent", agent(says("a"), name="researcher"))
    builder.add_node("unnamed_agent", agent(says("b"), name=None))
    builder.add_node("named_graph", named.compile(name="writer"))
    builder.add_node("subgraph", named.compile())
    order = [START, "named_agent", "unnamed_agent", "named_graph", "subgraph"]
    for before, after in itertools.pairwise(order):
        builder.add_edge(before, after)

    builder.compile(name="team").invoke(asks(), thread())

    team, *children = runs_of(audit)
    assert team.start.agent_id == "team"
    assert [child.start.agent_id for child in children] == ["researcher", "LangGraph", "writer"]
    assert team.end.data["token_usage"] == {}


def test_a_handoff_to_another_agent_is_told(audit: InMemoryAuditLogger) -> None:
    """An agent that leaves by a command to the graph around it has handed over, and not failed."""

    @tool
    def transfer(query: str) -> Any:
        """Hand over."""
        return Command(goto="second", graph=Command.PARENT, update={"messages": []})

    builder = StateGraph(MessagesState)
    builder.add_node("first", agent(calls(("transfer", "c-1")), tools=[transfer], name="first"))
    builder.add_node("second", agent(says("done"), name="second"))
    builder.add_edge(START, "first")
    builder.compile().invoke(asks(), thread())

    root, first, second = runs_of(audit)
    handed_off = next(event for event in first.events if event.type == "agent_handed_off")
    assert handed_off.data["to_agent_id"] == "second"
    assert [run.end.type for run in (root, first, second)] == ["run_completed"] * 3
    assert first.end.data["stop_reason"] == "handed_off"


def test_a_retried_node_tells_its_error_and_the_run_completes(audit: InMemoryAuditLogger) -> None:
    """LangGraph is silent about retries: an error that the run outlives is told all the same."""
    tries: list[int] = []

    def flaky(state: Count) -> Count:
        tries.append(1)
        if len(tries) < 3:
            raise ConnectionError(f"try {len(tries)}")
        return count(state)

    policy = RetryPolicy(initial_interval=0.001, jitter=False, retry_on=ConnectionError)
    graph(("flaky", flaky), retry_policy=policy).invoke({"number": 1}, thread())

    run = only_run(audit)
    told = [e.data["error_message"] for e in run.events if e.type == "error_occurred"]
    assert told == ["try 1", "try 2"]
    assert run.end.type == "run_completed"


def test_a_node_that_fails_for_good_is_told_once(audit: InMemoryAuditLogger) -> None:
    """The error that ends a run is not told as one that it outlived."""
    with pytest.raises(LookupError):
        graph(("count", count), ("fail", fail)).invoke({"number": 1}, thread())

    run = only_run(audit)
    assert run.types == ["run_started", "message_received", "run_failed"]


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
        may_end.wait(10)
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


def test_a_plain_chain_is_one_run(audit: InMemoryAuditLogger) -> None:
    """A chain's prompts, parsers and branches are scaffolding."""
    model = ScriptedModel(answers=[says("yes")])
    chain = (
        ChatPromptTemplate.from_messages([("human", "{question}")])
        | model
        | RunnableParallel(text=RunnableLambda(lambda m: m.content), size=RunnableLambda(len_of))
    )
    chain.invoke({"question": "hi"}, {"metadata": {"session_id": "s-1"}})

    run = only_run(audit)
    assert run.start.session_id == "s-1"
    assert run.types == [
        "run_started",
        "message_received",
        "token_usage_updated",
        "message_sent",
        "run_completed",
    ]


def len_of(message: Any) -> int:
    return len(message.content)


def test_a_streamed_chain_has_its_question(audit: InMemoryAuditLogger) -> None:
    """The input of a streamed chain is known only at its end, and recorded all the same."""
    model = StreamingModel(answers=[says("one two")])
    chain = ChatPromptTemplate.from_messages([("human", "{question}")]) | model
    assert list(chain.stream({"question": "hi"}))

    run = only_run(audit)
    asked = next(event for event in run.events if event.type == "message_received")
    assert asked.data["content"] == {"question": "hi"}
    assert run.end.data["token_usage"] == used(1)


async def test_a_model_whose_stream_is_broken_off_was_cancelled(audit: InMemoryAuditLogger) -> None:
    """A bare model is a run; its broken-off stream failed for want of an end, and the run is cancelled."""
    model = StreamingModel(answers=[says("one two three")] * 2)
    stream = model.stream("hi")
    next(stream)
    stream.close()
    chunks = model.astream("hi")
    await anext(chunks)
    await chunks.aclose()
    await logged(audit, "run_cancelled", 2)

    for run in runs_of(audit):
        assert run.types[-2:] == ["model_call_failed", "run_cancelled"]


def test_within_a_run_models_tools_and_chains_are_part_of_it(audit: InMemoryAuditLogger) -> None:
    """What is no agent belongs to the run that is bound around it; an agent is its child."""
    with audit.run("s-1", agent_id="plain"):
        ScriptedModel(answers=[says("a")]).invoke("hi")
        search.invoke({"query": "x"})
        RunnableLambda(lambda value: value).invoke(1)
        agent(says("b")).invoke(asks(), thread())

    plain, child = runs_of(audit)
    assert plain.end.data["token_usage"] == used(1)
    assert plain.types.count("tool_call_completed") == 1
    assert child.start.parent_run_id == plain.run_id
    assert child.start.session_id == "s-1"
    assert child.start.metadata["framework_session_id"] == "t-1"


async def test_code_in_tools_and_nodes_finds_the_run(audit: InMemoryAuditLogger) -> None:
    """What is logged in a tool or a node belongs to its run, and nothing of it is left afterwards."""

    @tool
    async def note(query: str) -> str:
        """Take a note."""
        audit.log("turn_completed", data={"turn": 1})
        return query

    def node(state: Count) -> Count:
        with audit.run(agent_id="inside"):
            return count(state)

    await agent(calls(("note", "c-1")), says("done"), tools=[note]).ainvoke(asks(), thread())
    assert audit.context.run_id is None
    graph(("node", node)).invoke({"number": 1}, thread())
    await graph(("node", node)).ainvoke({"number": 1}, thread())
    assert audit.context.run_id is None

    first, *others = runs_of(audit)
    assert "turn_completed" in first.types
    assert [run.start.parent_run_id for run in others] == [
        None,
        others[0].run_id,
        None,
        others[2].run_id,
    ]


def test_a_retriever_is_no_run(audit: InMemoryAuditLogger) -> None:
    """A retriever alone leaves nothing, and what it asks a model is recorded."""
    model = ScriptedModel(answers=[says("better question"), says("again")])

    class Asking(BaseRetriever):
        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
            model.invoke(query, {"callbacks": run_manager.get_child()})
            return [Document(page_content=query)]

    Asking().invoke("x")
    (RunnableLambda(str) | Asking()).invoke("x")

    assert [run.start.agent_id for run in runs_of(audit)] == ["ScriptedModel", "RunnableSequence"]
    assert [run.end.data["token_usage"] for run in runs_of(audit)] == [used(1)] * 2


def test_a_tool_that_is_tried_again_has_two_calls(audit: InMemoryAuditLogger) -> None:
    """A retried tool has a start and an end for each try, though the model called it once."""
    from langchain.agents.middleware import ToolRetryMiddleware

    tries: list[int] = []

    @tool
    def flaky(query: str) -> str:
        """Fail once."""
        tries.append(1)
        if len(tries) == 1:
            raise ConnectionError("lost")
        return query

    retry = ToolRetryMiddleware(initial_delay=0.001, jitter=False)
    agent(calls(("flaky", "c-1")), says("done"), tools=[flaky], middleware=[retry]).invoke(asks())

    run = only_run(audit)
    ends = [
        event for event in run.events if event.type in ("tool_call_failed", "tool_call_completed")
    ]
    assert [event.data["tool_call_id"] for event in ends] == ["c-1", "c-1/2"]
    assert run.end.type == "run_completed"


def test_answers_from_a_cache_use_nothing(audit: InMemoryAuditLogger) -> None:
    """What LangChain answers from its own cache was no model call."""
    from langchain_core.caches import InMemoryCache

    model = ScriptedModel(answers=[says("yes")], cache=InMemoryCache())
    model.invoke("hi")
    model.invoke("hi")

    assert [run.types.count("token_usage_updated") for run in runs_of(audit)] == [1, 0]


def test_usage_that_is_not_given_is_missing(audit: InMemoryAuditLogger) -> None:
    """A model that says nothing of tokens has used an unknown number, not none."""
    from langchain_core.messages import AIMessage

    agent(AIMessage(content="done")).invoke(asks(), thread())

    assert only_run(audit).end.data["token_usage"] == {"usage_missing": True}


def test_a_run_id_that_is_given_twice_is_two_runs(audit: InMemoryAuditLogger) -> None:
    """An application that names two runs alike has two all the same."""
    import uuid

    config = thread() | {"run_id": uuid.uuid4()}
    two = graph(("count", count))
    two.invoke({"number": 1}, config)
    two.invoke({"number": 1}, config)

    assert len(runs_of(audit)) == 2


def test_installed_twice_records_once_and_undone_not_at_all(audit: InMemoryAuditLogger) -> None:
    """A second installation changes nothing, and undone is undone."""
    undo = install(audit)
    graph(("count", count)).invoke({"number": 1})
    assert len(runs_of(audit)) == 1

    undo()
    graph(("count", count)).invoke({"number": 1})
    assert len(runs_of(audit)) == 1


def test_a_full_spool_changes_nothing_for_the_application(audit: InMemoryAuditLogger) -> None:
    """What cannot be logged is counted; results, exceptions and streams are as without us."""
    audit.fail_with(SpoolFullError("full"))

    def works() -> Any:
        return agent(calls(("search", "c-1")), says("done")).invoke(asks(), thread())

    def fails() -> Any:
        return graph(("fail", fail)).invoke({"number": 1})

    for application in (works, fails):
        check_same_outcome(
            application,
            lambda: install(audit),
            lambda state: [m.content for m in state["messages"]],
        )
    assert audit.stats().unlogged_total > 0
    assert audit.events == []


def test_strict_raises_what_is_lost(audit: InMemoryAuditLogger) -> None:
    """For who must not act without a record, a full spool stops the agent."""
    with InMemoryAuditLogger() as other:
        undo = install(other, strict=True)
        other.fail_with(SpoolFullError("full"))
        try:
            with pytest.raises(SpoolFullError):
                graph(("count", count)).invoke({"number": 1})
        finally:
            undo()
