"""Spans, as the SDK alone makes them: what each name, parent and end makes of the record."""

# ruff: noqa: SIM117 - spans stand within each other as in a trace

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry import baggage, context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    set_span_in_context,
)

from agent_spans import AGENT, CHAT, TOOL, USAGE, only_run, types
from capture_rules import check_runs
from trailhouse.producer.testing import InMemoryAuditLogger


def test_an_agents_span_is_a_run(tracer: Any, audit: InMemoryAuditLogger) -> None:
    """A run has its session, agent, trace and span; its tools their arguments; its totals what its calls used."""
    with tracer.start_as_current_span(
        "invoke_agent bot", attributes={**AGENT, "gen_ai.conversation.id": "c-1"}
    ) as span:
        with tracer.start_as_current_span("chat m-1", attributes=CHAT):
            pass
        with tracer.start_as_current_span(
            "execute_tool search",
            attributes={
                **TOOL,
                "gen_ai.tool.call.id": "t-1",
                "gen_ai.tool.call.arguments": '{"q": "x"}',
            },
        ) as tool:
            tool.set_attribute("gen_ai.tool.call.result", '{"hits": 1}')
    run = only_run(audit)
    assert run.types == [
        "run_started",
        "token_usage_updated",
        "tool_call_started",
        "tool_call_completed",
        "run_completed",
    ]
    started, usage, called, done, end = run.events
    assert (started.session_id, started.agent_id) == ("c-1", "bot")
    assert started.trace_id == f"{span.get_span_context().trace_id:032x}"
    assert started.span_id == started.run_id == f"{span.get_span_context().span_id:016x}"
    assert usage.data == {"model": "m-1", "input_tokens": 10, "output_tokens": 2}
    assert called.data["arguments"] == {"q": "x"}
    assert (done.data["result"], done.data["tool_call_id"]) == ({"hits": 1}, "t-1")
    assert end.data["token_usage"] == {"input_tokens": 10, "output_tokens": 2}


DIALECTS = {
    "old": (
        {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "bot", "gen_ai.system": "openai"},
        {
            "gen_ai.operation.name": "chat", "gen_ai.system": "openai", "gen_ai.response.model": "m-1",
            "gen_ai.usage.prompt_tokens": 10, "gen_ai.usage.completion_tokens": 2,
            "gen_ai.usage.cache_read_input_tokens": 4, "gen_ai.usage.cache_creation_input_tokens": 3,
        },
        {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"},
        {"session.id": "c-1"},
    ),
    "current": (
        AGENT,
        {
            **CHAT, "gen_ai.provider.name": "openai", "gen_ai.usage.cache_read.input_tokens": 4,
            "gen_ai.usage.cache_write.input_tokens": 3,
        },
        TOOL,
        {"gen_ai.conversation.id": "c-1"},
    ),
    "between": (
        AGENT,
        {
            **CHAT, "gen_ai.provider.name": "openai", "gen_ai.usage.cache_read.input_tokens": 4,
            "gen_ai.usage.cache_creation.input_tokens": 3,
        },
        TOOL,
        {"gen_ai.conversation.id": "c-1"},
    ),
    "openinference": (
        {"openinference.span.kind": "AGENT", "agent.name": "bot"},
        {
            "openinference.span.kind": "LLM", "llm.model_name": "m-1", "llm.provider": "openai",
            "llm.token_count.prompt": 10, "llm.token_count.completion": 2,
            "llm.token_count.prompt_details.cache_read": 4, "llm.token_count.prompt_details.cache_write": 3,
        },
        {"openinference.span.kind": "TOOL", "tool.name": "search"},
        {"session.id": "c-1"},
    ),
    "traceloop": (
        {"traceloop.span.kind": "agent", "traceloop.entity.name": "bot"},
        {
            "llm.request.type": "chat", "gen_ai.request.model": "m-1", "gen_ai.system": "openai",
            "gen_ai.usage.prompt_tokens": 10, "gen_ai.usage.completion_tokens": 2,
            "gen_ai.usage.cache_read_input_tokens": 4, "gen_ai.usage.cache_creation_input_tokens": 3,
        },
        {"traceloop.span.kind": "tool", "traceloop.entity.name": "search"},
        {"traceloop.association.properties.session_id": "c-1"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("is_late", [False, True], ids=["at the start", "later"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_dialect_says_the_same(
    dialect: str, is_late: bool, tracer: Any, audit: InMemoryAuditLogger
) -> None:
    """Current, old and vendors' names give the same record, whether they come with a span's start or after it."""
    agent, chat, tool, session = DIALECTS[dialect]

    def attributes(attributes: Any) -> dict[str, Any]:
        return {} if is_late else {"attributes": attributes}

    with tracer.start_as_current_span("one", **attributes({**agent, **session})) as run_span:
        if is_late:
            run_span.set_attributes({**agent, **session})
        for content in (chat, tool):
            with tracer.start_as_current_span("two", **attributes(content)) as span:
                if is_late:
                    span.set_attributes(content)
    run = only_run(audit)
    usage = audit.only("token_usage_updated")
    assert run.types == [
        "run_started",
        "token_usage_updated",
        "tool_call_started",
        "tool_call_completed",
        "run_completed",
    ]
    assert (run.start.session_id, run.start.agent_id) == ("c-1", "bot")
    assert usage.data == {
        "model": "m-1",
        "input_tokens": 10,
        "output_tokens": 2,
        "cache_read_tokens": 4,
        "cache_write_tokens": 3,
    }
    assert usage.provider == "openai"
    audit.assert_logged("tool_call_started", data={"tool_name": "search"})


@pytest.mark.parametrize("name", ["invoke_agent bot", "agent_run [bot]"])
def test_a_name_tells_what_attributes_say_later(
    name: str, tracer: Any, audit: InMemoryAuditLogger
) -> None:
    """A span that starts without attributes is known by its name; its session may follow before its first event."""
    with tracer.start_as_current_span(name) as span:
        span.set_attribute("gen_ai.conversation.id", "c-1")
        with tracer.start_as_current_span("execute_tool search"):
            pass
    run = only_run(audit)
    assert (run.start.session_id, run.start.agent_id) == ("c-1", "bot")
    audit.assert_logged("tool_call_started", data={"tool_name": "search"})


def test_sessions_are_taken_in_order(
    provider: TracerProvider, tracer: Any, audit: InMemoryAuditLogger
) -> None:
    """The conversation counts before the session, that before the baggage, the span around, and the trace."""
    both = {"gen_ai.conversation.id": "c-1", "session.id": "s-1"}
    in_baggage = baggage.set_baggage("session.id", "b-1")
    with tracer.start_as_current_span("request", attributes={"session.id": "around"}):
        around = context.get_current()
    for attributes, parent, expected in (
        (both, in_baggage, "c-1"),
        ({"session.id": "s-1"}, in_baggage, "s-1"),
        ({}, in_baggage, "b-1"),
        ({}, around, "around"),
        ({}, None, None),
    ):
        audit.clear()
        with tracer.start_as_current_span(
            "invoke_agent", context=parent, attributes={**AGENT, **attributes}
        ) as span:
            pass
        trace_id = f"{span.get_span_context().trace_id:032x}"
        started = only_run(audit).start
        assert started.session_id == (expected or trace_id)
        assert started.metadata.get("session_missing", False) == (expected is None)


def test_a_run_within_a_bound_one_is_its_child(tracer: Any, audit: InMemoryAuditLogger) -> None:
    """Spans within a block of plain Python belong to its run; a block within spans belongs to theirs."""
    with audit.run("s-1") as outer, tracer.start_as_current_span("invoke_agent", attributes=AGENT):
        with tracer.start_as_current_span("execute_tool x", attributes=TOOL), audit.run() as inner:
            pass
    runs = {run.run_id: run for run in check_runs(audit.events)}
    assert len(runs) == 3
    middle = runs[inner.parent_run_id or ""]
    assert middle.start.parent_run_id == outer.id
    assert {run.start.session_id for run in runs.values()} == {"s-1"}


def test_one_event_for_the_spans_of_one_tool_call(tracer: Any, audit: InMemoryAuditLogger) -> None:
    """An agent's tool span, the MCP client's and the MCP server's within it are one call; another tool is another."""
    server = {"gen_ai.operation.name": "execute_tool", "mcp.method.name": "tools/call"}
    with (
        tracer.start_as_current_span("invoke_agent", attributes=AGENT),
        tracer.start_as_current_span(
            "execute_tool", attributes={**TOOL, "gen_ai.tool.name": "docs_search"}
        ),
    ):
        with tracer.start_as_current_span(
            "MCP send tools/call search", attributes={"mcp.method.name": "tools/call"}
        ) as client:
            remote = SpanContext(
                client.get_span_context().trace_id,
                client.get_span_context().span_id,
                is_remote=True,
                trace_flags=TraceFlags(1),
            )
            with tracer.start_as_current_span(
                "tools/call search",
                context=set_span_in_context(NonRecordingSpan(remote)),
                attributes={**server, "gen_ai.tool.name": "search"},
            ):
                pass
        with tracer.start_as_current_span(
            "MCP send tools/call fetch", attributes={"mcp.method.name": "tools/call"}
        ):
            pass
        with tracer.start_as_current_span(
            "MCP send tools/list", attributes={"mcp.method.name": "tools/list"}
        ):
            pass
    only_run(audit)
    started = [
        event.data["tool_name"] for event in audit.events if event.type == "tool_call_started"
    ]
    assert started == ["docs_search", "fetch"]


def test_one_usage_for_the_spans_of_one_model_call(tracer: Any, audit: InMemoryAuditLogger) -> None:
    """A framework's model span and the client's within it are one call, whichever of the two has the usage."""
    for outer, inner in (
        (CHAT, CHAT),
        (CHAT | dict.fromkeys(USAGE), CHAT),
        (CHAT, {"gen_ai.operation.name": "chat"}),
    ):
        with tracer.start_as_current_span("invoke_agent", attributes=AGENT):
            given = {key: value for key, value in outer.items() if value is not None}
            with tracer.start_as_current_span("chat", attributes=given):
                with tracer.start_as_current_span("chat", attributes=inner):
                    pass
        assert only_run(audit).end.data["token_usage"] == {"input_tokens": 10, "output_tokens": 2}
        audit.clear()


def test_usage_that_is_missing_is_said(tracer: Any, audit: InMemoryAuditLogger) -> None:
    """A model call without usage says so; a run without model spans takes the totals that its own span has."""
    with tracer.start_as_current_span("invoke_agent", attributes=AGENT):
        with tracer.start_as_current_span("chat", attributes={"gen_ai.operation.name": "chat"}):
            pass
    assert only_run(audit).end.data["token_usage"] == {"usage_missing": True}
    audit.clear()
    totals = {"gen_ai.aggregated_usage.input_tokens": 7, "gen_ai.aggregated_usage.output_tokens": 1}
    with tracer.start_as_current_span("invoke_agent", attributes={**AGENT, **totals}):
        pass
    assert only_run(audit).end.data["token_usage"] == {"input_tokens": 7, "output_tokens": 1}


def test_a_model_call_that_fails(tracer: Any, audit: InMemoryAuditLogger) -> None:
    """A model call's error is logged with what it used, which counts."""
    with (
        tracer.start_as_current_span("invoke_agent", attributes=AGENT),
        pytest.raises(ConnectionError),
        tracer.start_as_current_span("chat", attributes=CHAT),
    ):
        raise ConnectionError("down")
    assert audit.only("model_call_failed").data["error_code"] == "ConnectionError"
    assert only_run(audit).end.data["token_usage"]["input_tokens"] == 10


def test_cached_tokens_counted_apart_are_added(tracer: Any, audit: InMemoryAuditLogger) -> None:
    """An input that is smaller than what was cached of it does not hold that, and does then."""
    cached = {
        "gen_ai.usage.cache_read_input_tokens": 90,
        "gen_ai.usage.cache_write_input_tokens": 5,
    }
    with tracer.start_as_current_span("invoke_agent", attributes=AGENT):
        with tracer.start_as_current_span("chat", attributes={**CHAT, **cached}):
            pass
    assert audit.only("token_usage_updated").data["input_tokens"] == 105


def test_what_starts_or_ends_after_its_run_keeps_it(
    tracer: Any, audit: InMemoryAuditLogger
) -> None:
    """A tool and a model call that end, or start, after their run belong to it and its session."""
    run = tracer.start_span("invoke_agent", attributes={**AGENT, "gen_ai.conversation.id": "c-1"})
    around = set_span_in_context(run)
    tool = tracer.start_span("execute_tool", context=around, attributes=TOOL)
    chat = tracer.start_span("chat", context=around, attributes={"gen_ai.operation.name": "chat"})
    run.end()
    tool.end()
    chat.end()
    tracer.start_span("execute_tool", context=around, attributes=TOOL).end()
    assert {event.run_id for event in audit.events} == {f"{run.get_span_context().span_id:016x}"}
    assert {event.session_id for event in audit.events} == {"c-1"}
    assert types(audit).count("tool_call_completed") == 2
    audit.clear()  # its totals cannot hold what is told of after its end


def test_a_span_never_ended_is_abandoned(
    provider: TracerProvider, tracer: Any, audit: InMemoryAuditLogger
) -> None:
    """What is open when the provider shuts down is abandoned, children first, and its tools have failed."""
    run = tracer.start_span("invoke_agent", attributes=AGENT)
    tracer.start_span("execute_tool", context=set_span_in_context(run), attributes=TOOL)
    provider.shutdown()
    assert only_run(audit).types == [
        "run_started",
        "tool_call_started",
        "tool_call_failed",
        "run_abandoned",
    ]
    run.end()
    assert len(audit.events) == 4


def test_calls_outside_of_runs_are_in_their_session(
    tracer: Any, audit: InMemoryAuditLogger
) -> None:
    """A tool or model call without an agent is logged in its session, without a run."""
    with tracer.start_as_current_span("chat", attributes={**CHAT, "session.id": "s-1"}):
        pass
    with tracer.start_as_current_span("execute_tool", attributes={**TOOL, "session.id": "s-1"}):
        pass
    assert types(audit) == ["token_usage_updated", "tool_call_started", "tool_call_completed"]
    assert {(event.session_id, event.run_id) for event in audit.events} == {("s-1", None)}


def test_an_agent_that_is_created(tracer: Any, audit: InMemoryAuditLogger) -> None:
    """The creation of an agent has a type of its own."""
    with tracer.start_as_current_span(
        "create_agent bot",
        attributes={
            "gen_ai.operation.name": "create_agent",
            "gen_ai.agent.id": "asst-1",
            "gen_ai.agent.name": "bot",
            "gen_ai.request.model": "m-1",
        },
    ):
        pass
    created = audit.only("agent_created")
    assert created.data == {"agent_id": "asst-1", "agent_name": "bot", "model": "m-1"}
