"""Strands' agents within each other, side by side and interrupted: what their spans show, and what they cannot."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any

import pytest
from strands import Agent, ToolContext, tool
from strands.models import Model

from capture_rules import Recorded, check_runs, check_same_outcome
from trailhouse.capture import otel
from trailhouse.producer.testing import InMemoryAuditLogger
from trailhouse.schemas import SpoolFullError

Answer = str | tuple[str, dict[str, Any]] | BaseException | Callable[[], Any]


class ScriptedModel(Model):
    """Answers what it was given to answer: a text, a tool's call, an error, or what to wait for."""

    def __init__(self, *script: Answer) -> None:
        self._script = list(script)

    def update_config(self, **model_config: Any) -> None:
        raise NotImplementedError

    def get_config(self) -> dict[str, str]:
        return {"model_id": "scripted-1"}

    def structured_output(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    async def stream(self, *args: Any, **kwargs: Any) -> AsyncGenerator[dict[str, Any], None]:
        answer = self._script.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        if callable(answer):
            await answer()
            return
        yield {"messageStart": {"role": "assistant"}}
        if isinstance(answer, str):
            yield {"contentBlockStart": {"start": {}}}
            yield {"contentBlockDelta": {"delta": {"text": answer}}}
        else:
            name, arguments = answer
            start = {"toolUse": {"name": name, "toolUseId": f"call-{name}"}}
            yield {"contentBlockStart": {"start": start}}
            yield {"contentBlockDelta": {"delta": {"toolUse": {"input": json.dumps(arguments)}}}}
        yield {"contentBlockStop": {}}
        yield {"messageStop": {"stopReason": "end_turn" if isinstance(answer, str) else "tool_use"}}
        used = {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15}
        yield {"metadata": {"usage": used, "metrics": {"latencyMs": 1}}}


@tool
def weather(city: str) -> str:
    """Tell the weather."""
    return f"21 °C in {city}"


@tool
def fails() -> str:
    """Fail."""
    raise KeyError("no such key")


def an_agent(*script: Answer, name: str = "helper", **given: Any) -> Agent:
    return Agent(name=name, model=ScriptedModel(*script), callback_handler=None, **given)


@pytest.fixture
def recorded(audit: InMemoryAuditLogger) -> Iterator[InMemoryAuditLogger]:
    undo = otel.install(audit)
    yield audit
    undo()


def runs_of(audit: InMemoryAuditLogger) -> list[Recorded]:
    audit.recorder.close()
    return check_runs(audit.events)


IN_A_SESSION = {"session.id": "session-1"}


def test_an_agent_within_a_tool(recorded: InMemoryAuditLogger) -> None:
    """It is a child run in its parent's session."""
    inner = an_agent("in", name="inner")

    @tool
    def ask(question: str) -> str:
        """Ask."""
        return str(inner(question))

    script: tuple[Answer, Answer] = (("ask", {"question": "q"}), "out")
    an_agent(*script, name="outer", tools=[ask], trace_attributes=IN_A_SESSION)("go")

    outer, child = runs_of(recorded)
    assert (child.start.agent_id, child.start.parent_run_id) == ("inner", outer.run_id)
    assert child.start.session_id == "session-1"


async def test_runs_side_by_side(recorded: InMemoryAuditLogger) -> None:
    """Runs at once do not mix."""
    agents = [
        an_agent("a", name=f"{n}", trace_attributes={"session.id": f"s-{n}"}) for n in range(6)
    ]
    await asyncio.gather(*(agent.invoke_async("go") for agent in agents))

    found = {(run.start.agent_id, run.start.session_id) for run in runs_of(recorded)}
    assert found == {(f"{n}", f"s-{n}") for n in range(6)}


def test_a_run_within_plain_python(recorded: InMemoryAuditLogger) -> None:
    """An agent that names no session has that of the run that it is run within."""
    with recorded.run("outer-session", agent_id="script") as outer:
        an_agent("a")("hello")

    _, child = runs_of(recorded)
    assert (child.start.session_id, child.start.parent_run_id) == ("outer-session", outer.id)


def test_a_run_without_a_session(recorded: InMemoryAuditLogger) -> None:
    """An agent that names none, on its own, is kept under its trace's id, and that is counted."""
    an_agent("a")("hello")

    [run] = runs_of(recorded)
    assert (run.start.session_id, run.start.metadata["session_missing"]) == (
        run.start.trace_id,
        True,
    )
    assert recorded.recorder.sessions_missing_total == 1


def test_what_no_span_shows(recorded: InMemoryAuditLogger) -> None:
    """An interrupt is a tool that failed in a run that completed: plain Python has to say that it waits."""

    @tool(context=True)
    def pay(amount: int, tool_context: ToolContext) -> str:
        """Pay."""
        answer = tool_context.interrupt("approval", reason="sure?")
        return "paid" if answer == "yes" else "left"

    agent = an_agent(("pay", {"amount": 5}), "done", tools=[pay], trace_attributes=IN_A_SESSION)
    paused = agent("pay 5")
    assert paused.stop_reason == "interrupt"
    agent([{"interruptResponse": {"interruptId": paused.interrupts[0].id, "response": "yes"}}])

    first, second = runs_of(recorded)
    assert "tool_approval_requested" not in first.types
    assert "tool_call_failed" in first.types
    assert first.end.data["stop_reason"] == "end_turn"
    assert "tool_call_completed" in second.types


@pytest.mark.parametrize("is_full", [False, True], ids=["spool", "full spool"])
def test_the_application_sees_what_it_sees_without(
    audit: InMemoryAuditLogger, is_full: bool
) -> None:
    """Results and errors are the same with us, also where nothing can be logged."""
    if is_full:
        audit.fail_with(SpoolFullError("full"))

    def run(*script: Answer) -> None:
        check_same_outcome(
            lambda: str(an_agent(*script, tools=[fails])("go")),
            lambda: otel.install(audit),
        )

    run("21")
    run(ValueError("no model today"))
    run(("fails", {}), "sorry")
    assert (audit.stats().unlogged_total > 0) is is_full
