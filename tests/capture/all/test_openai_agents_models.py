"""The OpenAI Agents SDK with its own models, against a provider on this machine; hosted, local and MCP tools."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from agents import (
    Agent,
    LocalShellTool,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    RunConfig,
    Runner,
    ToolGuardrailFunctionOutput,
    ToolInputGuardrail,
    ToolOutputGuardrail,
    ToolOutputGuardrailTripwireTriggered,
    WebSearchTool,
    function_tool,
)
from agents.extensions.models.litellm_model import LitellmModel
from agents.extensions.models.litellm_provider import LitellmProvider
from agents.models import get_default_model
from openai import AsyncOpenAI, AuthenticationError

from capture_rules import ENDS, Recorded, check_runs
from model_server import ModelServer, chat, chat_stream, response, says
from openai_agents_scene import agent, answer, calls, mcp_server, of_type, reached, shape
from trailhouse.capture.litellm import install as install_litellm
from trailhouse.capture.openai_agents import install
from trailhouse.capture.openai_agents.plain_values import model_of
from trailhouse.producer.testing import InMemoryAuditLogger

CHAT_USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "total_tokens": 120,
    "prompt_tokens_details": {"cached_tokens": 40},
    "completion_tokens_details": {"reasoning_tokens": 5},
}
USAGE = {
    "input_tokens": 100,
    "input_tokens_details": {"cached_tokens": 40},
    "output_tokens": 20,
    "output_tokens_details": {"reasoning_tokens": 5},
    "total_tokens": 120,
}
USED = {
    "model": "gpt-test",
    "input_tokens": 100,
    "output_tokens": 20,
    "total_tokens": 120,
    "cache_read_tokens": 40,
    "reasoning_tokens": 5,
}


@pytest.fixture(autouse=True)
def installed(audit: InMemoryAuditLogger) -> Iterator[None]:
    """Record every run of the test."""
    undo = install(audit)
    yield
    undo()


def only(audit: InMemoryAuditLogger) -> Recorded:
    """Return the only run."""
    (run,) = check_runs(audit.events)
    return run


async def run(bot: Agent[Any], *, is_streamed: bool) -> Any:
    """Run *bot*, with a stream or without."""
    if not is_streamed:
        return await Runner.run(bot, "go")
    result = Runner.run_streamed(bot, "go")
    async for _ in result.stream_events():
        pass
    return result


def client(url: str) -> AsyncOpenAI:
    """A client of the provider at *url*."""
    return AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)


@pytest.mark.parametrize("is_streamed", [False, True], ids=["run", "streamed"])
@pytest.mark.parametrize("asks_usage", [False, True], ids=["no usage", "usage"])
def test_chat_completions(audit: InMemoryAuditLogger, is_streamed: bool, asks_usage: bool) -> None:
    """Usage of a chat completion is told with its cached and reasoning tokens, and as missing where none came."""
    usage = CHAT_USAGE if asks_usage else None
    make: Any = chat_stream if is_streamed else chat
    server = ModelServer(make("fine", usage=usage))
    with server.running() as url:
        model = OpenAIChatCompletionsModel("gpt-test", client(url))
        settings = ModelSettings(include_usage=asks_usage)
        bot = Agent(name="bot", model=model, model_settings=settings)
        asyncio.run(run(bot, is_streamed=is_streamed))

    (used,) = of_type(only(audit), "token_usage_updated")
    assert used == (USED if asks_usage else {"model": "gpt-test", "usage_missing": True})
    assert audit.only("token_usage_updated").provider == "openai"


def test_responses(audit: InMemoryAuditLogger) -> None:
    """Usage of a response is told under the provider's id of it, the tools that it ran itself too."""
    search = {
        "id": "ws-1",
        "type": "web_search_call",
        "status": "completed",
        "action": {"type": "search", "query": "trails"},
    }
    server = ModelServer(response(search, says("found"), usage=USAGE))
    with server.running() as url:
        model = OpenAIResponsesModel("gpt-test", client(url))
        asyncio.run(run(Agent(name="bot", model=model, tools=[WebSearchTool()]), is_streamed=False))

    told = only(audit)
    assert of_type(told, "token_usage_updated") == [USED | {"model_call_id": "resp-1"}]
    (started,) = of_type(told, "tool_call_started")
    assert (started["tool_name"], started["tool_call_id"]) == ("web_search", "ws-1")
    assert started["arguments"]["query"] == "trails"
    assert len(of_type(told, "tool_call_completed")) == 1


@pytest.mark.parametrize(
    ("model", "config", "expected"),
    [
        (None, None, (get_default_model(), "openai")),
        ("gpt-x", RunConfig(), ("gpt-x", "openai")),
        ("openai/gpt-x", RunConfig(), ("gpt-x", "openai")),
        ("gpt-x", {"model": "litellm/anthropic/claude-x"}, ("claude-x", "anthropic")),
        ("any-llm/mistral/small", None, ("small", "mistral")),
        ("x", RunConfig(model_provider=LitellmProvider()), ("x", None)),
    ],
)
def test_models_by_name(model: str | None, config: Any, expected: tuple[str, str | None]) -> None:
    """A model is named as its provider spells it; the provider is what the name, or the SDK's default, says."""
    assert model_of(Agent(name="bot", model=model), config) == expected


def test_a_provider_that_refuses(audit: InMemoryAuditLogger) -> None:
    """A refused request is a failed model call and a failed run, with no usage at all."""
    server = ModelServer(401)
    with server.running() as url:
        bot = Agent(name="bot", model=OpenAIChatCompletionsModel("gpt-test", client(url)))
        with pytest.raises(AuthenticationError):
            asyncio.run(run(bot, is_streamed=False))

    assert shape(only(audit)) == ["run_started", "model_call_failed", "run_failed"]


@pytest.mark.parametrize("is_streamed", [False, True], ids=["run", "streamed"])
def test_litellm_models(audit: InMemoryAuditLogger, is_streamed: bool) -> None:
    """A model by LiteLLM is named with its provider, and its usage is told once."""
    make: Any = chat_stream if is_streamed else chat
    server = ModelServer(make("fine", usage=CHAT_USAGE))
    with server.running() as url:
        model = LitellmModel("openai/gpt-test", base_url=f"{url}/v1", api_key="none")
        settings = ModelSettings(include_usage=True)
        bot = Agent(name="bot", model=model, model_settings=settings)
        asyncio.run(run(bot, is_streamed=is_streamed))

    (used,) = of_type(only(audit), "token_usage_updated")
    assert used == USED
    assert audit.only("token_usage_updated").provider == "openai"


@pytest.mark.parametrize("is_streamed", [False, True], ids=["run", "streamed"])
@pytest.mark.parametrize("fails", [False, True], ids=["answers", "fails"])
def test_a_model_call_that_litellms_adapter_sees_too_is_told_once(
    audit: InMemoryAuditLogger, is_streamed: bool, fails: bool
) -> None:
    """With LiteLLM's adapter beside, that one tells of the call: it knows the id and the cost."""
    make: Any = chat_stream if is_streamed else chat
    server = ModelServer(401 if fails else make("fine", usage=CHAT_USAGE))
    undo = install_litellm(audit)
    with server.running() as url:
        model = LitellmModel("openai/gpt-test", base_url=f"{url}/v1", api_key="none")
        settings = ModelSettings(include_usage=True)
        bot = Agent(name="bot", model=model, model_settings=settings)

        async def application() -> None:
            with contextlib.suppress(Exception):
                await run(bot, is_streamed=is_streamed)
            await reached(lambda: audit.events[-1].type in ENDS)

        asyncio.run(application())
    undo()

    told = only(audit)
    kinds = ("token_usage_updated", "model_call_failed")
    counts = [len(of_type(told, kind)) for kind in kinds]
    assert counts == ([0, 1] if fails else [1, 0])
    if not fails:
        assert of_type(told, "token_usage_updated")[0]["model_call_id"] == "chatcmpl-1"
        assert told.end.data["token_usage"]["input_tokens"] == 100


def test_tools_of_an_mcp_server(audit: InMemoryAuditLogger, tmp_path: Path) -> None:
    """A tool of an MCP server is told like any other; one that reports an error has failed or says so."""

    async def application() -> None:
        async with mcp_server(tmp_path) as server:
            bot = agent(calls(("double", {"number": 4})), answer("8"), mcp_servers=[server])
            await Runner.run(bot, "go")

    asyncio.run(application())

    told = only(audit)
    assert of_type(told, "tool_call_started")[0]["arguments"] == {"number": 4}
    assert "8" in json.dumps(of_type(told, "tool_call_completed")[0]["result"])


def test_a_local_tool_is_told_with_the_call_that_the_model_made(audit: InMemoryAuditLogger) -> None:
    """Hooks of a local shell are not told of the call; its id and its command are taken from the model's answer."""
    from agents.testing import ModelStep
    from openai.types.responses.response_output_item import LocalShellCall

    action = {"type": "exec", "command": ["ls"], "env": {}}
    call = LocalShellCall.model_validate(
        {"id": "s-1", "call_id": "c-9", "type": "local_shell_call", "status": "completed", "action": action}
    )  # fmt: skip
    tool = LocalShellTool(executor=lambda _request: "files")
    asyncio.run(Runner.run(agent(ModelStep(output=[call]), answer("ok"), tools=[tool]), "go"))

    told = only(audit)
    (started,) = of_type(told, "tool_call_started")
    assert (started["tool_name"], started["tool_call_id"]) == ("local_shell", "c-9")
    assert started["arguments"]["command"] == ["ls"]
    assert of_type(told, "tool_call_completed")[0]["result"] == "files"


def test_a_tools_guardrail_that_rejects_keeps_the_tool_from_running(
    audit: InMemoryAuditLogger,
) -> None:
    """A call that a tool's guardrail rejects was no call: the guardrail is told, and no tool."""
    rejects = ToolInputGuardrail(
        lambda _data: ToolGuardrailFunctionOutput.reject_content("not that"), name="arguments"
    )

    def double(number: int) -> int:
        """Double."""
        return 2 * number

    tool = function_tool(double, tool_input_guardrails=[rejects])
    asyncio.run(
        Runner.run(agent(calls(("double", {"number": 1})), answer("ok"), tools=[tool]), "go")
    )

    told = only(audit)
    assert shape(told) == ["run_started", "guardrail_tripped", "run_completed"]
    assert of_type(told, "guardrail_tripped")[0]["stage"] == "tool"


def test_a_guardrail_that_raises_at_a_tools_answer_leaves_the_tool_completed(
    audit: InMemoryAuditLogger,
) -> None:
    """A tool whose answer a guardrail refuses has run and completed; the guardrail fails the run."""
    raises = ToolOutputGuardrail(
        lambda _data: ToolGuardrailFunctionOutput.raise_exception(), name="answers"
    )

    def double(number: int) -> int:
        """Double."""
        return 2 * number

    tool = function_tool(double, tool_output_guardrails=[raises])
    with pytest.raises(ToolOutputGuardrailTripwireTriggered):
        asyncio.run(Runner.run(agent(calls(("double", {"number": 1})), tools=[tool]), "go"))

    told = only(audit)
    assert of_type(told, "tool_call_completed")[0]["result"] == 2
    assert len(of_type(told, "guardrail_tripped")) == 1
    assert told.end.type == "run_failed"
