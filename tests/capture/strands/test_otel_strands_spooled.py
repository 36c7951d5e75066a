"""Strands Agents with scripted models, by their own spans: runs and how they end, judged from the spool."""

# pyright: reportAttributeAccessIssue=false
# It takes this folder for the package.
from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any, ClassVar

from strands import Agent, tool
from strands.models import Model
from strands.types.exceptions import EventLoopException

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
from trailhouse.capture import otel

IN_A_SESSION = {"session.id": "session-1"}


class Scripted(Model):
    """Gives these answers."""

    def __init__(self, *answers: Any) -> None:
        self.coming = iter(answers)

    def update_config(self, **config: Any) -> None: ...

    def get_config(self) -> dict[str, str]:
        return {"model_id": "m-1"}

    async def structured_output(self, *args: Any, **more: Any) -> AsyncGenerator[Any]:
        yield {}

    async def stream(self, *args: Any, **more: Any) -> AsyncGenerator[Any]:
        answer: Any = next(self.coming)
        if isinstance(answer, BaseException):
            raise answer
        if answer == STUCK:
            await never()
        yield {"messageStart": {"role": "assistant"}}
        if answer in (CALL, BREAK):
            yield {"contentBlockStart": {"start": {"toolUse": {"toolUseId": "c-1", "name": "search"}}}}  # fmt: skip
            asked = json.dumps({"query": query_of(answer)})
            yield {"contentBlockDelta": {"delta": {"toolUse": {"input": asked}}}}
        else:
            for word in answer.split():
                yield {"contentBlockDelta": {"delta": {"text": word}}}
        yield {"contentBlockStop": {}}
        yield {"messageStop": {"stopReason": "tool_use" if answer in (CALL, BREAK) else "end_turn"}}
        usage = {"inputTokens": TOKENS, "outputTokens": 2, "totalTokens": TOKENS + 2}
        yield {"metadata": {"usage": usage, "metrics": {"latencyMs": 1}}}


def _agent(*answers: Any, name: str = "bot", function: Any = searched) -> Agent:
    return Agent(
        model=Scripted(*answers),
        tools=[tool(name="search")(function)],
        name=name,
        callback_handler=None,
        trace_attributes=IN_A_SESSION,
    )


async def _ask(*answers: Any) -> str:
    return str(await _agent(*answers).invoke_async(SECRET))


async def _stream(*answers: Any) -> str:
    pieces = [each async for each in _agent(*answers).stream_async(SECRET) if "data" in each]
    return "".join(each["data"] for each in pieces)


async def _leave(*answers: Any) -> str:
    pieces = _agent(*answers).stream_async(SECRET)
    async for each in pieces:
        if "data" in each:
            await pieces.aclose()
            return str(each["data"])
    return ""


async def _nest() -> str:
    inner = _agent("inner", name="inner")

    async def ask(query: str) -> str:
        """Ask."""
        return str(await inner.invoke_async(query))

    return str(await _agent(CALL, "outer", name="outer", function=ask).invoke_async(SECRET))


class TestRuns(SpooledRuns):
    """Its interrupts, which no span tells of, are a tool that failed: see the tests of its spans."""

    SDKS: ClassVar = {
        "strands": Sdk(
            otel.install,
            _ask,
            stream=_stream,
            leave=_leave,
            nest=_nest,
            errors=(EventLoopException,),
        )
    }
