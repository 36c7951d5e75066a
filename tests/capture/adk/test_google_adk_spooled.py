"""Google's Agent Development Kit with scripted models: runs and how they end, judged from the spool."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any, ClassVar

from google.adk.agents.run_config import RunConfig, StreamingMode
from google.adk.models import LlmResponse
from google.adk.tools import AgentTool, FunctionTool
from google.genai import types
from tests.capture.adk.scripted import Talk, an_agent, answer, says, texts, used

from spooled_runs import (
    BREAK,
    CALL,
    SECRET,
    STUCK,
    TOKENS,
    Sdk,
    SpooledRuns,
    never,
    query_of,
    searched,
)
from trailhouse.capture import google_adk

STREAMED = RunConfig(streaming_mode=StreamingMode.SSE)


def search(query: str) -> dict[str, str]:
    """Search."""
    return {"found": searched(query)}


def _response(said: Any) -> Any:
    if isinstance(said, Exception):
        return said
    if said == STUCK:
        return never
    if said in (CALL, BREAK):
        return _calls("search", query=query_of(said))
    return says(said, TOKENS)


def _calls(name: str, **arguments: Any) -> LlmResponse:
    part = types.Part(function_call=types.FunctionCall(name=name, args=arguments))
    content = types.Content(role="model", parts=[part])
    return LlmResponse(content=content, usage_metadata=used(TOKENS, 7))


def _talk(*answers: Any, **given: Any) -> Talk:
    given = {"tools": [search]} | given
    return Talk(an_agent(*(_response(each) for each in answers), **given))


async def _ask(*answers: Any) -> str:
    return " ".join(texts(await _talk(*answers).say(SECRET)))


async def _stream(*answers: Any) -> str:
    return " ".join(texts(await _talk(*answers).say(SECRET, run_config=STREAMED)))


async def _leave(*answers: Any) -> str:
    async with aclosing(_talk(*answers).stream(SECRET, run_config=STREAMED)) as events:
        async for event in events:
            return " ".join(texts([event]))
    return ""


async def _nest() -> str:
    inner = an_agent(_response("inner"), name="inner")
    outer = Talk(
        an_agent(
            _calls("inner", request=SECRET),
            _response("outer"),
            name="outer",
            tools=[AgentTool(agent=inner)],
        )
    )
    return " ".join(texts(await outer.say(SECRET)))


async def _decide(is_granted: bool) -> str:
    talk = _talk(CALL, "well", tools=[FunctionTool(search, require_confirmation=True)])
    asked = await talk.say(SECRET)
    decision = {"confirmed": is_granted}
    return " ".join(texts(await talk.say(answer(asked, "adk_request_confirmation", decision))))


class TestRuns(SpooledRuns):
    """By the adapter: the kit's own spans have tests of their own."""

    SDKS: ClassVar = {
        "google_adk": Sdk(
            google_adk.install, _ask, stream=_stream, leave=_leave, nest=_nest, decide=_decide
        )
    }
