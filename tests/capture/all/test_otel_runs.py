"""Which spans are runs, what they stand within, and how they end."""

# ruff: noqa: SIM117 - spans stand within each other as in a trace

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from opentelemetry.trace import (
    StatusCode,
)

from agent_spans import AGENT, CHAT, TOOL, only_run
from capture_rules import check_runs
from trailhouse.producer.testing import InMemoryAuditLogger


@pytest.mark.parametrize(
    ("error", "type", "code"),
    [
        (ValueError("no"), "run_failed", "ValueError"),
        (TimeoutError("slow"), "run_timeout", "TimeoutError"),
        (asyncio.CancelledError(), "run_cancelled", "CancelledError"),
        (KeyboardInterrupt(), "run_cancelled", "KeyboardInterrupt"),
        (SystemExit(), "run_cancelled", "SystemExit"),
        (GeneratorExit(), "run_cancelled", "GeneratorExit"),
    ],
)
def test_a_run_ends_as_what_was_raised_says(
    error: BaseException, type: str, code: str, tracer: Any, audit: InMemoryAuditLogger
) -> None:
    """An exception, and what a span does not tell of, makes the end; a tool that it left has failed."""
    with (
        pytest.raises(BaseException) as raised,  # noqa: PT011 - each is compared below
        tracer.start_as_current_span("invoke_agent", attributes=AGENT),
    ):
        with tracer.start_as_current_span("execute_tool", attributes=TOOL):
            raise error
    assert raised.value is error
    run = only_run(audit)
    assert (run.end.type, run.end.data["error_code"]) == (type, code)
    assert audit.only("tool_call_failed").data["error_code"] == code


def test_a_failure_without_an_exception(tracer: Any, audit: InMemoryAuditLogger) -> None:
    """An error's status or type alone makes a run and a tool fail."""
    with tracer.start_as_current_span("invoke_agent", attributes=AGENT) as span:
        with tracer.start_as_current_span("execute_tool", attributes=TOOL) as tool:
            tool.set_attribute("error.type", "tool_error")
        span.set_status(StatusCode.ERROR, "it broke: badly")
    run = only_run(audit)
    assert (run.end.type, run.end.data["error_message"]) == ("run_failed", "it broke: badly")
    assert audit.only("tool_call_failed").data["error_code"] == "tool_error"


def test_a_handled_cancellation_is_not_ones_own(tracer: Any, audit: InMemoryAuditLogger) -> None:
    """A run that is started by who handles a cancellation, or ends within a handler of an error, completes."""
    try:
        raise asyncio.CancelledError  # noqa: TRY301 - as one that is handled here
    except asyncio.CancelledError:
        with tracer.start_as_current_span("invoke_agent", attributes=AGENT):
            pass
    span = tracer.start_span("invoke_agent", attributes=AGENT)
    try:
        raise ValueError  # noqa: TRY301 - as one that is handled here
    except ValueError:
        span.end()
    assert [run.end.type for run in check_runs(audit.events)] == ["run_completed"] * 2


def test_a_generator_closed_within_a_healthy_root(tracer: Any, audit: InMemoryAuditLogger) -> None:
    """A child that ends as its generator is closed completed if the root ends well, and else was cancelled."""

    async def child() -> AsyncGenerator[int]:
        with tracer.start_as_current_span(
            "invoke_agent", attributes={**AGENT, "gen_ai.agent.name": "a"}
        ):
            yield 1
            yield 2

    async def root(*, breaks: bool) -> AsyncGenerator[int]:
        with tracer.start_as_current_span("invoke_agent", attributes=AGENT):
            with tracer.start_as_current_span("execute_tool", attributes=TOOL):
                pass
            stream = child()
            yield await anext(stream)
            await stream.aclose()
            yield 3

    async def use(*, breaks: bool) -> None:
        stream = root(breaks=breaks)
        async for _ in stream:
            if breaks:
                break
        await stream.aclose()

    asyncio.run(use(breaks=False))
    ends = {run.start.agent_id: run.end.type for run in check_runs(audit.events)}
    assert ends == {"bot": "run_completed", "a": "run_completed"}
    audit.clear()
    asyncio.run(use(breaks=True))
    ends = {run.start.agent_id: run.end.type for run in check_runs(audit.events)}
    assert ends["bot"] == "run_cancelled"


WORKFLOWS = {
    "gen_ai": {"gen_ai.operation.name": "invoke_workflow"},
    "openinference": {"openinference.span.kind": "CHAIN"},
    "traceloop": {"traceloop.span.kind": "workflow"},
}


@pytest.mark.parametrize("dialect", WORKFLOWS)
def test_a_workflow_round_one_agent_is_no_run(
    dialect: str, tracer: Any, audit: InMemoryAuditLogger
) -> None:
    """Scaffolding gives no run: there is one, with the agent's name."""
    with tracer.start_as_current_span("flow", attributes=WORKFLOWS[dialect]):
        with tracer.start_as_current_span("invoke_agent", attributes=AGENT):
            with tracer.start_as_current_span(
                "step", attributes={"openinference.span.kind": "CHAIN"}
            ):
                with tracer.start_as_current_span("chat", attributes=CHAT):
                    pass
    assert only_run(audit).start.agent_id == "bot"


@pytest.mark.parametrize("dialect", WORKFLOWS)
def test_an_agent_that_fails_fails_its_workflow(
    dialect: str, tracer: Any, audit: InMemoryAuditLogger
) -> None:
    """A workflow whose status stays unset ends as its last agent did; one that another agent mended completes."""
    with tracer.start_as_current_span("flow", attributes=WORKFLOWS[dialect]):
        with tracer.start_as_current_span("invoke_agent", attributes=AGENT) as agent:
            agent.set_status(StatusCode.ERROR, "no")
    assert only_run(audit).end.type == "run_failed"
    audit.clear()
    with tracer.start_as_current_span("flow", attributes=WORKFLOWS[dialect]):
        with tracer.start_as_current_span("invoke_agent", attributes=AGENT) as agent:
            agent.set_status(StatusCode.ERROR, "no")
        with tracer.start_as_current_span(
            "invoke_agent", attributes={**AGENT, "gen_ai.agent.name": "b"}
        ):
            pass
    assert {run.start.agent_id: run.end.type for run in check_runs(audit.events)} == {
        "bot": "run_completed",
        "b": "run_completed",
    }


def test_a_chain_without_calls_is_nothing(tracer: Any, audit: InMemoryAuditLogger) -> None:
    """A chain in which nothing is called gives no event; one with a model call is a run."""
    chain = {"openinference.span.kind": "CHAIN"}
    with tracer.start_as_current_span("outer", attributes=chain):
        with tracer.start_as_current_span("inner", attributes=chain):
            pass
    assert audit.events == []
    with tracer.start_as_current_span("outer", attributes=chain):
        with tracer.start_as_current_span("inner", attributes=chain):
            with tracer.start_as_current_span("chat", attributes=CHAT):
                pass
    assert only_run(audit).types == ["run_started", "token_usage_updated", "run_completed"]


def test_nested_agents_are_child_runs(tracer: Any, audit: InMemoryAuditLogger) -> None:
    """An agent called by a tool is a child run in its parent's session; its usage is its own."""
    with (
        tracer.start_as_current_span(
            "invoke_agent", attributes={**AGENT, "gen_ai.conversation.id": "c-1"}
        ),
        tracer.start_as_current_span("execute_tool", attributes=TOOL),
        tracer.start_as_current_span(
            "invoke_agent",
            attributes={**AGENT, "gen_ai.agent.name": "b", "gen_ai.conversation.id": "c-2"},
        ),
        tracer.start_as_current_span("chat", attributes=CHAT),
    ):
        pass
    outer, inner = check_runs(audit.events)
    assert (inner.start.parent_run_id, inner.start.session_id) == (outer.run_id, "c-1")
    assert inner.start.metadata["framework_session_id"] == "c-2"
    assert outer.end.data["token_usage"] == {}
    assert inner.end.data["token_usage"]["input_tokens"] == 10


def test_a_session_that_comes_late(tracer: Any, audit: InMemoryAuditLogger) -> None:
    """A session that a run's first call names is in the start; one that only the end names, in the end's metadata."""
    with (
        tracer.start_as_current_span("invoke_agent", attributes=AGENT),
        tracer.start_as_current_span("chat", attributes=CHAT) as call,
    ):
        call.set_attribute("gen_ai.conversation.id", "c-1")
    assert only_run(audit).start.session_id == "c-1"
    audit.clear()
    with tracer.start_as_current_span("invoke_agent", attributes=AGENT) as span:
        with tracer.start_as_current_span("chat", attributes=CHAT):
            pass
        span.set_attribute("gen_ai.conversation.id", "c-2")
    run = only_run(audit)
    assert run.start.session_id == run.start.trace_id
    assert run.end.metadata["framework_session_id"] == "c-2"
    audit.clear()
    with tracer.start_as_current_span("invoke_agent", attributes=AGENT) as span:
        span.set_attribute("gen_ai.conversation.id", "c-3")
    assert only_run(audit).start.session_id == "c-3"


def test_a_run_whose_generator_was_closed_is_cancelled_as_the_logger_is_closed(
    tracer: Any, audit: InMemoryAuditLogger
) -> None:
    """A child that ended with its generator, and waits for its root's end, was cancelled if nobody tells of that."""
    with tracer.start_as_current_span("invoke_agent", attributes=AGENT):
        with pytest.raises(GeneratorExit):
            with tracer.start_as_current_span("invoke_agent", attributes=AGENT):
                raise GeneratorExit
        audit.close()
    ends = [str(run.end.type) for run in check_runs(audit.events)]
    assert ends == ["run_abandoned", "run_cancelled"]


def test_a_run_that_is_known_to_have_failed_has_that_end_as_the_logger_is_closed(
    tracer: Any, audit: InMemoryAuditLogger
) -> None:
    """A span that tells of its failure and does not end is a run that failed, and was not abandoned."""
    span = tracer.start_span("invoke_agent", attributes=AGENT)
    span.record_exception(ValueError("no"))
    span.set_status(StatusCode.ERROR)
    audit.close()
    run = only_run(audit)
    assert (run.end.type, run.end.data["error_code"]) == ("run_failed", "ValueError")


def test_a_call_that_waits_for_its_name_is_recorded_as_the_logger_is_closed(
    tracer: Any, audit: InMemoryAuditLogger
) -> None:
    """A tool's call whose start waits for its attributes has a start, and an end for want of one."""
    with tracer.start_as_current_span("invoke_agent", attributes=AGENT):
        tracer.start_span("execute_tool search")
        audit.close()
    assert only_run(audit).types == [
        "run_started",
        "tool_call_started",
        "tool_call_failed",
        "run_abandoned",
    ]
    assert audit.stats().unlogged_total == 0
