"""The public API as a user would type it: checked by mypy and pyright, never run."""

import datetime as dt
import uuid
from typing import assert_type

from trailhouse.producer import (
    AuditContext,
    AuditLogger,
    Delivery,
    ProducerConfig,
    Receipt,
    telemetry,
)
from trailhouse.producer.testing import InMemoryAuditLogger
from trailhouse.query import (
    AlteredEvent,
    Answer,
    AuditReader,
    Bucket,
    Facet,
    FoundEvent,
    Page,
    SearchFilter,
)
from trailhouse.schemas import AuditEvent, EventType, Run, Session
from trailhouse.schemas.errors import SpoolFullError


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
        with audit.bind(session=session, run=run, correlation_id="c") as context:
            assert_type(context, AuditContext)
            assert_type(audit.log_run_started(), Receipt | None)
            audit.log("tool_call_started", data={"tool_name": "t"})
            audit.log_run_failed(error=ValueError("v"))
        with audit.disabled(reason="r", actor={"type": "user", "id": "u"}):
            audit.reset_enabled(audit.set_enabled(True))
        telemetry.reset_enabled(telemetry.set_enabled(not telemetry.is_enabled()))
        audit.attach_telemetry_handlers()
        with telemetry.span(run, session) as span:
            span.result = {"token_usage": {}}


async def produce_async(audit: AuditLogger, event: AuditEvent) -> None:
    receipt = audit.emit(event)
    if receipt is not None:
        assert_type(await receipt, Delivery)
        assert_type(await receipt.aresult(5.0), Delivery)
    async with AuditLogger() as other, other.bind(session="s", run=uuid.uuid4()):
        assert_type(await other.alog("a", data={"x": 1}, wait=True), Receipt | None)
        await other.aflush(5.0)
    await audit.aclose()


def look_at(audit_log: InMemoryAuditLogger) -> None:
    assert_type(audit_log.events, list[AuditEvent])
    assert_type(audit_log.records, list[bytes])
    assert_type(audit_log.only("run_started", session_id="s"), AuditEvent)
    assert_type(audit_log.assert_logged(data={"tool_name": "t"}), AuditEvent)
    audit_log.fail_with(SpoolFullError("full"))


def read() -> None:
    with AuditReader(tenant_id="t") as reader:
        since = dt.datetime.now(dt.UTC)
        events = reader.get_audit_log(
            "s", run_id="r", type=["run_started", EventType.RUN_FAILED], since=since, limit=5
        )
        assert_type(events, list[AuditEvent])
        reader.wait_stored(AuditLogger().log("a", session_id="s"))
        marked = reader.get_audit_log("s", on_altered="mark")
        assert_type(marked, list[AuditEvent | AlteredEvent])
        page = reader.search("type:run_failed", newest_first=False, by="append", limit=5)
        assert_type(page, Page[FoundEvent])
        assert_type(page.next, str | None)
        assert_type(reader.count(SearchFilter(since=since)), Answer[int])
        assert_type(reader.histogram(by="day").value, tuple[Bucket, ...])
        assert_type(reader.facets(fields=["agent"]).value, tuple[Facet, ...])
        assert_type(reader.get_event("id").items, tuple[FoundEvent, ...])
