"""Langfuse's client, its exporter replaced by one that encodes as OTLP and counts.

Follows "Python SDK" of Langfuse's documentation (langfuse.com/docs, "Instrumentation"): `create_event` and
`flush`; the exporter is handed over by the constructor's own argument.
"""

# mypy: ignore-errors
# pyright: basic

import os

from caller import arguments, recorded, run

given = arguments()
os.environ["OTEL_BSP_MAX_QUEUE_SIZE"] = str(4 * given.events + 1_000)

from langfuse import Langfuse  # noqa: E402 - reads the line above
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans  # noqa: E402
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult  # noqa: E402


class Memory(SpanExporter):
    """Encodes each batch as its HTTP exporter does, and counts what it would send."""

    events = 0

    def export(self, spans):
        """Take a batch."""
        encode_spans(spans).SerializeToString()
        self.events += len(spans)
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Nothing is open."""


def make():
    """Return how to log one event, and how to finish."""
    memory = Memory()
    client = Langfuse(
        public_key="pk-lf-bench",
        secret_key="sk-lf-bench",  # noqa: S106 - nobody is asked for it
        host="http://127.0.0.1:9",
        span_exporter=memory,
    )

    def log(event) -> None:
        client.create_event(
            name=event["type"], input=event.get("data"), metadata={"session": event["session_id"]}
        )

    def finish() -> int:
        client.flush()
        return memory.events

    return log, finish


run(given, recorded(given), make)
