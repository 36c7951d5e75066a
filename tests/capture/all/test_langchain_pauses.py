"""LangGraph's pauses, the real ones, with scripted models: what is asked of a person, and what is decided."""

from collections.abc import Iterator
from typing import Any, TypedDict

import pytest
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, interrupt
from tests.capture.all.langchain_scenes import (
    agent,
    asks,
    calls,
    runs_of,
    says,
    thread,
    used,
)

from capture_rules import Recorded
from trailhouse.capture.langchain import install
from trailhouse.producer.testing import InMemoryAuditLogger


@pytest.fixture(autouse=True)
def installed(audit: InMemoryAuditLogger) -> Iterator[None]:
    """Record what LangChain does, and stop recording it afterwards."""
    undo = install(audit)
    yield
    undo()


class Note(TypedDict):
    text: str


def reviewed(*answers: Any, **more: Any) -> Any:
    """Return an agent whose searches a person reviews."""
    review = HumanInTheLoopMiddleware(interrupt_on={"search": True}, **more)
    return agent(*answers, middleware=[review], checkpointer=InMemorySaver())


def of(run: Recorded, *types: str) -> list[tuple[str, Any]]:
    return [(str(e.type), e.data.get("tool_call_id")) for e in run.events if e.type in types]


DECIDED = ("tool_approval_granted", "tool_approval_denied", "session_resumed")
RAN = ("tool_call_started", "tool_call_completed", "tool_call_failed")


def test_a_tool_that_waits_is_asked_about_and_has_not_run(audit: InMemoryAuditLogger) -> None:
    """A pause is a completed run that is paused, beside a request for each call; none of them has begun."""
    two = calls(("search", "c-1"), ("search", "c-2"))
    reviewed(two, says("done")).invoke(asks(), thread())

    (run,) = runs_of(audit)
    assert run.types == [
        "run_started",
        "message_received",
        "token_usage_updated",
        "tool_approval_requested",
        "tool_approval_requested",
        "run_completed",
    ]
    assert of(run, "tool_approval_requested") == [
        ("tool_approval_requested", "c-1"),
        ("tool_approval_requested", "c-2"),
    ]
    assert run.events[3].data["arguments"] == {"query": "x"}
    assert run.end.data["stop_reason"] == "paused"


@pytest.mark.parametrize(
    ("decision", "event", "has_run", "reason"),
    [
        ({"type": "approve"}, "tool_approval_granted", True, None),
        (
            {"type": "edit", "edited_action": {"name": "search", "args": {"query": "y"}}},
            "tool_approval_granted",
            True,
            "edit",
        ),
        ({"type": "reject", "message": "not today"}, "tool_approval_denied", False, "not today"),
        ({"type": "respond", "message": "it is 4"}, "tool_approval_denied", False, "it is 4"),
    ],
)
@pytest.mark.parametrize("mode", ["batched", "per_call"])
def test_a_decision_is_recorded_in_the_run_that_goes_on(
    audit: InMemoryAuditLogger,
    mode: Any,
    decision: dict[str, Any],
    event: str,
    has_run: bool,
    reason: str | None,
) -> None:
    """Granted tools run and others do not; the decision names its call, in both ways to pause."""
    one = reviewed(calls(("search", "c-1")), says("done"), interrupt_mode=mode)
    paused = one.invoke(asks(), thread())
    answer: Any = {"decisions": [decision]}
    if mode == "per_call":
        answer = {paused["__interrupt__"][0].id: decision}
    one.invoke(Command(resume=answer), thread())

    before, after = runs_of(audit)
    assert of(before, *RAN) == []
    assert before.end.data["stop_reason"] == "paused"
    assert of(after, *DECIDED) == [(event, "c-1")]
    decided = next(each for each in after.events if each.type == event)
    assert decided.data["approval_id"] == "c-1"
    assert decided.data["tool_name"] == "search"
    assert decided.data.get("reason") == reason
    assert bool(of(after, "tool_call_completed")) == has_run
    assert {before.start.session_id, after.start.session_id} == {"t-1"}
    assert after.end.data["token_usage"] == used(1)
    assert "message_received" not in after.types


def test_calls_are_decided_one_by_one(audit: InMemoryAuditLogger) -> None:
    """Of two calls that wait, each has the decision at its place."""
    one = reviewed(calls(("search", "c-1"), ("search", "c-2")), says("done"))
    one.invoke(asks(), thread())
    decisions = [{"type": "reject"}, {"type": "approve"}]
    one.invoke(Command(resume={"decisions": decisions}), thread())

    _, after = runs_of(audit)
    assert of(after, *DECIDED) == [
        ("tool_approval_denied", "c-1"),
        ("tool_approval_granted", "c-2"),
    ]
    assert of(after, *RAN) == [("tool_call_started", "c-2"), ("tool_call_completed", "c-2")]


def test_a_decision_on_what_another_process_asked_names_its_call(
    audit: InMemoryAuditLogger,
) -> None:
    """A process that did not see the question learns from the graph's state which call is meant."""
    one = reviewed(calls(("search", "c-1")), says("done"))
    undo = install(audit)
    undo()
    one.invoke(asks(), thread())
    undo = install(audit)
    one.invoke(Command(resume={"decisions": [{"type": "approve"}]}), thread())
    undo()

    (after,) = runs_of(audit)
    assert of(after, *DECIDED) == [("tool_approval_granted", "c-1")]


async def test_an_asynchronous_pause_is_recorded_as_a_synchronous_one(
    audit: InMemoryAuditLogger,
) -> None:
    """`ainvoke` and streams pause and go on as `invoke` does."""
    one = reviewed(calls(("search", "c-1")), says("done"))
    await one.ainvoke(asks(), thread())
    async for _ in one.astream(Command(resume={"decisions": [{"type": "approve"}]}), thread()):
        pass

    before, after = runs_of(audit)
    assert before.types[-2:] == ["tool_approval_requested", "run_completed"]
    assert before.end.data["stop_reason"] == "paused"
    assert of(after, *DECIDED, *RAN) == [
        ("tool_approval_granted", "c-1"),
        ("tool_call_started", "c-1"),
        ("tool_call_completed", "c-1"),
    ]


def test_a_question_pauses_the_session_and_its_answer_resumes_it(
    audit: InMemoryAuditLogger,
) -> None:
    """An interrupt that asks about no tool pauses the session; the answer is the next run's input."""

    def ask(state: Note) -> Note:
        return {"text": interrupt("How old are you?")}

    builder = StateGraph(Note)
    builder.add_node("ask", ask)
    builder.add_edge(START, "ask")
    one = builder.compile(checkpointer=InMemorySaver())
    one.invoke({"text": ""}, thread())
    one.invoke(Command(resume="forty"), thread())

    before, after = runs_of(audit)
    paused = next(event for event in before.events if event.type == "session_paused")
    assert paused.data["reason"] == "How old are you?"
    assert before.end.data["stop_reason"] == "paused"
    assert before.types == ["run_started", "message_received", "session_paused", "run_completed"]
    assert after.types[:3] == ["run_started", "session_resumed", "message_received"]
    assert after.events[2].data["content"] == "forty"


def test_a_tool_that_asks_while_it_runs_has_an_end_in_each_run(audit: InMemoryAuditLogger) -> None:
    """A tool that stops for a person did not complete; it begins anew when the graph goes on."""

    @tool
    def ask(query: str) -> str:
        """Ask a person."""
        return str(interrupt({"question": query}))

    one = agent(calls(("ask", "c-1")), says("done"), tools=[ask], checkpointer=InMemorySaver())
    one.invoke(asks(), thread())
    one.invoke(Command(resume="yes"), thread())

    before, after = runs_of(audit)
    failed = next(event for event in before.events if event.type == "tool_call_failed")
    assert failed.data["error_code"] == "approval_required"
    assert before.types[-2:] == ["session_paused", "run_completed"]
    assert of(after, *RAN) == [("tool_call_started", "c-1"), ("tool_call_completed", "c-1")]


def test_parallel_questions_are_asked_each_and_answered_by_their_ids(
    audit: InMemoryAuditLogger,
) -> None:
    """Two nodes that stop in one step pause the run once, and are answered by the interrupts' ids."""
    builder = StateGraph(MessagesState)
    for name in ("left", "right"):
        builder.add_node(name, lambda _, name=name: interrupt(name) and {"messages": []})
        builder.add_edge(START, name)
    one = builder.compile(checkpointer=InMemorySaver())
    paused = one.invoke(asks(), thread())
    one.invoke(Command(resume={each.id: "go" for each in paused["__interrupt__"]}), thread())

    before, after = runs_of(audit)
    assert before.types.count("session_paused") == 2
    assert before.end.data["stop_reason"] == "paused"
    assert after.types.count("session_resumed") == 2
    assert after.end.data["stop_reason"] == "end_turn"


@pytest.mark.parametrize("stop", ["interrupt_before", "interrupt_after"])
async def test_a_breakpoint_pauses_though_it_raises_nothing(
    audit: InMemoryAuditLogger, stop: str
) -> None:
    """LangGraph tells global handlers nothing of its breakpoints: the run is paused all the same."""
    builder = StateGraph(Note)
    builder.add_node("first", lambda state: state)
    builder.add_node("second", lambda state: state)
    builder.add_edge(START, "first")
    builder.add_edge("first", "second")
    at = {"interrupt_before": "second", "interrupt_after": "first"}[stop]
    one = builder.compile(checkpointer=InMemorySaver(), **{stop: [at]})
    one.invoke({"text": "a"}, thread("sync"))
    one.invoke(None, thread("sync"))
    await one.ainvoke({"text": "a"}, thread("async"))
    await one.ainvoke(None, thread("async"))

    runs = runs_of(audit)
    assert [run.end.data["stop_reason"] for run in runs] == ["paused", "end_turn"] * 2
    assert [run.types[-2] for run in runs] == ["session_paused", "message_sent"] * 2
    assert runs[1].types[1] == "session_resumed"


def test_a_nested_agent_that_pauses_pauses_all_around_it(audit: InMemoryAuditLogger) -> None:
    """What a nested agent asks is asked once, in its own run; its parent's run is paused with it."""
    inner = agent(
        calls(("search", "i-1")),
        says("inner"),
        name="inner",
        middleware=[HumanInTheLoopMiddleware(interrupt_on={"search": True})],
    )

    @tool
    def ask(query: str) -> str:
        """Ask the other agent."""
        return str(inner.invoke(asks(query))["messages"][-1].content)

    outer = agent(
        calls(("ask", "c-1")), says("done"), tools=[ask], name="outer", checkpointer=InMemorySaver()
    )
    outer.invoke(asks(), thread())
    outer.invoke(Command(resume={"decisions": [{"type": "approve"}]}), thread())

    before, nested, after, resumed = runs_of(audit)
    assert [run.end.data["stop_reason"] for run in (before, nested)] == ["paused", "paused"]
    assert of(nested, "tool_approval_requested") == [("tool_approval_requested", "i-1")]
    assert of(before, "tool_approval_requested", "session_paused") == []
    assert of(after, *DECIDED) == [("tool_approval_granted", "i-1")]
    assert of(resumed, *RAN) == [("tool_call_started", "i-1"), ("tool_call_completed", "i-1")]
    assert [run.end.data["stop_reason"] for run in (after, resumed)] == ["end_turn", "end_turn"]


def test_asked_again_without_an_answer_it_is_told_again(audit: InMemoryAuditLogger) -> None:
    """A graph that is started anew while it waits asks the same again, in the new run."""
    one = reviewed(calls(("search", "c-1")), says("done"))
    one.invoke(asks(), thread())
    one.invoke(None, thread())

    before, again = runs_of(audit)
    assert "tool_approval_requested" in before.types
    assert "tool_approval_requested" in again.types
    assert again.end.data["stop_reason"] == "paused"


def test_an_older_form_of_request_is_understood(audit: InMemoryAuditLogger) -> None:
    """Requests and answers in the form of LangGraph's older inbox are approvals as well."""

    def ask(state: Note) -> Note:
        request = {"action_request": {"action": "send", "args": {"to": "all"}}, "config": {}}
        (answer,) = interrupt([request])
        return {"text": answer["type"]}

    builder = StateGraph(Note)
    builder.add_node("ask", ask)
    builder.add_edge(START, "ask")
    one = builder.compile(checkpointer=InMemorySaver())
    one.invoke({"text": ""}, thread())
    one.invoke(Command(resume=[{"type": "ignore"}]), thread())

    before, after = runs_of(audit)
    asked = next(event for event in before.events if event.type == "tool_approval_requested")
    denied = next(event for event in after.events if event.type == "tool_approval_denied")
    assert (asked.data["tool_name"], asked.data["arguments"]) == ("send", {"to": "all"})
    assert denied.data["approval_id"] == asked.data["approval_id"]
