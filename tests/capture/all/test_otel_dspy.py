"""DSPy, by OpenInference's instrumentation beside `install(audit)`.

Its spans cannot show: a session; an agent's name but its module's class; usage of a model that does not go through
LiteLLM.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dspy
import pytest
from dspy.utils import DummyLM
from openinference.instrumentation.dspy import DSPyInstrumentor

from capture_rules import check_runs
from trailhouse.capture.otel import install
from trailhouse.producer.testing import InMemoryAuditLogger


@pytest.fixture
def audit(audit: InMemoryAuditLogger) -> Iterator[InMemoryAuditLogger]:
    undo = install(audit)
    DSPyInstrumentor().instrument()
    yield audit
    DSPyInstrumentor().uninstrument()
    undo()


def step(tool: str, arguments: str = "{}") -> dict[str, Any]:
    return {"next_thought": "t", "next_tool_name": tool, "next_tool_args": arguments}


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def test_a_module_with_a_tool(audit: InMemoryAuditLogger) -> None:
    """A module that calls tools is one run, whatever modules it is made of; a dummy's usage is missing, and said."""
    answers = [step("add", '{"a": 1, "b": 2}'), step("finish"), {"reasoning": "r", "answer": "3"}]
    with dspy.context(lm=DummyLM(answers)):
        result = dspy.ReAct("question->answer", tools=[add])(question="1+2?")
    assert result.answer == "3"
    (run,) = check_runs(audit.events)
    assert run.start.agent_id == "ReAct"
    called = audit.only("tool_call_started", data={"tool_name": "add"})
    assert called.data["arguments"] == {"a": 1, "b": 2}
    assert run.types.count("token_usage_updated") == 3
    assert run.end.data["token_usage"] == {"usage_missing": True}


def test_a_module_that_fails(audit: InMemoryAuditLogger) -> None:
    """A model's error fails the run, and reaches the application."""

    class Failing(DummyLM):
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            raise ConnectionError("down")

    with dspy.context(lm=Failing([])), pytest.raises(Exception, match="down"):
        dspy.Predict("question->answer")(question="?")
    (run,) = check_runs(audit.events)
    assert run.end.type == "run_failed"
