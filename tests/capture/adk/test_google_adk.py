"""The Agent Development Kit with scripted models: what its runs leave in the log, however they end."""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing

import pytest
from google.adk.agents import SequentialAgent
from google.adk.agents.run_config import RunConfig, StreamingMode
from google.adk.models import LlmResponse
from google.genai import types
from tests.capture.adk.scripted import (
    Talk,
    an_agent,
    calls,
    fails,
    runs_of,
    says,
    texts,
    used,
    weather,
)

from trailhouse.capture import google_adk
from trailhouse.producer.testing import InMemoryAuditLogger


@pytest.fixture(autouse=True)
def installed(audit: InMemoryAuditLogger) -> Iterator[None]:
    undo = google_adk.install(audit)
    yield
    undo()


async def test_a_run_that_succeeds(audit: InMemoryAuditLogger) -> None:
    """A question, a tool's call, an answer: in one run, under the session's own id, with what the models used."""
    events = await Talk(
        an_agent(calls(("weather", {"city": "Rome"})), says("21 °C"), tools=[weather])
    ).say("how warm?")

    [run] = runs_of(audit)
    assert texts(events) == ["21 °C"]
    assert run.types == [
        "run_started", "message_received", "token_usage_updated", "tool_call_started", "tool_call_completed",
        "token_usage_updated", "message_sent", "run_completed",
    ]  # fmt: skip
    assert {event.session_id for event in run.events} == {"session-1"}
    assert run.start.agent_id == "helper"
    assert run.start.metadata["invocation_id"] == events[0].invocation_id
    assert run.events[3].data["arguments"] == {"city": "Rome"}
    assert run.events[4].data["result"] == {"degrees": 21}
    assert run.end.data["token_usage"] == {
        "input_tokens": 30,
        "output_tokens": 12,
        "total_tokens": 42,
    }
    assert run.events[2].data["model"] == "scripted-1"


async def test_a_model_that_fails(audit: InMemoryAuditLogger) -> None:
    """The application sees the model's own error, and the run has failed with it."""
    with pytest.raises(ValueError, match="no model today"):
        await Talk(an_agent(ValueError("no model today"))).say("hello")

    [run] = runs_of(audit)
    assert "model_call_failed" in run.types
    assert (run.end.type, run.end.data["error_code"]) == ("run_failed", "ValueError")


async def test_a_model_that_answers_with_an_error(audit: InMemoryAuditLogger) -> None:
    """An error that the kit hands out as an event, and does not raise, is the end of a run that answered nothing."""
    refused = LlmResponse(error_code="SAFETY", error_message="refused", usage_metadata=used(10, 0))
    await Talk(an_agent(refused)).say("hello")

    [run] = runs_of(audit)
    assert "model_call_failed" in run.types
    assert (run.end.type, run.end.data["error_code"]) == ("run_failed", "SAFETY")


async def test_a_tool_that_raises(audit: InMemoryAuditLogger) -> None:
    """The tool's call has failed, and the run with it, as the kit has it."""
    with pytest.raises(KeyError):
        await Talk(an_agent(calls(("fails", {})), tools=[fails])).say("try")

    [run] = runs_of(audit)
    assert run.types[-2:] == ["tool_call_failed", "run_failed"]


async def test_a_tool_that_is_not_there(audit: InMemoryAuditLogger) -> None:
    """A call of a tool that does not exist is a call that failed, and the run goes on."""
    await Talk(an_agent(calls(("nothing", {})), says("sorry"), tools=[weather])).say("try")

    [run] = runs_of(audit)
    assert [kind for kind in run.types if kind.startswith("tool")] == [
        "tool_call_started",
        "tool_call_failed",
    ]
    assert run.end.type == "run_completed"


async def test_a_run_that_is_cancelled_in_a_tool(audit: InMemoryAuditLogger) -> None:
    """The kit tells plugins nothing of a cancelled run: it is recorded as cancelled, its tool as failed."""
    has_begun = asyncio.Event()

    async def waits() -> str:
        """Wait."""
        has_begun.set()
        await asyncio.Event().wait()
        return "never"

    task = asyncio.create_task(Talk(an_agent(calls(("waits", {})), tools=[waits])).say("wait"))
    await has_begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    [run] = runs_of(audit)
    assert run.types[-2:] == ["tool_call_failed", "run_cancelled"]


async def test_a_run_that_is_cancelled_in_a_model(audit: InMemoryAuditLogger) -> None:
    """What a model has used that was stopped is unknown, and said to be."""
    has_begun = asyncio.Event()

    async def hangs() -> None:
        has_begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(Talk(an_agent(hangs)).say("wait"))
    await has_begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    [run] = runs_of(audit)
    assert run.types[-2:] == ["token_usage_updated", "run_cancelled"]
    assert run.events[-2].data["usage_missing"] is True


async def test_a_child_of_a_cancelled_run(audit: InMemoryAuditLogger) -> None:
    """The agents within a run that is cancelled are cancelled too, though the kit calls their after-hooks."""
    has_begun = asyncio.Event()

    async def hangs() -> None:
        has_begun.set()
        await asyncio.Event().wait()

    team = SequentialAgent(name="team", sub_agents=[an_agent(hangs, name="first")])
    task = asyncio.create_task(Talk(team).say("wait"))
    await has_begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert [(run.start.agent_id, run.end.type) for run in runs_of(audit)] == [
        ("team", "run_cancelled"),
        ("first", "run_cancelled"),
    ]


async def test_a_run_that_times_out(audit: InMemoryAuditLogger) -> None:
    """A time limit that a model raises is a timeout; one around the run arrives as a cancellation."""
    with pytest.raises(TimeoutError):
        await Talk(an_agent(TimeoutError("too slow"))).say("hello")

    [run] = runs_of(audit)
    assert run.end.type == "run_timeout"


async def test_a_stream_that_is_broken_off(audit: InMemoryAuditLogger) -> None:
    """A reader that leaves cancels the run, though the kit takes it for a clean end."""
    async with aclosing(
        Talk(an_agent(calls(("weather", {"city": "Rome"})), says("x"), tools=[weather])).stream(
            "hi"
        )
    ) as stream:
        async for _ in stream:
            break

    [run] = runs_of(audit)
    assert run.end.type == "run_cancelled"


async def test_an_abort_signal(audit: InMemoryAuditLogger) -> None:
    """A run that ends because its abort signal was set was cancelled, though nothing is raised."""
    signal = asyncio.Event()

    async def stops() -> None:
        signal.set()
        await asyncio.Event().wait()

    await Talk(an_agent(stops)).say("hello", abort_signal=signal)

    [run] = runs_of(audit)
    assert run.end.type == "run_cancelled"


async def test_a_streamed_answer(audit: InMemoryAuditLogger) -> None:
    """The pieces of one answer say each what was used so far: it is recorded once, as the last one says it."""
    pieces = [says("a", 10, 1, partial=True), says("b", 10, 2, partial=True), says("ab", 10, 2)]
    agent = an_agent(pieces, says("more"), tools=[weather])
    events = await Talk(agent).say("hi", run_config=RunConfig(streaming_mode=StreamingMode.SSE))

    [run] = runs_of(audit)
    assert texts(events) == ["a", "b", "ab"]
    assert run.types.count("token_usage_updated") == 1
    assert run.end.data["token_usage"]["output_tokens"] == 2
    assert [event.data["content"] for event in run.events if event.type == "message_sent"] == ["ab"]


async def test_what_a_model_does_not_say_is_unknown(audit: InMemoryAuditLogger) -> None:
    """Absent usage is said to be missing, and is not 0; thoughts and what was cached are counted once."""
    await Talk(an_agent(says("hi", None))).say("hello")
    thought = LlmResponse(
        content=types.Content(role="model", parts=[types.Part(text="hi")]),
        usage_metadata=used(100, 5, thoughts_token_count=30, cached_content_token_count=60),
        model_version="gemini-9",
    )
    await Talk(an_agent(thought), "session-2").say("hello")

    unknown, known = runs_of(audit)
    assert unknown.end.data["token_usage"] == {"usage_missing": True}
    assert known.end.data["token_usage"] == {
        "input_tokens": 100,
        "output_tokens": 35,
        "total_tokens": 135,
        "cache_read_tokens": 60,
        "reasoning_tokens": 30,
    }
