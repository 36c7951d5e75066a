"""OpenTelemetry's batch log processor, exporting to memory what it would send, as OTLP bytes.

Follows "Logs" of OpenTelemetry Python's documentation (opentelemetry-python.readthedocs.io, "Logs SDK"): a
`LoggerProvider` with a `BatchLogRecordProcessor`; the queue is large enough for nothing to be dropped.
"""

# mypy: ignore-errors
# pyright: basic

import time

from caller import arguments, recorded, run
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import (
    BatchLogRecordProcessor,
    LogRecordExporter,
    LogRecordExportResult,
)
from opentelemetry.sdk.resources import Resource

given = arguments()


class Memory(LogRecordExporter):
    """Encodes each batch as its HTTP exporter does, and counts what it would send."""

    events = 0

    def export(self, batch):
        """Take a batch."""
        encode_logs(batch).SerializeToString()
        self.events += len(batch)
        return LogRecordExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 0) -> bool:
        """Nothing is held back."""
        return True

    def shutdown(self) -> None:
        """Nothing is open."""


def make():
    """Return how to log one event, and how to finish."""
    memory = Memory()
    provider = LoggerProvider(resource=Resource.create({"service.name": "bench"}))
    provider.add_log_record_processor(
        BatchLogRecordProcessor(
            memory, max_queue_size=4 * given.events + 1_000, max_export_batch_size=512
        )
    )
    logger = provider.get_logger("bench")

    def log(event) -> None:
        logger.emit(
            LogRecord(
                timestamp=time.time_ns(),
                severity_number=SeverityNumber.INFO,
                event_name=event["type"],
                body=event.get("data"),
                attributes={
                    name: event[name]
                    for name in ("session_id", "run_id", "agent_id")
                    if name in event
                },
            )
        )

    def finish() -> int:
        provider.force_flush(120_000)
        provider.shutdown()
        return memory.events

    return log, finish


run(given, recorded(given), make)
