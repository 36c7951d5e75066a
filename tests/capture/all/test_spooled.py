"""Frameworks times outcomes, judged from what lies in the spool: the bytes that Kafka would get, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import aclosing
from typing import Any, ClassVar

import pytest
from agents import Agent, ModelBehaviorError, Runner, function_tool
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai import (
    ApprovalRequired,
    DeferredToolRequests,
    DeferredToolResults,
    RunContext,
    ToolDenied,
)
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import RequestUsage
from tests.capture.all import langchain_scenes as lc

import openai_agents_scene as oa
from spooled_runs import (
    BREAK,
    CALL,
    SECRET,
    STUCK,
    TOKENS,
    GoneError,
    Sdk,
    SpooledRuns,
    never,
    query_of,
    searched,
)
from trailhouse.capture import langchain, openai_agents, otel

# --- OpenAI Agents -----------------------------------------------------------------------------------------------


def _oa_steps(answers: tuple[Any, ...]) -> list[Any]:
    def step(answer: Any) -> Any:
        if isinstance(answer, Exception):
            return answer
        if answer in (CALL, BREAK):
            return oa.calls(("search", {"query": query_of(answer)}), input_tokens=TOKENS)
        return oa.answer(answer, TOKENS)

    return [step(answer) for answer in answers]


class Stuck(oa.Stuck):
    """Is asked, and never answers."""

    async def get_response(self, *_: Any, **__: Any) -> Any:
        await never()


def _oa_agent(*answers: Any, name: str = "bot", tools: Any = None) -> Agent[Any]:
    made = [function_tool(searched, name_override="search")] if tools is None else tools
    if STUCK in answers:
        return Agent(name=name, model=Stuck())
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


async def _oa_decide(is_granted: bool) -> str:
    bot = oa.agent(
        oa.calls(("drop", {"table": SECRET}), input_tokens=TOKENS),
        oa.answer("well", TOKENS),
        tools=[oa.drop],
    )
    paused = await Runner.run(bot, SECRET, run_config=oa.GROUP)
    state = paused.to_state()
    (asked,) = state.get_interruptions()
    if is_granted:
        state.approve(asked)
    else:
        state.reject(asked, rejection_message=f"not {SECRET}")
    return str((await Runner.run(bot, state)).final_output)


# --- LangChain ---------------------------------------------------------------------------------------------------


search = tool("search")(searched)


class StuckModel(lc.ScriptedModel):
    """Never answers."""

    async def _agenerate(self, *_: Any, **__: Any) -> Any:
        await never()


def _lc_says(answer: Any) -> Any:
    if answer not in (CALL, BREAK):
        return lc.says(answer) if isinstance(answer, str) else answer
    said = lc.calls(("search", "c-1"))
    said.tool_calls[0]["args"] = {"query": query_of(answer)}
    return said


def _lc_agent(*answers: Any, kind: Any = lc.ScriptedModel, **more: Any) -> Any:
    kind = StuckModel if STUCK in answers else kind
    said = [_lc_says(each) for each in answers]
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


async def _lc_leave(*answers: Any) -> str:
    bot = _lc_agent(*answers, kind=lc.StreamingModel)
    async with aclosing(
        bot.astream(lc.asks(SECRET), lc.thread(), stream_mode="messages")
    ) as pieces:
        async for piece, _ in pieces:
            return str(piece.content)
    return ""


async def _lc_nest() -> str:
    inner = _lc_agent("inner", name="inner")

    @tool
    async def search(query: str) -> str:
        """Ask."""
        return str((await inner.ainvoke(lc.asks(SECRET)))["messages"][-1].content)

    outer = _lc_agent(CALL, "outer", tools=[search], name="outer")
    return str((await outer.ainvoke(lc.asks(SECRET), lc.thread()))["messages"][-1].content)


async def _lc_decide(is_granted: bool) -> str:
    review = HumanInTheLoopMiddleware(interrupt_on={"search": True})
    bot = _lc_agent(CALL, "well", middleware=[review], checkpointer=InMemorySaver())
    await bot.ainvoke(lc.asks(SECRET), lc.thread())
    refused = {"type": "reject", "message": f"not {SECRET}"}
    decision = {"type": "approve"} if is_granted else refused
    resumed = Command(resume={"decisions": [decision]})
    return str((await bot.ainvoke(resumed, lc.thread()))["messages"][-1].content)


# --- Pydantic AI, by its spans -----------------------------------------------------------------------------------


USED = RequestUsage(input_tokens=TOKENS, output_tokens=2)


async def _pa_next(coming: Iterator[Any]) -> Any:
    part = next(coming)
    if isinstance(part, Exception):
        raise part
    if part == STUCK:
        await never()
    return part


def _pa_model(answers: tuple[Any, ...]) -> FunctionModel:
    coming = iter(answers)

    async def answer(_: Any, __: AgentInfo) -> ModelResponse:
        part = await _pa_next(coming)
        made = (
            ToolCallPart("search", {"query": query_of(part)}, "c-1")
            if part in (CALL, BREAK)
            else TextPart(part)
        )
        return ModelResponse(parts=[made], usage=USED)

    return FunctionModel(answer, model_name="m-1")


def _pa_agent(*answers: Any, name: str = "bot", function: Any = searched, **more: Any) -> Any:
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


async def _pa_decide(is_granted: bool) -> str:
    def ask(context: RunContext[Any], query: str) -> str:
        if context.tool_call_approved:
            return searched(query)
        raise ApprovalRequired

    kinds: Any = [str, DeferredToolRequests]
    bot: Any = PydanticAgent(_pa_model((CALL, "well")), name="bot", output_type=kinds)
    bot.tool(ask, name="search")
    paused = await bot.run(SECRET, conversation_id="conv-1")
    decision = True if is_granted else ToolDenied(f"not {SECRET}")
    decided = DeferredToolResults(approvals={"c-1": decision})
    history = paused.all_messages()
    again = await bot.run(
        message_history=history, deferred_tool_results=decided, conversation_id="conv-1"
    )
    return str(again.output)


@pytest.fixture(autouse=True)
def instrumented() -> Iterator[None]:
    """Have Pydantic AI make its spans."""
    PydanticAgent.instrument_all()
    yield
    PydanticAgent.instrument_all(False)


class TestRuns(SpooledRuns):
    """Adapters that see the framework itself, and Pydantic AI's spans, whose scripted streams tell no usage."""

    SDKS: ClassVar = {
        "openai_agents": Sdk(
            openai_agents.install,
            _oa_ask,
            stream=_oa_stream,
            nest=_oa_nest,
            decide=_oa_decide,
            errors=(GoneError, ModelBehaviorError),
        ),
        "langchain": Sdk(
            langchain.install,
            _lc_ask,
            stream=_lc_stream,
            leave=_lc_leave,
            nest=_lc_nest,
            decide=_lc_decide,
        ),
        "pydantic_ai": Sdk(otel.install, _pa_ask, nest=_pa_nest, decide=_pa_decide),
    }
