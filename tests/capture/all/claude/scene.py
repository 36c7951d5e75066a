"""What the tests of Claude's adapter share: what the scripted model answers, and how a stream is read."""

from collections.abc import AsyncIterator
from typing import Any

from capture_rules import Recorded, check_runs
from scripted_claude import Turn, last_prompt
from trailhouse.producer.testing import InMemoryAuditLogger

TOUCH = ("toolu_1", "Bash", {"command": "touch made; echo hi", "description": "make a file"})
ANSWER = Turn("done", tokens=(20, 7, 100, 5))


def script(body: dict[str, Any]) -> Turn:
    prompt = last_prompt(body)
    tools = [tool["name"] for tool in body.get("tools", [])]
    if "tool_result" in prompt:
        return ANSWER
    if "refused by the provider" in prompt:
        return Turn(error=(400, "no such thing"))
    if "use a helper" in prompt and "Agent" in tools:
        asked = {
            "description": "d",
            "prompt": "work",
            "subagent_type": "helper",
            "run_in_background": False,
        }
        return Turn(tools=(("toolu_agent", "Agent", asked),))
    if prompt.strip() == "work":
        return Turn(tools=(("toolu_sub", "Bash", {"command": "echo sub", "description": "x"}),))
    if "call a tool" in prompt:
        return Turn("let me", tools=(TOUCH,), tokens=(10, 5, 0, 200))
    if "look it up" in prompt:
        return Turn(tools=(("toolu_look", "mcp__ours__look", {"key": "k"}),))
    if "fail a tool" in prompt:
        return Turn(tools=(("toolu_1", "Bash", {"command": "echo no; false", "description": "x"}),))
    return Turn("hello", tokens=(10, 5, 0, 200))


async def read(stream: AsyncIterator[Any]) -> list[Any]:
    return [message async for message in stream]


def only_run(audit: InMemoryAuditLogger) -> Recorded:
    (run,) = check_runs(audit.events)
    return run
