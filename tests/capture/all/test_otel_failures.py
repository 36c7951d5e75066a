"""Spans side by side, hostile ones, and a log that refuses: every run is kept apart, and nothing harmed."""

# ruff: noqa: SIM117 - spans stand within each other as in a trace

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

from agent_spans import AGENT, CHAT, TOOL, only_run
from capture_rules import check_runs
from trailhouse.capture.otel import AuditSpanProcessor, shapes
from trailhouse.producer.testing import InMemoryAuditLogger
from trailhouse.schemas import SpoolFullError


def test_parallel_runs_are_kept_apart(tracer: Any, audit: InMemoryAuditLogger) -> None:
    """Runs side by side, in tasks and in threads of one trace, have each their own tools and usage."""

    def run(number: int) -> None:
        with tracer.start_as_current_span(
            f"invoke_agent {number}",
            attributes={
                "gen_ai.operation.name": "invoke_agent",
                "gen_ai.conversation.id": f"c-{number}",
            },
        ):
            with tracer.start_as_current_span("chat", attributes=CHAT):
                pass
            with tracer.start_as_current_span("execute_tool", attributes=TOOL):
                pass

    async def main() -> None:
        await asyncio.gather(*(asyncio.to_thread(run, number) for number in range(20)))

    with tracer.start_as_current_span("request"):
        asyncio.run(main())
        threads = [
            threading.Thread(target=contextvars.copy_context().run, args=(run, number))
            for number in range(20, 30)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    runs = check_runs(audit.events)
    assert len(runs) == 30
    assert all(sorted(run.types) == sorted(runs[0].types) and len(run.types) == 5 for run in runs)
    assert {run.start.session_id for run in runs} == {f"c-{number}" for number in range(30)}


def test_hostile_attributes_harm_nobody(
    provider: TracerProvider, audit: InMemoryAuditLogger, caplog: pytest.LogCaptureFixture
) -> None:
    """Ten thousand attributes, and values of a wrong type, are warned of and left out; the run is recorded."""
    tracer = provider.get_tracer("hostile")
    wrong = {
        "gen_ai.agent.name": ["a", "b"],
        "gen_ai.conversation.id": 1.5,
        "gen_ai.agent.call.id": True,
        "error.type": False,
    }
    with tracer.start_as_current_span("invoke_agent bot", attributes={**AGENT, **wrong}) as span:
        span.set_attributes({f"a.{number}": number for number in range(10_000)})
        tokens = {
            "gen_ai.operation.name": "chat",
            "gen_ai.usage.input_tokens": -1,
            "gen_ai.usage.output_tokens": "many",
            "gen_ai.response.id": b"\xff",
        }
        with tracer.start_as_current_span("chat", attributes=tokens):
            pass
    assert audit.only("token_usage_updated").data == {"usage_missing": True}
    assert check_runs(audit.events)
    assert "gen_ai.usage.input_tokens" in caplog.text
    assert audit.stats().unlogged_total == 0


def test_a_log_that_refuses_harms_nobody(tracer: Any, audit: InMemoryAuditLogger) -> None:
    """A full spool changes nothing for the application, and is counted."""
    audit.fail_with(SpoolFullError("full"))
    with tracer.start_as_current_span("invoke_agent", attributes=AGENT):
        with tracer.start_as_current_span("execute_tool", attributes=TOOL):
            pass
    assert audit.events == []
    assert audit.stats().unlogged_total == 4


def test_strict_lets_the_loss_be_seen(audit: InMemoryAuditLogger) -> None:
    """A strict processor raises in the application what could not be recorded."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(AuditSpanProcessor(audit, strict=True))
    tracer = provider.get_tracer("strict")
    audit.fail_with(SpoolFullError("full"))
    with (
        pytest.raises(SpoolFullError),
        tracer.start_as_current_span("invoke_agent", attributes=AGENT),
    ):
        with tracer.start_as_current_span("execute_tool", attributes=TOOL):
            pass


def test_more_sets_of_attributes_than_are_kept_are_read_all_the_same(
    tracer: Any, audit: InMemoryAuditLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is known of sets of attributes has a limit; beyond it, and of sets too large, nothing is lost."""
    monkeypatch.setattr(shapes, "MAX_SHAPES", 4)
    monkeypatch.setattr(shapes, "MAX_NAMES", 12)
    with tracer.start_as_current_span("invoke_agent bot", attributes=AGENT):
        for number in range(20):
            others = {f"a.{number}.{each}": each for each in range(number)}
            with tracer.start_as_current_span("chat m-1", attributes={**others, **CHAT}):
                pass
    run = only_run(audit)
    assert run.types.count("token_usage_updated") == 20
    assert run.end.data["token_usage"]["input_tokens"] == 20 * 10
