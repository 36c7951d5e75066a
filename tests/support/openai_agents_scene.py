"""Agents of the OpenAI Agents SDK whose models are scripted, and what is recorded of them."""

# pyright: reportMissingImports=false

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from agents import Agent, RunConfig, Runner, function_tool
from agents.mcp import MCPServerStdio
from agents.models.interface import Model
from agents.testing import ModelStep, ScriptedModel, assistant_message, function_call
from agents.usage import Usage

from capture_rules import Recorded, check_runs
from trailhouse.producer.testing import InMemoryAuditLogger

GROUP = RunConfig(group_id="conversation-1")
UNTRACED = RunConfig(group_id="conversation-1", tracing_disabled=True)
both = pytest.mark.parametrize("config", [GROUP, UNTRACED], ids=["traced", "untraced"])
streamed = pytest.mark.parametrize("is_streamed", [False, True], ids=["run", "streamed"])


def answer(text: str, input_tokens: int = 20, output_tokens: int = 3) -> ModelStep:
    """A model's last word, and what it used."""
    return ModelStep(
        output=[assistant_message(text)], usage=tokens(input_tokens, output_tokens)
    )  # fmt: skip


def calls(*called: tuple[str, dict[str, Any]], input_tokens: int = 10, first: int = 1) -> ModelStep:
    """A model that calls tools, each by its name and arguments, with the ids c-*first* and so on."""
    output = [
        function_call(name, arguments, call_id=f"c-{number}")
        for number, (name, arguments) in enumerate(called, first)
    ]
    return ModelStep(output=output, usage=tokens(input_tokens, 2))


def tokens(input_tokens: int, output_tokens: int) -> Usage:
    """What one model call used."""
    return Usage(
        requests=1,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        total_tokens=input_tokens + output_tokens,
    )


def agent(*steps: Any, name: str = "bot", **settings: Any) -> Agent[Any]:
    """An agent whose model does *steps*, one a call."""
    return Agent(name=name, model=ScriptedModel(steps), **settings)


def _add(a: int, b: int) -> int:
    """Add."""
    return a + b


def _drop(table: str) -> str:
    """Drop a table, once somebody has allowed it."""
    return f"{table} is gone"


def fault() -> str:
    """What a tool's error says."""
    return "the tool is broken"


def break_down() -> str:
    """Raise."""
    raise LookupError(fault())


add = function_tool(_add, name_override="add")
drop = function_tool(_drop, name_override="drop", needs_approval=True)
broken = function_tool(break_down, name_override="broken")


def mcp_server(folder: Path) -> MCPServerStdio:
    """An MCP server, a program in *folder*, with a tool that doubles."""
    program = folder / "server.py"
    program.write_text(
        "from mcp.server import MCPServer\n"
        "server = MCPServer('tools')\n"
        "@server.tool()\n"
        "def double(number: int) -> int:\n"
        "    return 2 * number\n"
        "server.run()\n"
    )
    return MCPServerStdio({"command": sys.executable, "args": [str(program)]})


def shape(run: Recorded) -> list[str]:
    """The types of a run's events, without its usage and messages."""
    left_out = ("token_usage_updated", "message_received", "message_sent")
    return [each for each in run.types if each not in left_out]


def of_type(run: Recorded, type: str) -> list[Any]:
    """The data of the run's events of *type*."""
    return [event.data for event in run.events if event.type == type]


def only(audit: InMemoryAuditLogger) -> Recorded:
    """Return the only run."""
    (run,) = check_runs(audit.events)
    return run


async def run(bot: Agent[Any], given: Any, *, is_streamed: bool = False, **kwargs: Any) -> Any:
    """Run *bot* to its end, with a stream or without; a stream's error is raised here."""
    if not is_streamed:
        return await Runner.run(bot, given, **kwargs)
    result = Runner.run_streamed(bot, given, **kwargs)
    async for _ in result.stream_events():
        pass
    return result


class Stuck(Model):  # type: ignore[misc, unused-ignore]
    """A model that begins, and never answers."""

    def __init__(self) -> None:
        self.begun = threading.Event()

    async def get_response(self, *_: Any, **__: Any) -> Any:
        self.begun.set()
        await asyncio.Event().wait()

    async def stream_response(self, *_: Any, **__: Any) -> AsyncIterator[Any]:
        self.begun.set()
        await asyncio.Event().wait()
        yield


async def reached(condition: Callable[[], bool]) -> None:
    """Wait until *condition* holds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - other threads bring it about too
            await asyncio.sleep(0.001)
