"""Frameworks times outcomes, judged from what lies in the spool: the bytes that Kafka would get, and nothing else."""

from __future__ import annotations

import asyncio
import random
import string
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from agents import Agent, ModelBehaviorError, Runner, function_tool
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai import ApprovalRequired, DeferredToolRequests, DeferredToolResults, ToolDenied
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import RequestUsage
from tests.capture.all import langchain_scenes as lc

import openai_agents_scene as oa
from spooled_capture import Spooled, spooled
from trailhouse.capture import langchain, openai_agents, otel

chance = random.Random(21)  # noqa: S311 - no secret
SECRET = "ghp" + "_" + "".join(chance.choices(string.ascii_letters + string.digits, k=36))
"""Asked, called with, answered and said in errors."""
TOKENS = 10
"""What each model call takes in."""
STUCK = "stuck"
"""A model that never answers."""


class Sdk(NamedTuple):
    """How a framework is asked to do what each scene needs; all models take in `TOKENS` a call."""

    install: Callable[[Any], Callable[[], object]]
    ask: Callable[..., Any]
    """Run an agent whose model gives these answers; returns what the application gets."""
    stream: Callable[..., Any] | None
    """The same as a stream; None where a scripted model tells no usage of one."""
    nest: Callable[[], Any]
    """Run an agent with another as its tool: two model calls without, one within."""
    refuse: Callable[[], Any]
    """Run an agent whose tool waits, refuse it, and go on: two model calls."""


CALL = "call"
"""A model's answer that calls the tool `search`."""


class GoneError(RuntimeError):
    """What a broken model raises."""


# --- OpenAI Agents -----------------------------------------------------------------------------------------------


def _oa_steps(answers: tuple[Any, ...]) -> list[Any]:
    def step(answer: Any) -> Any:
        if isinstance(answer, Exception):
            return answer
        if answer == CALL:
            return oa.calls(("search", {"query": SECRET}), input_tokens=TOKENS)
        return oa.answer(answer, TOKENS)

    return [step(answer) for answer in answers]


def _search(query: str) -> str:
    """Search."""
    return f"found {query}"


def _oa_agent(*answers: Any, name: str = "bot", tools: Any = None) -> Agent[Any]:
    made = [function_tool(_search, name_override="search")] if tools is None else tools
    if STUCK in answers:
        return Agent(name=name, model=oa.Stuck())
    return oa.agent(*_oa_steps(answers), name=name, tools=made)


async def _oa_ask(*answers: Any) -> str:
    return str((await Runner.run(_oa_agent(*answers), SECRET, run_config=oa.GROUP)).final_output)


async def _oa_stream(*answers: Any) -> str:
    result = await oa.run(_oa_agent(*answers), SECRET, is_streamed=True, run_config=oa.GROUP)
    return str(result.final_output)


async def _oa_nest() -> str:
    inner = _oa_agent("inner", name="inner")
    outer = oa.agent(
        oa.calls(("ask_inner", {"input": SECRET}), input_tokens=TOKENS),
        oa.answer("outer", TOKENS),
        name="outer",
        tools=[inner.as_tool("ask_inner", "Ask.")],
    )
    return str((await Runner.run(outer, SECRET, run_config=oa.GROUP)).final_output)


async def _oa_refuse() -> str:
    bot = oa.agent(
        oa.calls(("drop", {"table": SECRET}), input_tokens=TOKENS),
        oa.answer("well", TOKENS),
        tools=[oa.drop],
    )
    paused = await Runner.run(bot, SECRET, run_config=oa.GROUP)
    state = paused.to_state()
    state.reject(state.get_interruptions()[0], rejection_message=f"not {SECRET}")
    return str((await Runner.run(bot, state)).final_output)


# --- LangChain ---------------------------------------------------------------------------------------------------


@tool
def search(query: str) -> str:
    """Search."""
    return f"found {SECRET} for {query}"


class StuckModel(lc.ScriptedModel):
    """Never answers."""

    async def _agenerate(self, *_: Any, **__: Any) -> Any:
        await asyncio.Event().wait()


def _lc_agent(*answers: Any, kind: Any = lc.ScriptedModel, **more: Any) -> Any:
    steps = [lc.calls(("search", "c-1")) if each == CALL else each for each in answers]
    said = [lc.says(each) if isinstance(each, str) else each for each in steps]
    kind = StuckModel if STUCK in answers else kind
    return lc.agent(*said, tools=more.pop("tools", [search]), kind=kind, **more)


async def _lc_ask(*answers: Any) -> str:
    found = await _lc_agent(*answers).ainvoke(lc.asks(SECRET), lc.thread())
    return str(found["messages"][-1].content)


async def _lc_stream(*answers: Any) -> str:
    said = ""
    bot = _lc_agent(*answers, kind=lc.StreamingModel)
    async for piece, _ in bot.astream(lc.asks(SECRET), lc.thread(), stream_mode="messages"):
        said = f"{said}{piece.content}" if piece.type == "AIMessageChunk" else said
    return said


async def _lc_nest() -> str:
    inner = _lc_agent("inner", name="inner")

    @tool
    async def search(query: str) -> str:
        """Ask."""
        return str((await inner.ainvoke(lc.asks(SECRET)))["messages"][-1].content)

    outer = _lc_agent(CALL, "outer", tools=[search], name="outer")
    return str((await outer.ainvoke(lc.asks(SECRET), lc.thread()))["messages"][-1].content)


async def _lc_refuse() -> str:
    review = HumanInTheLoopMiddleware(interrupt_on={"search": True})
    bot = _lc_agent(CALL, "well", middleware=[review], checkpointer=InMemorySaver())
    await bot.ainvoke(lc.asks(SECRET), lc.thread())
    decision = Command(resume={"decisions": [{"type": "reject", "message": f"not {SECRET}"}]})
    return str((await bot.ainvoke(decision, lc.thread()))["messages"][-1].content)


# --- Pydantic AI, by its spans -----------------------------------------------------------------------------------


def _pa_model(answers: tuple[Any, ...]) -> FunctionModel:
    coming = iter(answers)

    async def answer(_: Any, __: AgentInfo) -> ModelResponse:
        part = next(coming)
        if isinstance(part, Exception):
            raise part
        if part == STUCK:
            await asyncio.Event().wait()
        made = ToolCallPart("search", {"query": SECRET}, "c-1") if part == CALL else TextPart(part)
        return ModelResponse(parts=[made], usage=RequestUsage(input_tokens=TOKENS, output_tokens=2))

    return FunctionModel(answer, model_name="m-1")


def _pa_agent(*answers: Any, name: str = "bot", function: Any = _search, **more: Any) -> Any:
    bot: Any = PydanticAgent(_pa_model(answers), name=name, **more)
    bot.tool_plain(function, name="search")
    return bot


async def _pa_ask(*answers: Any) -> str:
    return str((await _pa_agent(*answers).run(SECRET, conversation_id="conv-1")).output)


async def _pa_nest() -> str:
    inner = _pa_agent("inner", name="inner")

    async def ask(query: str) -> str:
        return str((await inner.run(query)).output)

    outer = _pa_agent(CALL, "outer", name="outer", function=ask)
    return str((await outer.run(SECRET, conversation_id="conv-1")).output)


async def _pa_refuse() -> str:
    def ask(query: str) -> str:
        raise ApprovalRequired

    kinds: Any = [str, DeferredToolRequests]
    bot = _pa_agent(CALL, "well", function=ask, output_type=kinds)
    paused = await bot.run(SECRET, conversation_id="conv-1")
    refused = DeferredToolResults(approvals={"c-1": ToolDenied(f"not {SECRET}")})
    history = paused.all_messages()
    again = await bot.run(
        message_history=history, deferred_tool_results=refused, conversation_id="conv-1"
    )
    return str(again.output)


SDKS = {
    "openai_agents": Sdk(openai_agents.install, _oa_ask, _oa_stream, _oa_nest, _oa_refuse),
    "langchain": Sdk(langchain.install, _lc_ask, _lc_stream, _lc_nest, _lc_refuse),
    "pydantic_ai": Sdk(otel.install, _pa_ask, None, _pa_nest, _pa_refuse),
}


@pytest.fixture(autouse=True)
def instrumented() -> Iterator[None]:
    """Have Pydantic AI make its spans."""
    PydanticAgent.instrument_all()
    yield
    PydanticAgent.instrument_all(False)


@pytest.fixture(params=SDKS)
def sdk(request: pytest.FixtureRequest) -> Sdk:
    """Return each framework in turn."""
    return SDKS[request.param]


def judged(sdk: Sdk, application: Callable[[], Any], folder: Path) -> Spooled:
    """Run *application*, and return what was left in the spool, all in one session."""
    found = spooled(application, sdk.install, folder, SECRET)
    assert len({run.start.session_id for run in found.runs}) == 1
    return found


def test_a_run_that_succeeds(sdk: Sdk, tmp_path: Path) -> None:
    """Two model calls and a tool: one run, which completed, and what the models took in."""
    found = judged(sdk, lambda: sdk.ask(CALL, "done"), tmp_path)
    assert (found.ends, found.input_tokens) == (["run_completed"], 2 * TOKENS)
    assert found.runs[0].types.count("tool_call_completed") == 1
    assert "[REDACTED:github_token]" in str([event.data for event in found.events])


@pytest.mark.parametrize("name", [name for name, sdk in SDKS.items() if sdk.stream is not None])
def test_a_run_that_streams(name: str, tmp_path: Path) -> None:
    """A stream that is read to its end is a run as any."""
    sdk = SDKS[name]
    stream = sdk.stream or sdk.ask
    found = judged(sdk, lambda: stream(CALL, "done"), tmp_path)
    assert (found.ends, found.input_tokens) == (["run_completed"], 2 * TOKENS)


def test_a_run_that_fails(sdk: Sdk, tmp_path: Path) -> None:
    """A model's error, with a secret in its text, ends the run as failed, and reaches the application."""
    error = GoneError(f"refused {SECRET}")
    found = judged(sdk, lambda: sdk.ask(CALL, error), tmp_path)
    assert (found.ends, found.input_tokens) == (["run_failed"], TOKENS)
    assert found.outcome.error in (GoneError, ModelBehaviorError)


def test_a_run_that_is_cancelled(sdk: Sdk, tmp_path: Path) -> None:
    """A task that is cancelled while its model is asked ends its run as cancelled."""

    async def application() -> str:
        task = asyncio.ensure_future(sdk.ask(STUCK))
        for _ in range(200):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return "cancelled"

    found = judged(sdk, application, tmp_path)
    assert (found.ends, found.input_tokens) == (["run_cancelled"], 0)


def test_a_run_that_takes_too_long(sdk: Sdk, tmp_path: Path) -> None:
    """A time limit round a run comes to it as a cancellation, and to the application as its error."""

    async def application() -> str:
        return str(await asyncio.wait_for(sdk.ask(STUCK), 0.2))

    found = judged(sdk, application, tmp_path)
    assert found.ends == ["run_cancelled"]
    assert found.outcome.error is TimeoutError


def test_a_tool_that_is_refused(sdk: Sdk, tmp_path: Path) -> None:
    """The run that asks is paused, the next has the refusal, and the tool has not run."""
    found = judged(sdk, sdk.refuse, tmp_path)
    assert (found.ends, found.input_tokens) == (["paused", "run_completed"], 2 * TOKENS)
    types = [str(event.type) for event in found.events]
    assert types.count("tool_approval_requested") == types.count("tool_approval_denied") == 1
    assert "tool_call_completed" not in types


def test_an_agent_within_an_agent(sdk: Sdk, tmp_path: Path) -> None:
    """The inner run is the outer one's child, in its session, and each has its own model calls."""
    found = judged(sdk, sdk.nest, tmp_path)
    assert found.ends == ["run_completed", "run_completed"]
    outer, inner = found.runs
    assert inner.start.parent_run_id == outer.run_id
    assert [run.end.data["token_usage"]["input_tokens"] for run in found.runs] == [20, 10]


def test_runs_side_by_side(sdk: Sdk, tmp_path: Path) -> None:
    """Five runs at once are five runs, each with its own calls."""

    async def application() -> list[str]:
        return list(await asyncio.gather(*(sdk.ask(CALL, f"done {n}") for n in range(5))))

    found = judged(sdk, application, tmp_path)
    assert (found.ends, found.input_tokens) == (["run_completed"] * 5, 10 * TOKENS)
    assert [run.types.count("tool_call_completed") for run in found.runs] == [1] * 5
