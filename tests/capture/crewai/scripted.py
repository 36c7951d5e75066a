"""A scripted model for CrewAI, and crews that ask it."""

import asyncio
from typing import Any

from crewai.agent import Agent
from crewai.crew import Crew
from crewai.events.types.llm_events import LLMCallType
from crewai.llms.base_llm import BaseLLM, llm_call_context
from crewai.task import Task
from crewai.tools import tool

from capture_rules import Recorded, check_runs
from trailhouse.producer.testing import InMemoryAuditLogger

USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "cached_prompt_tokens": 3}
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "look_up", "arguments": '{"key": "k"}'},
}


class Scripted(BaseLLM):
    """A model that says its lines in turn, and the last one for ever; a line that is a function is called."""

    lines: list[Any]
    usage: dict[str, int] | None = USAGE
    has_events: bool = True
    said: int = 0

    def call(self, messages: Any, *_: Any, **named: Any) -> Any:
        with llm_call_context():
            agent = named.get("from_agent")
            if self.has_events:
                self._emit_call_started_event(messages, from_agent=agent)
            line = self.lines[min(self.said, len(self.lines) - 1)]
            self.said += 1
            try:
                line = line() if callable(line) else line
            except Exception as error:
                if self.has_events:
                    self._emit_call_failed_event(str(error), from_agent=agent)
                raise
            if self.usage is not None:
                self._track_token_usage_internal(self.usage)
            if self.has_events:
                kind = LLMCallType.TOOL_CALL if isinstance(line, list) else LLMCallType.LLM_CALL
                self._emit_call_completed_event(
                    line, kind, from_agent=agent, messages=messages, usage=self.usage
                )
            return line

    async def acall(self, *args: Any, **named: Any) -> Any:
        return await asyncio.to_thread(self.call, *args, **named)

    def supports_function_calling(self) -> bool:
        return True


@tool
def look_up(key: str) -> str:
    """Look a key up."""
    return f"value of {key}"


@tool("look_up")
def broken_look_up(key: str) -> str:
    """Look a key up."""
    raise LookupError(f"no {key}")


def model(*lines: Any, **named: Any) -> Scripted:
    return Scripted(model="scripted-1", provider="scripted", lines=list(lines), **named)


def agent(llm: Scripted, *, role: str = "researcher", tools: Any = ()) -> Agent:
    return Agent(
        role=role, goal="g", backstory="b", llm=llm, tools=list(tools), max_retry_limit=0, verbose=False
    )  # fmt: skip


def crew_of(*agents: Agent, **named: Any) -> Crew:
    tasks = [Task(description=f"do it, {a.role}", expected_output="x", agent=a) for a in agents]
    return Crew(name="crew", agents=list(agents), tasks=tasks, verbose=False, **named)


def only_run(audit: InMemoryAuditLogger) -> Recorded:
    (run,) = check_runs(audit.events)
    return run
