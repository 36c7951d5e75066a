"""Claude's own command line with a scripted model: runs and how they end, judged from the spool."""

from __future__ import annotations

import asyncio
import itertools
import json
import tempfile
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import Any, ClassVar

import claude_agent_sdk
from claude_agent_sdk import (
    AssistantMessage,
    ClaudeAgentOptions,
    PermissionResultAllow,
    PermissionResultDeny,
    ResultMessage,
    TextBlock,
)

from scripted_claude import Turn, scripted_claude
from spooled_runs import BREAK, CALL, SECRET, STUCK, TOKENS, Sdk, SpooledRuns, note_asked
from trailhouse.capture import claude_agent

SESSION = "1c2b3a40-0000-4000-8000-000000000001"


def _turn(answer: Any) -> Turn:
    used = (TOKENS, 2, 0, 0)
    if isinstance(answer, Exception):
        return Turn(error=(400, str(answer)))
    if answer in (CALL, BREAK):
        command = f"touch made; echo {SECRET}" + ("; false" if answer == BREAK else "")
        asked = {"command": command, "description": "look"}
        return Turn(tools=(("toolu_1", "Bash", asked),), tokens=used)
    return Turn(str(answer), tokens=used)


@asynccontextmanager
async def _options(*answers: Any, **more: Any) -> AsyncGenerator[ClaudeAgentOptions]:
    coming = itertools.chain(answers, itertools.repeat(answers[-1]))  # an error is asked for again

    def script(_: dict[str, Any]) -> Turn:
        return _turn(next(coming))

    with scripted_claude(script) as server, tempfile.TemporaryDirectory() as home:
        if STUCK in answers:
            server.hold()
        here = {"HOME": home, "CLAUDE_CONFIG_DIR": f"{home}/claude"}
        given = {"allowed_tools": ["Bash"], "session_id": SESSION} | more
        options = ClaudeAgentOptions(
            env=server.environment | here, cwd=home, setting_sources=[], **given
        )
        watching = asyncio.create_task(asyncio.to_thread(server.asked.wait, 30))
        watching.add_done_callback(lambda _: note_asked())
        try:
            yield options
        finally:
            server.asked.set()
            await asyncio.wait([watching])


def _texts(message: Any) -> list[str]:
    if not isinstance(message, AssistantMessage):
        return []
    return [block.text for block in message.content if isinstance(block, TextBlock)]


async def _ask(*answers: Any, **more: Any) -> str:
    said: list[str] = []
    async with _options(*answers, **more) as options:
        async for message in claude_agent_sdk.query(prompt=SECRET, options=options):
            said += _texts(message)
            if isinstance(message, ResultMessage) and message.is_error:
                said.append(f"error {json.dumps(message.subtype)}")
    return " ".join(said)


async def _stream(*answers: Any) -> str:
    return await _ask(*answers, include_partial_messages=True)


async def _leave(*answers: Any) -> str:
    async with (
        _options(*answers) as options,
        aclosing(claude_agent_sdk.query(prompt=SECRET, options=options)) as messages,
    ):
        async for message in messages:
            if said := _texts(message):
                return said[0]
    return ""


async def _decide(is_granted: bool) -> str:
    async def decide(*_: Any) -> PermissionResultAllow | PermissionResultDeny:
        if is_granted:
            return PermissionResultAllow()
        return PermissionResultDeny(message=f"not {SECRET}")

    return await _ask(CALL, "well", allowed_tools=[], can_use_tool=decide)


class TestRuns(SpooledRuns):
    """Subagents, whose calls a result does not tell apart, have tests of their own."""

    SDKS: ClassVar = {
        "claude_agent": Sdk(
            claude_agent.install,
            _ask,
            stream=_stream,
            leave=_leave,
            decide=_decide,
            decides_in_one_run=True,
            errors=(claude_agent_sdk.ResultError,),
            at_once=2,
        )
    }
