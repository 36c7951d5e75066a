"""What the span processor costs: `python -m benchmarks.otel_spans`, where opentelemetry-sdk is installed.

CPU time of a span with the processor over the same span without it, in rounds that take turns. The events are not
logged, since `python -m benchmarks.emit` measures those: auditing is switched off, and all else is done.
"""

# pyright: reportMissingImports=false
# The SDK is not in our environment.
from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Tracer

from trailhouse.capture.otel import AuditSpanProcessor
from trailhouse.producer.testing import InMemoryAuditLogger

SPANS = 3_000
ROUNDS = 15
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
    for _ in range(SPANS):
        with tracer.start_as_current_span("GET /orders", attributes=HTTP):
            pass
    return SPANS


def agents(tracer: Tracer) -> int:
    """Make runs of one model call, one tool call and one other span each."""
    for _ in range(SPANS // 4):
        with tracer.start_as_current_span("invoke_agent bot", attributes=AGENT):
            with tracer.start_as_current_span("chat m-1", attributes=CHAT):
                pass
            with (
                tracer.start_as_current_span("execute_tool search", attributes=TOOL),
                tracer.start_as_current_span("GET /orders", attributes=HTTP),
            ):
                pass
    return SPANS


def microseconds(spans: Callable[[Tracer], int], tracer: Tracer) -> float:
    """Return the CPU time of one of *spans*."""
    started = time.thread_time()
    count = spans(tracer)
    return (time.thread_time() - started) / count * 1e6


def main() -> None:
    """Measure and print."""
    audit = InMemoryAuditLogger()
    bare, audited = TracerProvider(), TracerProvider()
    audited.add_span_processor(AuditSpanProcessor(audit))
    tracers = bare.get_tracer("bench"), audited.get_tracer("bench")
    for spans in (plain, agents):
        with audit.disabled():
            rounds = [[microseconds(spans, tracer) for tracer in tracers] for _ in range(ROUNDS)]
        without = statistics.median(first for first, _ in rounds)
        more = statistics.median(second - first for first, second in rounds)
        print(f"{spans.__name__:8} {without:6.1f} µs a span, {more:+5.1f} µs with the processor")
    audit.close()


if __name__ == "__main__":
    main()
