"""The Agent Development Kit's own spans: recorded by themselves, and left out beside the adapter."""

from collections.abc import Callable, Iterator

import pytest
from google.adk.tools import AgentTool, FunctionTool
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from tests.capture.adk.scripted import Talk, an_agent, calls, fails, pay, says, texts, weather

from capture_rules import Recorded, check_runs
from trailhouse.capture import google_adk, otel
from trailhouse.producer.testing import InMemoryAuditLogger

Undo = Callable[[], None]


@pytest.fixture(autouse=True)
def spans(audit: InMemoryAuditLogger) -> Iterator[None]:
    """Record spans: of the one global provider that a process can set, and the kit asks for at its import."""
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        trace.set_tracer_provider(TracerProvider(shutdown_on_exit=False))
    undo = otel.install(audit)
    yield
    undo()


def runs_of(audit: InMemoryAuditLogger) -> list[Recorded]:
    audit.recorder.close()
    return check_runs(audit.events)


async def test_the_spans_beside_the_adapter(audit: InMemoryAuditLogger) -> None:
    """With both installed, each run, tool call and model call is recorded once, by the adapter."""
    undo = google_adk.install(audit)
    agent = an_agent(calls(("weather", {"city": "Rome"})), says("21 °C"), tools=[weather])
    await Talk(agent).say("how warm?")
    undo()

    [run] = runs_of(audit)
    assert run.start.metadata["captured_by"] == "google_adk"
    assert run.types.count("token_usage_updated") == 2
    assert run.types.count("tool_call_started") == 1
    assert len(audit.events) == len(run.events)


async def test_the_spans_alone(audit: InMemoryAuditLogger) -> None:
    """Without the adapter the spans show the run, its session, its tool and what the models used."""
    agent = an_agent(calls(("weather", {"city": "Rome"})), says("21 °C"), tools=[weather])
    assert texts(await Talk(agent).say("how warm?")) == ["21 °C"]

    [run] = runs_of(audit)
    assert (run.start.session_id, run.start.agent_id) == ("session-1", "helper")
    assert "tool_call_completed" in run.types
    used = run.end.data["token_usage"]
    assert (used["input_tokens"], used["output_tokens"]) == (30, 12)


async def test_a_failure_in_spans_alone(audit: InMemoryAuditLogger) -> None:
    """A tool that raises has failed, and its run with it."""
    with pytest.raises(KeyError):
        await Talk(an_agent(calls(("fails", {})), tools=[fails])).say("try")

    [run] = runs_of(audit)
    assert "tool_call_failed" in run.types
    assert (run.end.type, run.end.data["error_code"]) == ("run_failed", "KeyError")


async def test_agents_within_agents_in_spans_alone(audit: InMemoryAuditLogger) -> None:
    """An agent as a tool, and one that takes over, are child runs in the session of their parent."""
    inner = an_agent(says("in"), name="inner")
    call = calls(("inner", {"request": "q"}))
    await Talk(an_agent(call, says("out"), name="outer", tools=[AgentTool(inner)])).say("go")
    expert = an_agent(says("21"), name="expert")
    transfer = calls(("transfer_to_agent", {"agent_name": "expert"}))
    await Talk(an_agent(transfer, name="desk", sub_agents=[expert]), "session-2").say("how warm?")

    runs = {run.start.agent_id: run for run in runs_of(audit)}
    parents = {name: run.start.parent_run_id for name, run in runs.items()}
    assert parents["inner"] == runs["outer"].run_id
    assert {run.end.type for run in runs.values()} == {"run_completed"}
    assert runs["inner"].start.session_id == "session-1"
    assert runs["expert"].start.session_id == "session-2"


async def test_what_spans_alone_do_not_show(audit: InMemoryAuditLogger) -> None:
    """A confirmation is in no span: it looks like a tool that has run, which is what the adapter is for."""
    tool = FunctionTool(pay, require_confirmation=True)
    await Talk(an_agent(calls(("pay", {"amount": 5})), tools=[tool])).say("pay 5")

    [run] = runs_of(audit)
    assert "tool_call_completed" in run.types
    assert "tool_approval_requested" not in run.types
    assert run.end.data["stop_reason"] == "end_turn"
