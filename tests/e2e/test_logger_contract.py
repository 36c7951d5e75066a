"""What holds for every audit logger: one suite for the real one and for the one that users test with.

Where each event went is asked of the topic for the one and of `records` for the other; all else is the same.
"""

import ast
import asyncio
import datetime as dt
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from producing import given, read_topic
from trailhouse.producer import AuditLogger, ProducerConfig, telemetry
from trailhouse.producer.testing import InMemoryAuditLogger
from trailhouse.schemas import AuditEvent, KafkaConfig, Run, Session, decode
from trailhouse.schemas.errors import (
    ConfigError,
    EventTooLargeError,
    InvalidEventError,
    ProducerClosedError,
)
from waiting import DEADLINE_SECONDS

SESSION = Session("s1", agent_id="a1", tenant_id="t1")
RUN = Run("r1", "s1")


class Subject(NamedTuple):
    """A logger, and the records that have been delivered once it was flushed."""

    audit: AuditLogger
    records: Callable[[], list[bytes]]

    def events(self) -> list[AuditEvent]:
        """Return what was delivered."""
        self.audit.flush(DEADLINE_SECONDS)
        return [decode(record) for record in self.records()]


@pytest.fixture(params=["durable", "in memory, for tests"])
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    """Return each kind of logger in turn; both are closed after the test."""
    if request.param == "durable":
        kafka: KafkaConfig = request.getfixturevalue("kafka")
        with AuditLogger(
            ProducerConfig(kafka=kafka, service="svc", max_event_bytes=2_000)
        ) as audit:
            yield Subject(audit, lambda: [message.value() or b"" for message in read_topic(kafka)])
    else:
        config = ProducerConfig(service="svc", max_event_bytes=2_000)
        with InMemoryAuditLogger(config) as fake:
            yield Subject(fake, lambda: fake.records)


def test_every_kind_of_call(subject: Subject) -> None:
    """Each method writes its event, numbered in the order of the calls, and gives a receipt."""
    audit, event = subject.audit, AuditEvent(type="ready", session_id="s1")
    with audit.bind(session=SESSION, run=RUN, actor={"type": "user", "id": "u"}):
        receipts = [
            audit.log_run_started(),
            audit.log(
                "custom.type",
                data={"n": Decimal("0.50")},
                event_id=str(uuid.UUID(int=7 << 76 | 2 << 62)),
            ),
            audit.log_usage_metrics(metrics={"input_tokens": 1}),
            audit.log_error(error=ValueError("v")),
            audit.log_run_completed(result={"cost_usd": 0.5}),
        ]
        audit.emit(event)
    events = subject.events()

    assert [each.type for each in events] == [
        "run_started", "custom.type", "token_usage_updated", "error_occurred", "run_completed", "ready",
    ]  # fmt: skip
    assert [given(receipt).event_id for receipt in receipts] == [
        each.event_id for each in events[:5]
    ]
    assert [each.source.seq for each in events if each.source] == [0, 1, 2, 3, 4]
    assert {(each.tenant_id, each.run_id, each.agent_id) for each in events[:5]} == {
        ("t1", "r1", "a1")
    }
    assert events[1].data == {"n": "0.50"}
    assert events[5] == event


def test_the_bytes_are_those_of_the_event(subject: Subject) -> None:
    """What is delivered is an event's own record: encoding it again gives the same bytes."""
    at = dt.datetime(2026, 11, 28, 12, 0, tzinfo=dt.UTC)
    subject.audit.log("a", session_id="s", data={"b": [1, {"é": None}], "a": 1e300}, occurred_at=at)
    subject.audit.flush(DEADLINE_SECONDS)
    [record] = subject.records()
    event = decode(record)

    again = AuditEvent(**{name: getattr(event, name) for name in AuditEvent.__struct_fields__})
    assert again.record == record
    assert b'"occurred_at":"2026-11-28T12:00:00.000000Z"' in record


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({}, InvalidEventError),
        ({"session_id": ""}, InvalidEventError),
        ({"session_id": "s", "data": {"x": object()}}, InvalidEventError),
        ({"session_id": "s", "novel": 1}, InvalidEventError),
        ({"session_id": "s", "data": {"x": "y" * 2_000}}, EventTooLargeError),
    ],
)
def test_what_is_refused(subject: Subject, fields: dict[str, Any], error: type[Exception]) -> None:
    """A wrong event raises the same error, leaves nothing, and takes no number."""
    with pytest.raises(error):
        subject.audit.log("a", **fields)
    subject.audit.log("b", session_id="s")

    [event] = subject.events()
    assert event.type == "b"
    assert event.source is not None
    assert event.source.seq == 0


def test_receipts(subject: Subject) -> None:
    """A receipt knows its event's id, session and place, in every way of asking."""
    audit = subject.audit
    receipt = given(audit.log("a", session_id="s", wait=True))

    async def ask() -> None:
        assert await receipt == receipt.result(0.0)
        assert await receipt.aresult(1.0) == receipt.result(0.0)
        assert given(await audit.alog("b", session_id="s", wait=True)).is_settled
        await audit.aflush()

    asyncio.run(ask())
    receipt.wait("spooled")
    receipt.wait("acked")
    assert receipt.session_id == "s"
    assert receipt.result(0.0).offset == 0
    with pytest.raises(ConfigError, match="level"):
        receipt.wait("stored")  # type: ignore[arg-type]  # a reader's level


def test_off_and_telemetry(subject: Subject) -> None:
    """Switches leave their trace, and an attached logger logs what telemetry reports."""
    audit = subject.audit
    audit.attach_telemetry_handlers()
    with telemetry.span(RUN, SESSION), audit.disabled(reason="r"):
        audit.log("never")
    types = [event.type for event in subject.events()]

    assert types == ["run_started", "audit_disabled", "audit_enabled", "run_completed"]


def test_counters_and_the_end(subject: Subject) -> None:
    """Counters add up, a closed logger refuses, and closing again is nothing."""
    audit = subject.audit
    for _ in range(3):
        audit.log("a", session_id="s")
    audit.close()
    audit.close()
    stats = audit.stats()

    assert (stats.acknowledged_total, stats.queued_events, stats.lost_total) == (3, 0, 0)
    with pytest.raises(ProducerClosedError):
        audit.log("a", session_id="s")
    with pytest.raises(ProducerClosedError):
        asyncio.run(audit.alog("a", session_id="s"))
    asyncio.run(audit.aclose())
    assert len(subject.records()) == 3


HELD = {
    "aclose": "test_counters_and_the_end", "aflush": "test_receipts", "alog": "test_receipts",
    "attach_telemetry_handlers": "test_off_and_telemetry", "bind": "test_every_kind_of_call",
    "close": "test_counters_and_the_end", "context": "test_what_is_bound_and_switched_is_seen",
    "detach_telemetry_handlers": "test_what_is_bound_and_switched_is_seen", "disabled": "test_off_and_telemetry",
    "emit": "test_every_kind_of_call", "enabled": "test_what_is_bound_and_switched_is_seen",
    "flush": "events", "is_enabled": "test_what_is_bound_and_switched_is_seen", "log": "test_every_kind_of_call",
    "log_error": "test_every_kind_of_call", "log_run_cancelled": "test_what_is_bound_and_switched_is_seen",
    "log_run_completed": "test_every_kind_of_call", "log_run_failed": "test_what_is_bound_and_switched_is_seen",
    "log_run_started": "test_every_kind_of_call", "log_usage_metrics": "test_every_kind_of_call",
    "reset_enabled": "test_what_is_bound_and_switched_is_seen",
    "recorder": "test_what_is_recorded_and_taken_out", "redaction_preview": "test_what_is_recorded_and_taken_out",
    "run": "test_what_is_recorded_and_taken_out", "traced": "test_what_is_recorded_and_taken_out",
    "set_enabled": "test_what_is_bound_and_switched_is_seen", "stats": "test_counters_and_the_end",
}  # fmt: skip
"""Each public name of a logger, and which test of this suite uses it of both kinds."""


def test_what_is_recorded_and_taken_out(subject: Subject) -> None:
    """Runs are recorded with one end each, and a secret is gone before the broker has the event."""
    audit, secret = subject.audit, "hunter2-and-more"

    @audit.traced(agent_id="child")
    def answer() -> str:
        return "done"

    with audit.run("s1", agent_id="a1") as run:
        assert audit.recorder.current is run
        with run.tool_call("login", {"password": secret}) as call:
            call.result = answer()
    events = subject.events()

    assert [event.type for event in events] == [
        "run_started",
        "tool_call_started",
        "run_started",
        "run_completed",
        "tool_call_completed",
        "run_completed",
    ]
    assert {event.session_id for event in events} == {"s1"}
    assert not any(secret.encode() in event.record for event in events)
    assert [each.category for each in audit.redaction_preview({"password": secret})] == ["password"]


def test_what_is_bound_and_switched_is_seen(subject: Subject) -> None:
    """Context and switch say what holds here; a run's other ends are logged, and what is detached logs no more."""
    audit = subject.audit
    audit.attach_telemetry_handlers()
    audit.detach_telemetry_handlers()
    with audit.bind(session=SESSION, run=RUN), telemetry.span(RUN, SESSION):
        assert (audit.context.session_id, audit.context.run_id) == ("s1", "r1")
        token = audit.set_enabled(False)
        states = [audit.is_enabled]
        with audit.enabled():
            states.append(audit.is_enabled)
            audit.log_run_failed(error=ValueError("v"))
        audit.reset_enabled(token)
        audit.log_run_cancelled()
    types = [event.type for event in subject.events()]

    assert states == [False, True]
    assert [each for each in types if each.startswith("run_")] == ["run_failed", "run_cancelled"]


def test_this_suite_holds_every_public_name() -> None:
    """A new method is tested of both kinds, or the fake would part from the real one unseen."""
    public = {
        name for kind in AuditLogger.__mro__ for name in vars(kind) if not name.startswith("_")
    }
    assert public == set(HELD)
    tree = ast.parse(Path(__file__).read_text(encoding="utf-8"))
    used = {
        node.name: {each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute)}
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
    }
    assert [name for name, test in HELD.items() if name not in used[test]] == []
