"""CrewAI with a scripted model: runs and how they end, judged from the spool."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any, ClassVar

import pytest
from crewai.crew import Crew
from crewai.flow.flow import Flow, start
from crewai.flow.human_feedback import human_feedback
from crewai.tools import tool
from tests.capture.crewai.scripted import agent, crew_of, model

from spooled_runs import (
    BREAK,
    CALL,
    SECRET,
    STUCK,
    Sdk,
    SpooledRuns,
    judged,
    note_asked,
    query_of,
    searched,
)
from trailhouse.capture.crewai import install

search = tool("search")(searched)
SESSION = {"session_id": "s-1"}


@pytest.fixture(autouse=True)
def installed(home: Path) -> None:
    """Leave it to each scene to install us."""


def _line(answer: Any) -> Any:
    if isinstance(answer, Exception):

        def fail() -> str:
            raise answer

        return fail
    if answer == STUCK:

        def wait() -> str:
            note_asked()
            threading.Event().wait(1)
            return "late"

        return wait
    if answer in (CALL, BREAK):
        asked = {"name": "search", "arguments": json.dumps({"query": query_of(answer)})}
        return [{"id": "call_1", "type": "function", "function": asked}]
    return answer


def _crew(*answers: Any, tools: Any = (search,), **named: Any) -> Crew:
    lines = [_line(answer) for answer in answers]
    crew = crew_of(agent(model(*lines), tools=tools), **named)
    crew.tasks[0].description = f"look for {SECRET}"
    return crew


async def _ask(*answers: Any) -> str:
    return str((await _crew(*answers).akickoff(inputs=dict(SESSION))).raw)


async def _stream(*answers: Any) -> str:
    streaming = await _crew(*answers, stream=True).akickoff(inputs=dict(SESSION))
    async for _ in streaming:
        pass
    return str(streaming.result.raw)


async def _nest() -> str:
    inner = _crew("inner")

    def ask(query: str) -> str:
        """Ask."""
        return str(inner.kickoff().raw)

    outer = _crew(CALL, "outer", tools=[tool("search")(ask)])
    return str((await outer.akickoff(inputs=dict(SESSION))).raw)


class No:
    """A provider whose human refuses."""

    def request_feedback(self, context: Any, flow: Any) -> str:
        return f"not {SECRET}"


async def _refuse() -> str:
    class Reviewed(Flow):
        @start()
        @human_feedback(
            message="Publish?",
            provider=No(),
            emit=["approved", "rejected"],
            llm=model("rejected"),
        )
        def draft(self) -> str:
            return str(_crew("a draft").kickoff().raw)

    return str(await Reviewed().kickoff_async(inputs={"id": "s-1"}))


class TestRuns(SpooledRuns):
    """A refusal is that of a flow, whose crew is its child: it has a test of its own."""

    SDKS: ClassVar = {"crewai": Sdk(install, _ask, stream=_stream, nest=_nest, answers_late=True)}


def test_a_review_that_refuses(tmp_path: Path) -> None:
    """A flow asks and is refused in its own run; the crew within it is its child, in its session."""
    found = judged(TestRuns.SDKS["crewai"], _refuse, tmp_path)
    assert found.ends == ["run_completed", "run_completed"]
    types = [str(event.type) for event in found.events]
    assert types.count("tool_approval_requested") == types.count("tool_approval_denied") == 1
