"""What a span binds for the loggers that listen, whatever it is a span of."""

import pytest

from trailhouse.producer import telemetry
from trailhouse.producer.testing import InMemoryAuditLogger
from trailhouse.schemas import AuditEvent, Run, Session

SESSION = Session(
    "s1", agent_id="helper", tenant_id="acme", status="open", metadata={"plan": "pro"}
)


RUN = Run("r1", "s1", status="running", provider="p", metadata={"try": 2})


def who(event: AuditEvent) -> tuple[str | None, ...]:
    """Return what an event says of where it belongs."""
    return event.session_id, event.run_id, event.parent_run_id, event.tenant_id, event.agent_id


def bound_to(audit: InMemoryAuditLogger) -> str | None:
    """Return the session that is bound now."""
    return audit.context.session_id


@pytest.fixture
def audit() -> InMemoryAuditLogger:
    """Return a logger that keeps what it logs in memory."""
    return InMemoryAuditLogger()


def test_a_span_binds_for_the_loggers_that_listen(audit: InMemoryAuditLogger) -> None:
    """What an attached logger logs in a span belongs to its run; a span in a span is its child."""
    silent = InMemoryAuditLogger()
    audit.attach_telemetry_handlers()
    with telemetry.span(RUN, SESSION):
        audit.log("tool_call_started")
        telemetry.emit_usage_metrics(None, {"input_tokens": 1})
        telemetry.emit_adapter_event(None, None, {"type": "adapter_event"})
        with pytest.raises(ZeroDivisionError), telemetry.span({"id": "r2"}, None):
            raise ZeroDivisionError
        assert bound_to(silent) is None
    assert bound_to(audit) is None

    assert [(event.type, *who(event)) for event in audit.events] == [
        ("run_started", "s1", "r1", None, "acme", "helper"),
        ("tool_call_started", "s1", "r1", None, "acme", "helper"),
        ("token_usage_updated", "s1", "r1", None, "acme", "helper"),
        ("adapter_event", "s1", "r1", None, "acme", "helper"),
        ("run_started", "s1", "r2", "r1", "acme", "helper"),
        ("run_failed", "s1", "r2", "r1", "acme", "helper"),
        ("run_completed", "s1", "r1", None, "acme", "helper"),
    ]
    audit.close()


def test_a_span_that_cannot_be_bound_as_it_is_does_not_pass_for_the_one_around_it(
    audit: InMemoryAuditLogger,
) -> None:
    """In a span whose ids break a rule, events have the marked ids of its own run, and not the outer run's."""
    audit.attach_telemetry_handlers()
    with telemetry.span("outer", SESSION), telemetry.span({"id": 7}, {"id": "i" * 300}):
        audit.log("tool_call_started")
    event = audit.only("tool_call_started")
    assert (event.run_id, event.parent_run_id) == ("7", "outer")
    assert event.session_id == audit.only("run_completed", run_id="7").session_id != "s1"
    audit.close()


def test_a_span_of_anything_raises_nothing(audit: InMemoryAuditLogger) -> None:
    """A run and session that cannot be bound harm neither the span nor its block."""
    audit.attach_telemetry_handlers()
    with telemetry.span(object(), object()), telemetry.span({"id": 7}, {"id": ""}) as span:
        span.result = 3
    audit.close()

    assert audit.events == []
    assert audit.context.run_id is None
