"""LangChain and LangGraph, the real ones, with scripted models: what is recorded of a run without a pause."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, RetryPolicy
from tests.capture.all.langchain_scenes import (
    ONE_CALL,
    Count,
    StreamingModel,
    agent,
    asks,
    broken,
    calls,
    count,
    fail,
    graph,
    only_run,
    runs_of,
    says,
    thread,
    used,
)

from trailhouse.capture.langchain import install
from trailhouse.producer.testing import InMemoryAuditLogger


@pytest.fixture(autouse=True)
def installed(audit: InMemoryAuditLogger) -> Iterator[None]:
    """Record what LangChain does, and stop recording it afterwards."""
    undo = install(audit)
    yield
    undo()


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
