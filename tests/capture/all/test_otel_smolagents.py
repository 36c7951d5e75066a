"""smolagents, by OpenInference's instrumentation beside `install(audit)`.

Its spans cannot show: a session; usage call by call, where the model's class is made after the instrumentation; the end
of a run that failed, which is told when the next one starts or at shutdown.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from openinference.instrumentation.smolagents import SmolagentsInstrumentor
from opentelemetry import context
from smolagents import Model, ToolCallingAgent, tool
from smolagents.models import (
    ChatMessage,
    ChatMessageToolCall,
    ChatMessageToolCallFunction,
    MessageRole,
    TokenUsage,
)

from capture_rules import check_runs
from trailhouse.capture.otel import install
from trailhouse.producer.testing import InMemoryAuditLogger


@pytest.fixture
def audit(audit: InMemoryAuditLogger) -> Iterator[InMemoryAuditLogger]:
    around = context.attach(
        context.Context()
    )  # the instrumentation leaves a failed run's span current
    undo = install(audit)
    SmolagentsInstrumentor().instrument()
    yield audit
    SmolagentsInstrumentor().uninstrument()
    undo()
    context.attach(context.Context())
    del around


class Scripted(Model):
    """A model that calls these tools, one after another, or raises."""

    def __init__(self, *answers: Any) -> None:
        super().__init__(model_id="m-1")
        self.coming = iter(answers)

    def generate(self, messages: Any, **more: Any) -> ChatMessage:
        answer = next(self.coming)
        if isinstance(answer, BaseException):
            raise answer
        name, arguments = answer
        function = ChatMessageToolCallFunction(name=name, arguments=arguments)
        return ChatMessage(
            role=MessageRole.ASSISTANT,
            content="",
            tool_calls=[ChatMessageToolCall(id="c-1", type="function", function=function)],
            token_usage=TokenUsage(input_tokens=10, output_tokens=2),
        )


@tool
def add(a: int, b: int) -> int:
    """Add two numbers.

    Args:
        a: One.
        b: The other.
    """
    return a + b


def agent(*answers: Any, name: str = "bot", **more: Any) -> Any:
    given = {"tools": [add], **more}
    return ToolCallingAgent(
        model=Scripted(*answers), name=name, description=name, verbosity_level=0, **given
    )


def final(answer: str) -> tuple[str, dict[str, str]]:
    return "final_answer", {"answer": answer}


def test_a_run_with_a_tool(audit: InMemoryAuditLogger) -> None:
    """Agent, tools with their arguments and results, answer and the run's own totals are recorded."""
    assert agent(("add", {"a": 1, "b": 2}), final("three")).run("hi") == "three"
    (run,) = check_runs(audit.events)
    assert run.start.agent_id == "bot"
    called = audit.only("tool_call_started", data={"tool_name": "add"})
    assert called.data["arguments"] == {"a": 1, "b": 2}
    assert audit.only("message_sent").data["content"] == "three"
    totals = run.end.data["token_usage"]
    assert (totals["input_tokens"], totals["output_tokens"]) == (20, 4)


def test_a_stream(audit: InMemoryAuditLogger) -> None:
    """A run whose steps are streamed to their end is a run as any."""
    steps = list(agent(("add", {"a": 1, "b": 2}), final("three")).run("hi", stream=True))
    assert steps[-1].output == "three"
    (run,) = check_runs(audit.events)
    assert run.end.type == "run_completed"
    assert run.types.count("tool_call_started") == run.types.count("tool_call_completed") == 2


def test_a_stream_that_is_left(audit: InMemoryAuditLogger) -> None:
    """A reader that leaves cancels the run, and sees nothing of it."""
    steps = agent(("add", {"a": 1, "b": 2}), final("three")).run("hi", stream=True)
    next(steps)
    steps.close()
    (run,) = check_runs(audit.events)
    assert run.end.type == "run_cancelled"


def test_a_stream_that_fails(audit: InMemoryAuditLogger) -> None:
    """A model's error on the way fails the run."""
    undo = install(audit)
    with pytest.raises(Exception, match="down"):
        list(agent(ConnectionError("down")).run("hi", stream=True))
    undo()
    (run,) = check_runs(audit.events)
    assert run.end.type == "run_failed"


def test_a_run_that_fails_is_told_with_the_next(audit: InMemoryAuditLogger) -> None:
    """A failed run, whose span nobody ends, ends as failed when the next one starts, which is not its child."""
    with pytest.raises(Exception, match="down"):
        agent(ConnectionError("down"), name="first").run("hi")
    agent(final("x"), name="second").run("hi")
    first, second = check_runs(audit.events)
    assert (first.start.agent_id, first.end.type) == ("first", "run_failed")
    assert (second.start.agent_id, second.start.parent_run_id) == ("second", None)


def test_a_run_that_fails_last_is_told_at_the_end(audit: InMemoryAuditLogger) -> None:
    """A failed run that no other follows ends as failed when we are taken out."""
    undo = install(audit)
    with pytest.raises(Exception, match="down"):
        agent(ConnectionError("down")).run("hi")
    undo()
    (run,) = check_runs(audit.events)
    assert run.end.type == "run_failed"


def test_a_managed_agent_is_a_child(audit: InMemoryAuditLogger) -> None:
    """An agent that another one manages is its child run."""
    inner = agent(final("in"), name="inner", tools=[])
    outer = agent(
        ("inner", {"task": "t"}), final("out"), name="outer", tools=[], managed_agents=[inner]
    )
    assert outer.run("hi") == "out"
    first, second = check_runs(audit.events)
    assert [first.start.agent_id, second.start.agent_id] == ["outer", "inner"]
    assert second.start.parent_run_id == first.run_id


@tool
def refuse() -> str:
    """Refuse."""
    raise LookupError("no")


def test_a_tool_that_raises(audit: InMemoryAuditLogger) -> None:
    """The agent answers its model in the tool's place: the tool has failed, and the run goes on."""
    assert agent(("refuse", {}), final("none"), tools=[refuse]).run("hi") == "none"
    (run,) = check_runs(audit.events)
    assert run.end.type == "run_completed"
    assert run.types.count("tool_call_failed") == 1


def test_runs_side_by_side(audit: InMemoryAuditLogger) -> None:
    """Agents in threads do not mix: each is a run with its own tool, in a session of its own."""
    answered: dict[int, str] = {}

    def work(number: int) -> None:
        asked = agent(("add", {"a": number, "b": 2}), final(str(number)), name=f"bot_{number}")
        answered[number] = asked.run("hi")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    runs = check_runs(audit.events)
    assert answered == {0: "0", 1: "1", 2: "2"}
    assert {run.start.agent_id for run in runs} == {"bot_0", "bot_1", "bot_2"}
    assert len({run.start.session_id for run in runs}) == 3
    added = [
        each
        for each in audit.events
        if each.type == "tool_call_started" and each.data["tool_name"] == "add"
    ]
    assert sorted(each.data["arguments"]["a"] for each in added) == [0, 1, 2]
