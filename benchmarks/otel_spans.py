"""What the span processor costs: `python -m benchmarks.otel_spans`, where opentelemetry-sdk is installed.

CPU time of a span with the processor over the same span without it, in rounds that take turns; the least of several
rounds, each kind of span by itself. The events are not logged, since `python -m benchmarks.emit` measures those:
auditing is switched off, and all else is done. Beside it stands what the recorder takes for the same, told by hand.
"""

# pyright: reportMissingImports=false
# The SDK is not in our environment.
from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Tracer

from trailhouse.capture.otel import AuditSpanProcessor
from trailhouse.producer.recording.recorder import Recorder
from trailhouse.producer.recording.usage import Usage
from trailhouse.producer.testing import InMemoryAuditLogger

T = TypeVar("T")
SPANS = 600
ROUNDS = 25
HTTP: dict[str, str | int] = {
    "http.request.method": "GET",
    "url.path": "/orders",
    "http.response.status_code": 200,
}
AGENT: dict[str, str | int] = {
    "gen_ai.operation.name": "invoke_agent",
    "gen_ai.agent.name": "bot",
    "gen_ai.conversation.id": "c-1",
}
CHAT: dict[str, str | int] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "m-1",
    "gen_ai.usage.input_tokens": 10,
    "gen_ai.usage.output_tokens": 2,
}
TOOL: dict[str, str | int] = {
    "gen_ai.operation.name": "execute_tool",
    "gen_ai.tool.name": "search",
    "gen_ai.tool.call.id": "t-1",
    "gen_ai.tool.call.arguments": '{"q": "x"}',
}


def plain(tracer: Tracer) -> int:
    """Make spans of no agent, as a service has by the thousand."""
    return _spans(tracer, "GET /orders", HTTP)


def agents(tracer: Tracer) -> int:
    """Make runs in which nothing happens."""
    return _spans(tracer, "invoke_agent bot", AGENT)


def tools(tracer: Tracer) -> int:
    """Make the tool calls of one run."""
    with tracer.start_as_current_span("invoke_agent bot", attributes=AGENT):
        return _spans(tracer, "execute_tool search", TOOL)


def models(tracer: Tracer) -> int:
    """Make the model calls of one run."""
    with tracer.start_as_current_span("invoke_agent bot", attributes=AGENT):
        return _spans(tracer, "chat m-1", CHAT)


def _spans(tracer: Tracer, name: str, attributes: dict[str, str | int]) -> int:
    for _ in range(SPANS):
        with tracer.start_as_current_span(name, attributes=attributes):
            pass
    return SPANS


def no_events(_: Recorder) -> None:
    """Record nothing: what spans of no agent have us record."""


def record_runs(recorder: Recorder) -> None:
    """Record what `agents` has us record, told by hand."""
    for _ in range(SPANS):
        run = recorder.open_run("c-1", source="bench", run_id="r", parent=None, is_deferred=True)
        run.name(agent_id="bot")
        run.end()


def record_tools(recorder: Recorder) -> None:
    """Record what `tools` has us record, told by hand."""
    run = recorder.open_run("c-1", source="bench", parent=None, agent_id="bot")
    for _ in range(SPANS):
        run.tool_call("search", {"q": "x"}, call_id="t-1").start().complete()
    run.end()


def record_models(recorder: Recorder) -> None:
    """Record what `models` has us record, told by hand."""
    run = recorder.open_run("c-1", source="bench", parent=None, agent_id="bot")
    for _ in range(SPANS):
        run.use(Usage(input_tokens=10, output_tokens=2, model="m-1"), source="bench")
    run.end()


SCENES: tuple[tuple[Callable[[Tracer], int], Callable[[Recorder], None]], ...] = (
    (plain, no_events),
    (agents, record_runs),
    (tools, record_tools),
    (models, record_models),
)


def microseconds(work: Callable[[T], object], on: T) -> float:
    """Return the CPU time of one of the spans that *work* makes, or of its events."""
    started = time.thread_time()
    work(on)
    return (time.thread_time() - started) / SPANS * 1e6


def main() -> None:
    """Measure and print."""
    audit = InMemoryAuditLogger()
    bare, audited = TracerProvider(), TracerProvider()
    audited.add_span_processor(AuditSpanProcessor(audit))
    tracers = bare.get_tracer("bench"), audited.get_tracer("bench")
    recorder = audit.recorder
    for spans, by_hand in SCENES:
        with audit.disabled():
            rounds = [
                (
                    *(microseconds(spans, tracer) for tracer in tracers),
                    microseconds(by_hand, recorder),
                )
                for _ in range(ROUNDS)
            ]
        bare, with_us, of_events = (min(column) for column in zip(*rounds, strict=True))
        print(
            f"{spans.__name__:8} {bare:6.1f} µs a span, {with_us - bare:+6.1f} µs with the processor,"
            f" {of_events:5.1f} of them the recorder's for its events"
        )
    audit.close()


if __name__ == "__main__":
    main()
