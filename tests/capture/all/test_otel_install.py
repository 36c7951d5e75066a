"""Installing: into the given provider or the global one, past its sampler, once, and undone."""

from __future__ import annotations

import gc
import os
import weakref
from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, TraceIdRatioBased

from agent_spans import AGENT, CHAT, TOOL, only_run, types
from trailhouse.capture.otel import (
    AuditLogRecordProcessor,
    AuditSpanProcessor,
    audit_sampler,
    install,
)
from trailhouse.producer.testing import InMemoryAuditLogger
from trailhouse.schemas import ConfigError


class Exported(SpanExporter):
    """Keeps the names of the spans that are exported."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.names += [span.name for span in spans]
        return SpanExportResult.SUCCESS


def provider_with(sampler: Any) -> tuple[TracerProvider, Exported]:
    provider, exported = TracerProvider(sampler=sampler, shutdown_on_exit=False), Exported()
    provider.add_span_processor(SimpleSpanProcessor(exported))
    return provider, exported


def an_agent(tracer: Any) -> None:
    with (
        tracer.start_as_current_span("invoke_agent", attributes=AGENT),
        tracer.start_as_current_span("a step"),
        tracer.start_as_current_span("execute_tool", attributes=TOOL),
        tracer.start_as_current_span("chat", attributes=CHAT),
    ):
        pass


EVENTS = [
    "run_started",
    "tool_call_started",
    "token_usage_updated",
    "tool_call_completed",
    "run_completed",
]


@pytest.mark.parametrize(
    "sampler", [ALWAYS_OFF, ParentBased(ALWAYS_OFF), TraceIdRatioBased(0.0)], ids=str
)
def test_what_is_sampled_away_is_recorded_and_not_exported(
    sampler: Any, audit: InMemoryAuditLogger
) -> None:
    """A run whose trace is dropped is recorded whole, with spans between that are nobody's; nothing is exported."""
    provider, exported = provider_with(sampler)
    early = provider.get_tracer("made before")
    undo = install(audit, provider)
    for tracer in (early, provider.get_tracer("made after")):
        an_agent(tracer)
        assert types(audit) == EVENTS
        only_run(audit)
        audit.clear()
    with early.start_as_current_span("GET /") as span:
        assert not span.is_recording()
    undo()
    an_agent(early)
    an_agent(provider.get_tracer("made after"))
    an_agent(provider.get_tracer("made since"))
    assert audit.events == []
    assert exported.names == []
    assert provider.sampler is sampler


def test_what_is_sampled_is_exported_as_without_us(audit: InMemoryAuditLogger) -> None:
    """Exporters see each span that they see without us, and no other."""
    provider, exported = provider_with(ALWAYS_ON)
    undo = install(audit, provider)
    an_agent(provider.get_tracer("x"))
    undo()
    assert sorted(exported.names) == ["a step", "chat", "execute_tool", "invoke_agent"]
    assert types(audit) == EVENTS


def test_a_sampler_is_wrapped_once() -> None:
    """A wrapped sampler is not wrapped again, and says what it wraps."""
    wrapped = audit_sampler(ALWAYS_OFF)
    assert audit_sampler(wrapped) is wrapped
    assert "AlwaysOff" in wrapped.get_description()


def test_installed_twice_or_by_hand_too_records_once(audit: InMemoryAuditLogger) -> None:
    """Two processors of one logger record each span once."""
    provider, _ = provider_with(ALWAYS_ON)
    provider.add_span_processor(AuditSpanProcessor(audit))
    undo, again = install(audit, provider), install(audit, provider)
    an_agent(provider.get_tracer("x"))
    assert types(audit) == EVENTS
    again()
    undo()


def test_the_global_provider_is_set_if_nobody_has(audit: InMemoryAuditLogger) -> None:
    """Without a provider, spans of the global tracer are recorded all the same."""
    undo = install(audit)
    an_agent(trace.get_tracer("x"))
    assert types(audit) == EVENTS
    undo()


def test_a_provider_that_is_not_the_sdks_is_refused(audit: InMemoryAuditLogger) -> None:
    """What has no processors cannot be installed into, and says which version was tried."""
    with pytest.raises(ConfigError, match="it was tried with"):
        install(audit, trace.NoOpTracerProvider())


def test_a_logger_that_is_let_go_is_freed() -> None:
    """The tree of spans does not keep a logger that nobody has any more."""
    audit = InMemoryAuditLogger()
    processor = AuditSpanProcessor(audit)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    an_agent(provider.get_tracer("x"))
    gone = weakref.ref(audit)
    del audit, processor, provider
    gc.collect()
    assert gone() is None


def test_a_forked_child_does_not_end_its_parents_runs(audit: InMemoryAuditLogger) -> None:
    """A span that is open as a process forks is the parent's: the child's end of it is not recorded."""
    provider, _ = provider_with(ALWAYS_ON)
    undo = install(audit, provider)
    span = provider.get_tracer("x").start_span("invoke_agent", attributes=AGENT)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        span.end()
        os.write(write, ",".join(types(audit)).encode())
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    assert "run_completed" not in os.read(read, 1_000).decode()
    os.close(read)
    span.end()
    assert only_run(audit).end.type == "run_completed"
    undo()


def test_log_events_are_recorded_in_the_run_of_their_span(audit: InMemoryAuditLogger) -> None:
    """Exceptions and evaluations of gen_ai log events are in their span's run; other log records are not for us."""
    logs = LoggerProvider(shutdown_on_exit=False)
    logs.add_log_record_processor(AuditLogRecordProcessor(audit))
    logger = logs.get_logger("x")
    provider, _ = provider_with(ALWAYS_ON)
    undo = install(audit, provider)
    raised = {"exception.type": "RateLimitError", "exception.message": "slow down"}
    judged = {
        "gen_ai.evaluation.name": "relevance",
        "gen_ai.evaluation.score.value": 0.9,
        "gen_ai.evaluation.score.label": "pass",
        "gen_ai.response.id": "r-1",
    }
    with (
        provider.get_tracer("x").start_as_current_span("invoke_agent", attributes=AGENT),
        provider.get_tracer("x").start_as_current_span("chat", attributes=CHAT),
    ):
        logger.emit(event_name="gen_ai.client.operation.exception", attributes=raised)
        logger.emit(event_name="gen_ai.evaluation.result", attributes=judged)
        logger.emit(event_name="something.else", body="no")
    run = only_run(audit)
    assert "error_occurred" in run.types
    error, evaluation = audit.only("error_occurred"), audit.only("evaluation_recorded")
    assert (error.data["error_code"], error.run_id) == ("RateLimitError", run.run_id)
    assert evaluation.data == {
        "evaluation": "relevance",
        "score": 0.9,
        "label": "pass",
        "model_call_id": "r-1",
    }
    audit.clear()
    logger.emit(event_name="gen_ai.evaluation.result", attributes={**judged, "session.id": "s-1"})
    assert audit.only("evaluation_recorded").session_id == "s-1"
    undo()
