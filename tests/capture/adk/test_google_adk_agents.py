"""Agents of the Agent Development Kit within others, and side by side: each has a run of its own."""

import asyncio
from collections.abc import Iterator

import pytest
from google.adk.agents import ParallelAgent, SequentialAgent
from google.adk.tools import AgentTool
from tests.capture.adk.scripted import (
    Talk,
    an_agent,
    calls,
    runs_of,
    says,
    weather,
)

from trailhouse.capture import google_adk
from trailhouse.producer.testing import InMemoryAuditLogger


@pytest.fixture(autouse=True)
def installed(audit: InMemoryAuditLogger) -> Iterator[None]:
    undo = google_adk.install(audit)
    yield
    undo()


async def test_a_transfer(audit: InMemoryAuditLogger) -> None:
    """Who takes over has a run of its own within the first one's; the one that hands over was not cancelled."""
    expert = an_agent(
        calls(("weather", {"city": "Rome"})), says("21"), name="expert", tools=[weather]
    )
    desk = an_agent(
        calls(("transfer_to_agent", {"agent_name": "expert"})), name="desk", sub_agents=[expert]
    )
    talk = Talk(desk)
    await talk.say("how warm?")

    first, second = runs_of(audit)
    handed = next(event for event in first.events if event.type == "agent_handed_off")
    assert (handed.data["from_agent_id"], handed.data["to_agent_id"]) == ("desk", "expert")
    assert (first.start.agent_id, first.end.type) == ("desk", "run_completed")
    assert (second.start.agent_id, second.end.type) == ("expert", "run_completed")
    assert second.start.parent_run_id == first.run_id
    assert first.end.data["token_usage"]["input_tokens"] == 20
    assert second.end.data["token_usage"]["input_tokens"] == 30


async def test_the_turn_after_a_transfer_is_the_experts(audit: InMemoryAuditLogger) -> None:
    """The next run belongs to the agent that it starts with, which is not always the root."""
    expert = an_agent(says("21"), says("still 21"), name="expert")
    desk = an_agent(
        calls(("transfer_to_agent", {"agent_name": "expert"})), name="desk", sub_agents=[expert]
    )
    talk = Talk(desk)
    await talk.say("how warm?")
    await talk.say("and now?")

    assert [run.start.agent_id for run in runs_of(audit)] == ["desk", "expert", "expert"]


async def test_agents_in_a_row_and_side_by_side(audit: InMemoryAuditLogger) -> None:
    """Each agent of a team has a run of its own, with its own usage, below the one that it is part of."""
    pair = ParallelAgent(
        name="pair", sub_agents=[an_agent(says("b", 2), name="b"), an_agent(says("c", 3), name="c")]
    )
    await Talk(
        SequentialAgent(name="team", sub_agents=[an_agent(says("a", 1), name="a"), pair])
    ).say("go")

    runs = {run.start.agent_id: run for run in runs_of(audit)}
    assert {name: run.start.parent_run_id for name, run in runs.items()} == {
        "team": None,
        "a": runs["team"].run_id,
        "pair": runs["team"].run_id,
        "b": runs["pair"].run_id,
        "c": runs["pair"].run_id,
    }
    read = {name: run.end.data["token_usage"].get("input_tokens") for name, run in runs.items()}
    assert read == {"team": None, "a": 1, "pair": None, "b": 2, "c": 3}


async def test_an_agent_as_a_tool(audit: InMemoryAuditLogger) -> None:
    """The kit opens another session for it: it stays in its parent's, below the run that called it."""
    inner = an_agent(says("in"), name="inner")
    await Talk(
        an_agent(
            calls(("inner", {"request": "q"})), says("out"), name="outer", tools=[AgentTool(inner)]
        )
    ).say("go")

    outer, child = runs_of(audit)
    assert child.start.parent_run_id == outer.run_id
    assert {event.session_id for event in audit.events} == {"session-1"}
    assert child.start.metadata["framework_session_id"] != "session-1"
    assert "message_received" not in child.types
    assert outer.end.data["token_usage"]["input_tokens"] == 30


async def test_a_run_within_plain_python(audit: InMemoryAuditLogger) -> None:
    """A run that is bound is the parent; and a tool's own events are in the run that called it."""

    def notes() -> str:
        """Note."""
        audit.log("error_occurred", data={"error_message": "seen"})
        return "ok"

    with audit.run("outer-session", agent_id="script") as outer:
        await Talk(an_agent(calls(("notes", {})), says("x"), tools=[notes])).say("go")

    _, child = runs_of(audit)
    assert child.start.parent_run_id == outer.id
    assert "error_occurred" in child.types


async def test_runs_side_by_side(audit: InMemoryAuditLogger) -> None:
    """Runs at once do not mix."""
    talks = [
        Talk(
            an_agent(calls(("weather", {"city": f"{number}"})), says(f"{number}"), tools=[weather]),
            f"session-{number}",
        )
        for number in range(8)
    ]
    await asyncio.gather(*(talk.say("go") for talk in talks))

    runs = runs_of(audit)
    assert len(runs) == 8
    for run in runs:
        number = (run.start.session_id or "").removeprefix("session-")
        assert [
            event.data["arguments"] for event in run.events if event.type == "tool_call_started"
        ] == [{"city": number}]
