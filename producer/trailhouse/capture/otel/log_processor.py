"""The log record processor: errors and evaluations that gen_ai log events tell of are recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trailhouse.capture.otel import names
from trailhouse.capture.otel.later_hooks import LaterHooks
from trailhouse.capture.otel.reading import text_of
from trailhouse.capture.otel.runs import SOURCE
from trailhouse.capture.otel.sessions import session_around, session_in
from trailhouse.capture.otel.times import moment
from trailhouse.capture.otel.trees import tree_of
from trailhouse.schemas.event_type import EventType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.sdk._logs import LogRecordProcessor, ReadWriteLogRecord

    from trailhouse.producer import AuditLogger
    from trailhouse.producer.recording.run import Run
else:
    LogRecordProcessor = (
        LaterHooks  # to import this takes no SDK, which asks for no class of its own
    )

EXCEPTIONS = frozenset(("gen_ai.client.operation.exception", "gen_ai.execute_tool.exception"))
EVALUATION = "gen_ai.evaluation.result"


class AuditLogRecordProcessor(LogRecordProcessor):
    """Records in *audit* the gen_ai exceptions and evaluations that log records tell of, in the run of their span.

    Args:
        audit: Where to record.
        strict: Have what cannot be recorded raise in the application, where the SDK lets it through.
    """

    def __init__(self, audit: AuditLogger, *, strict: bool = False) -> None:
        self._recorder = audit.recorder
        self._tree = tree_of(audit)
        self._guard = audit.recorder.guard("a log event", strict=strict)
        self._is_on = True

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Take in a log record."""
        record = log_record.log_record
        name = getattr(record, "event_name", None)
        if self._is_on and (name in EXCEPTIONS or name == EVALUATION):
            with self._guard:
                self._record(name, record)

    def _record(self, name: Any, record: Any) -> None:
        attributes: Mapping[str, Any] = record.attributes or {}
        run = self._run_of(record, attributes)
        at = moment(record.timestamp or record.observed_timestamp)
        if name == EVALUATION:
            run.log(EventType.EVALUATION_RECORDED, _evaluation(attributes), at=at)
        else:
            run.error_occurred(
                {
                    "code": text_of(attributes, ("exception.type", "error.type")),
                    "message": text_of(attributes, ("exception.message",)),
                },
                at=at,
            )

    def _run_of(self, record: Any, attributes: Mapping[str, Any]) -> Run:
        run = self._tree.run_at(record.span_id or 0) or self._recorder.current
        if run is not None:
            return run
        session = session_in(attributes) or session_around(record.context)
        trace_id = f"{record.trace_id:032x}" if record.trace_id else None
        return self._recorder.outside_runs(session, source=SOURCE, trace_id=trace_id)

    def shutdown(self) -> None:
        """Record nothing from now on."""
        self._is_on = False

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Return True: nothing waits here."""
        return True


def _evaluation(attributes: Mapping[str, Any]) -> dict[str, Any]:
    score = attributes.get("gen_ai.evaluation.score.value")
    data = {
        "evaluation": text_of(attributes, ("gen_ai.evaluation.name",)),
        "score": score if isinstance(score, (int, float)) and not isinstance(score, bool) else None,
        "label": text_of(attributes, ("gen_ai.evaluation.score.label",)),
        "explanation": text_of(attributes, ("gen_ai.evaluation.explanation",)),
        "model_call_id": text_of(attributes, names.RESPONSE_ID),
    }
    return {name: value for name, value in data.items() if value is not None}
