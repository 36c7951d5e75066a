"""DSPy, by OpenInference's instrumentation beside `install(audit)`.

Its spans cannot show: a session; an agent's name but its module's class; usage of a model that does not go through
LiteLLM.
"""

from __future__ import annotations

import asyncio
import threading
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


def test_a_tool_that_raises(audit: InMemoryAuditLogger) -> None:
    """DSPy answers its model in the tool's place: the tool has failed, and the run goes on."""

    def refuse() -> str:
        """Refuse."""
        raise LookupError("no")

    answers = [step("refuse"), step("finish"), {"reasoning": "r", "answer": "none"}]
    with dspy.context(lm=DummyLM(answers)):
        dspy.ReAct("question->answer", tools=[refuse])(question="?")
    (run,) = check_runs(audit.events)
    assert run.end.type == "run_completed"
    assert run.types.count("tool_call_failed") == 1


class Stuck(DummyLM):
    async def aforward(self, *args: Any, **kwargs: Any) -> Any:
        await asyncio.Event().wait()


@pytest.mark.parametrize("by", ["a task that is cancelled", "a time limit"])
def test_a_run_that_is_cancelled(by: str, audit: InMemoryAuditLogger) -> None:
    """An asynchronous module ends as cancelled, by a time limit around it too."""

    async def application() -> None:
        with dspy.context(lm=Stuck([])):
            task = asyncio.create_task(dspy.Predict("question->answer").acall(question="?"))
            if by == "a time limit":
                await asyncio.wait_for(task, 0.1)
            await asyncio.sleep(0.1)
            task.cancel()
            await task

    with pytest.raises(TimeoutError if by == "a time limit" else asyncio.CancelledError):
        asyncio.run(application())
    (run,) = check_runs(audit.events)
    assert run.end.type == "run_cancelled"


def test_a_stream(audit: InMemoryAuditLogger) -> None:
    """A module that is streamed to its end is a run as any."""
    answers = [step("add", '{"a": 1, "b": 2}'), step("finish"), {"reasoning": "r", "answer": "3"}]

    async def application() -> Any:
        with dspy.context(lm=DummyLM(answers)):
            stream = dspy.streamify(
                dspy.ReAct("question->answer", tools=[add]), is_async_program=True
            )
            return [each async for each in stream(question="1+2?")][-1].answer

    assert asyncio.run(application()) == "3"
    (run,) = check_runs(audit.events)
    assert (run.start.agent_id, run.end.type) == ("ReAct", "run_completed")
    assert run.types.count("tool_call_started") == run.types.count("tool_call_completed") == 2
    assert run.types.count("token_usage_updated") == 3


def test_a_stream_that_fails(audit: InMemoryAuditLogger) -> None:
    """A model's error in a stream fails the call and the run, once, and reaches the reader."""

    class FailingLater(DummyLM):
        async def aforward(self, *args: Any, **kwargs: Any) -> Any:
            if self.history:
                raise ConnectionError("down")
            return await super().aforward(*args, **kwargs)

    async def application() -> None:
        with dspy.context(lm=FailingLater([step("add", '{"a": 1, "b": 2}')])):
            stream = dspy.streamify(
                dspy.ReAct("question->answer", tools=[add]), is_async_program=True
            )
            async for _ in stream(question="1+2?"):
                pass

    with pytest.raises(ConnectionError):
        asyncio.run(application())
    (run,) = check_runs(audit.events)
    assert (run.end.type, run.end.data["error_code"]) == ("run_failed", "ConnectionError")
    assert run.types.count("tool_call_completed") == run.types.count("model_call_failed") == 1


def test_a_stream_that_is_left(audit: InMemoryAuditLogger) -> None:
    """A reader that is cancelled cancels the run. (One that closes the stream has DSPy itself raise.)"""

    asked = asyncio.Event()

    class StuckLater(DummyLM):
        async def aforward(self, *args: Any, **kwargs: Any) -> Any:
            if self.history:
                asked.set()
                await asyncio.Event().wait()
            return await super().aforward(*args, **kwargs)

    async def read() -> None:
        with dspy.context(lm=StuckLater([step("add", '{"a": 1, "b": 2}')])):
            stream = dspy.streamify(
                dspy.ReAct("question->answer", tools=[add]), is_async_program=True
            )
            async for _ in stream(question="1+2?"):
                pass

    async def application() -> None:
        task = asyncio.create_task(read())
        await asyncio.wait_for(asked.wait(), 20)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(application())
    (run,) = check_runs(audit.events)
    assert (run.end.type, run.types.count("tool_call_completed")) == ("run_cancelled", 1)


def test_runs_side_by_side(audit: InMemoryAuditLogger) -> None:
    """Modules in threads do not mix: each is a run in a session of its own."""
    answered: dict[int, str] = {}

    def work(number: int) -> None:
        with dspy.context(lm=DummyLM([{"answer": str(number)}])):
            answered[number] = dspy.Predict("question->answer")(question="?").answer

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    runs = check_runs(audit.events)
    assert answered == {0: "0", 1: "1", 2: "2"}
    assert [run.types.count("token_usage_updated") for run in runs] == [1, 1, 1]
    assert len({run.start.session_id for run in runs}) == 3
