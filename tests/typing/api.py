"""The public API as a user would type it: checked by mypy and pyright, never run."""

import datetime as dt
from typing import assert_type

from trailhouse.producer import AuditLogger, Delivery, ProducerConfig, Receipt, telemetry
from trailhouse.query import AlteredEvent, AuditReader
from trailhouse.schemas import AuditEvent, EventType, Run, Session


def produce() -> None:
    run, session = Run("r", "s"), Session("s", agent_id="a", tenant_id="t")
    with AuditLogger(
        ProducerConfig(service="svc"), tenant_id="t", actor={"type": "user", "id": "u"}
    ) as audit:
        assert_type(audit.is_enabled, bool)
        assert_type(audit.log_run_started(run, session), Receipt | None)
        assert_type(
            audit.log_usage_metrics(session, {"input_tokens": 1}, run_id="r"), Receipt | None
        )
        receipt = audit.log(EventType.TOOL_CALL_STARTED, session_id="s", data={"tool_name": "t"})
        if receipt is not None:
            assert_type(receipt.result(5.0), Delivery)
            assert_type(receipt.event_id, str)
        audit.attach_telemetry_handlers()
        with telemetry.span(run, session) as span:
            span.result = {"token_usage": {}}


async def produce_async(audit: AuditLogger, event: AuditEvent) -> None:
    receipt = audit.emit(event)
    if receipt is not None:
        assert_type(await receipt, Delivery)


def read() -> None:
    with AuditReader(tenant_id="t") as reader:
        since = dt.datetime.now(dt.UTC)
        events = reader.get_audit_log(
            "s", run_id="r", type=["run_started", EventType.RUN_FAILED], since=since, limit=5
        )
        assert_type(events, list[AuditEvent])
        marked = reader.get_audit_log("s", on_altered="mark")
        assert_type(marked, list[AuditEvent | AlteredEvent])
