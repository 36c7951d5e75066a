"""OpenAI Agents seen twice, by the adapter and by an instrumentation's spans: recorded once; and by spans alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from agents import Agent, OpenAIChatCompletionsModel, OpenAIResponsesModel, RunConfig, Runner
from agents.tracing import set_trace_processors
from openai import AsyncOpenAI
from openinference.instrumentation.openai_agents import (
    OpenAIAgentsInstrumentor as OpenInferenceInstrumentor,
)
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
from opentelemetry.instrumentation.genai.openai_agents import OpenAIAgentsInstrumentor
from opentelemetry.sdk.trace import TracerProvider

from capture_rules import check_runs
from model_server import ModelServer, chat, response, says
from openai_agents_scene import add, agent, answer, calls, mcp_server, of_type, shape
from trailhouse.capture.openai_agents import install
from trailhouse.capture.otel import install as install_spans
from trailhouse.producer.testing import InMemoryAuditLogger

GROUP = RunConfig(group_id="conversation-1")
USAGE = {
    "input_tokens": 100,
    "input_tokens_details": {"cached_tokens": 40},
    "output_tokens": 20,
    "output_tokens_details": {"reasoning_tokens": 5},
    "total_tokens": 120,
}
CHAT_USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
INSTRUMENTATIONS: dict[str, Any] = {
    "genai": OpenAIAgentsInstrumentor,
    "openinference": OpenInferenceInstrumentor,
}


@pytest.fixture(params=INSTRUMENTATIONS)
def instrumented(request: pytest.FixtureRequest, provider: TracerProvider) -> Iterator[str]:
    """The agents are instrumented, by one and then by the other."""
    instrumentor = INSTRUMENTATIONS[request.param]()
    instrumentor.instrument(tracer_provider=provider)
    yield request.param
    instrumentor.uninstrument()
    set_trace_processors([])


def nested() -> Agent[Any]:
    """An agent that asks another one."""
    inner = agent(calls(("add", {"a": 1, "b": 2})), answer("3", 100), name="inner", tools=[add])
    tools = [inner.as_tool("ask", "Ask.")]
    return agent(calls(("ask", {"input": "1 + 2?"})), answer("3!"), name="outer", tools=tools)


@pytest.mark.usefixtures("instrumented")
def test_beside_the_adapter_a_run_is_told_once(audit: InMemoryAuditLogger) -> None:
    """Runs, tools and usage that the adapter and an instrumentation both see are the adapter's alone."""
    undo = install(audit)
    try:
        asyncio.run(Runner.run(nested(), "go", run_config=GROUP))
    finally:
        undo()

    outer, inner = check_runs(audit.events)
    tool = ["run_started", "tool_call_started", "tool_call_completed", "run_completed"]
    assert (shape(outer), shape(inner)) == (tool, tool)
    assert {event.metadata.get("captured_by") for event in (outer.start, inner.start)} == {
        "openai_agents"
    }
    assert [len(of_type(run, "token_usage_updated")) for run in (outer, inner)] == [2, 2]


@pytest.mark.parametrize("api", ["responses", "chat"])
def test_a_model_call_seen_by_adapter_and_client_is_told_once(
    audit: InMemoryAuditLogger, provider: TracerProvider, api: str
) -> None:
    """The client's spans tell of the same model call as the agent's adapter, also where the adapter learns no id."""
    undo = install(audit)
    OpenAIInstrumentor().instrument(tracer_provider=provider)
    answered = (
        response(says("hi"), usage=USAGE) if api == "responses" else chat("hi", usage=CHAT_USAGE)
    )
    server = ModelServer(answered)
    try:
        with server.running() as url:
            client = AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
            kind: Any = OpenAIResponsesModel if api == "responses" else OpenAIChatCompletionsModel
            bot = Agent(name="bot", model=kind("gpt-test", client))
            asyncio.run(Runner.run(bot, "go", run_config=GROUP))
    finally:
        OpenAIInstrumentor().uninstrument()
        undo()

    (run,) = check_runs(audit.events)
    (used,) = of_type(run, "token_usage_updated")
    assert (used["input_tokens"], used["output_tokens"]) == (100, 20)


def test_a_tool_of_an_mcp_server_is_told_once(audit: InMemoryAuditLogger, tmp_path: Path) -> None:
    """The span of the MCP client within the agent's tool tells of the same call, and is left to the agent's adapter."""
    undo, undo_spans = install(audit), install_spans(audit)

    async def application() -> None:
        async with mcp_server(tmp_path) as server:
            bot = agent(calls(("double", {"number": 4})), answer("8"), mcp_servers=[server])
            await Runner.run(bot, "go", run_config=GROUP)

    try:
        asyncio.run(application())
    finally:
        undo()
        undo_spans()

    (run,) = check_runs(audit.events)
    assert [started["tool_call_id"] for started in of_type(run, "tool_call_started")] == ["c-1"]


def test_spans_alone_tell_runs_and_tools(audit: InMemoryAuditLogger, instrumented: str) -> None:
    """Without the adapter an instrumentation's spans tell runs and tools, in one session; what they lack is said."""
    asyncio.run(Runner.run(nested(), "go", run_config=GROUP))

    runs = check_runs(audit.events)
    assert {run.end.type for run in runs} == {"run_completed"}
    assert [run.start.agent_id for run in runs] == ["outer", "inner"], instrumented
    assert len({run.start.session_id for run in runs}) == 1
