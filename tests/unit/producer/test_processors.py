"""The one shape of a step between what a caller gives and the record: a draft goes in, a draft or None comes out."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from trailhouse.producer import ProducerConfig, telemetry
from trailhouse.producer import logger as logger_module
from trailhouse.producer.audit_switch import Switches
from trailhouse.producer.context import Bound, stamper
from trailhouse.producer.context_layers import Layers
from trailhouse.producer.testing import InMemoryAuditLogger
from trailhouse.schemas import AuditEvent, Run, Session
from trailhouse.schemas.draft import EventDraft, Processor, processed
from trailhouse.schemas.unencodable import mark_unencodable

SESSION, RUN = Session("s"), Run("r", "s")


def of_stamp() -> Processor:
    """Return the step that stamps what is bound."""
    return stamper(Layers("test"), Bound({"tenant_id": "t"}))


def of_switch(*, is_on: bool) -> Processor:
    """Return the step that admits events, or none."""
    return Switches(is_on=is_on, write=lambda _: None).admit


@pytest.mark.parametrize(
    ("process", "expected"),
    [
        pytest.param(of_stamp(), EventDraft(type="a", tenant_id="t"), id="context"),
        pytest.param(of_switch(is_on=True), EventDraft(type="a"), id="switch, on"),
        pytest.param(of_switch(is_on=False), None, id="switch, off"),
        pytest.param(
            mark_unencodable, EventDraft(type="a", data={}, metadata={}), id="unencodable"
        ),
    ],
)
def test_each_step_has_the_one_shape(process: Processor, expected: EventDraft | None) -> None:
    """Each by itself: what it returns is all that it has to say."""
    assert process(EventDraft(type="a")) == expected


def test_what_cannot_be_encoded_is_marked_and_can_be_encoded_then() -> None:
    """The step leaves an event that follows every rule, and counts what it replaced."""
    draft = mark_unencodable(EventDraft(type="a", session_id="s", data={"x": object()}))
    assert draft.data == {"x": "[UNENCODABLE:object]"}
    assert AuditEvent(**draft.given()).metadata == {"_replaced": 1}


def test_steps_follow_each_other_until_one_holds_the_event_back() -> None:
    """Each gets what the one before it returned; after a None no other is asked."""
    asked: list[object] = []

    def renamed(draft: EventDraft) -> EventDraft:
        return EventDraft(type=f"{draft.type}.b")

    def note(draft: EventDraft) -> EventDraft:
        asked.append(draft.type)
        return draft

    assert processed(EventDraft(type="a"), [renamed, note]) == EventDraft(type="a.b")
    assert processed(EventDraft(type="a"), [renamed, of_switch(is_on=False), note]) is None
    assert asked == ["a.b"]


def redact(draft: EventDraft) -> EventDraft | None:
    """Be a step that hides a secret, and that holds one type of event back."""
    if draft.type == "secret_event":
        return None
    if draft.data:
        draft.data = {
            name: "[HIDDEN]" if name == "secret" else value for name, value in draft.data.items()
        }
    return draft


@pytest.fixture
def audit(monkeypatch: pytest.MonkeyPatch) -> InMemoryAuditLogger:
    """Return a logger made while one more step stands in the line of them."""
    monkeypatch.setattr(logger_module, "CONTENT_PROCESSORS", (redact,))
    return InMemoryAuditLogger(ProducerConfig(tenant_id="t"))


CALLS: dict[str, Callable[[InMemoryAuditLogger, dict[str, Any]], object]] = {
    "log": lambda audit, data: audit.log("a", session_id="s", data=data),
    "alog": lambda audit, data: asyncio.run(audit.alog("a", session_id="s", data=data)),
    "log_usage_metrics": lambda audit, data: audit.log_usage_metrics(SESSION, data),
}


@pytest.mark.parametrize("call", CALLS)
def test_one_more_step_sees_every_way_in(audit: InMemoryAuditLogger, call: str) -> None:
    """Whatever is called, the step has the whole event, after the stamp and before the bytes."""
    CALLS[call](audit, {"secret": "hush", "plain": 1})
    [event] = audit.events
    assert event.data == {"secret": "[HIDDEN]", "plain": 1}
    assert event.tenant_id == "t"
    assert b"hush" not in audit.records[0]
    assert event.source is not None
    assert event.source.seq == 0


def test_what_a_step_holds_back_takes_no_number(audit: InMemoryAuditLogger) -> None:
    """No receipt is given, and the next event is the next by its number."""
    assert audit.log("secret_event", session_id="s") is None
    assert asyncio.run(audit.alog("secret_event", session_id="s")) is None
    audit.log("a", session_id="s")
    [event] = audit.events
    assert event.source is not None
    assert event.source.seq == 0


def test_a_run_and_its_switches_go_through_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The events that we make ourselves, too: of a run, of a report, of a switch."""
    seen: list[tuple[str, bool]] = []

    def note(draft: EventDraft) -> EventDraft:
        seen.append((str(draft.type), draft.data is not None))
        return draft

    monkeypatch.setattr(logger_module, "CONTENT_PROCESSORS", (note,))
    with InMemoryAuditLogger() as audit:
        audit.attach_telemetry_handlers()
        with telemetry.span(RUN, SESSION):
            with audit.disabled(reason="r"):
                audit.log("never")
            audit.log_error(RUN, SESSION, ValueError("v"))
    assert [event.type for event in audit.events] == [kind for kind, _ in seen]
    assert seen == [
        ("run_started", True),
        ("audit_disabled", True),
        ("audit_enabled", True),
        ("error_occurred", True),
        ("run_completed", True),
    ]


def test_an_event_that_is_emitted_is_left_as_it_is(audit: InMemoryAuditLogger) -> None:
    """Its bytes are promised to the last one, so that what was read can be sent again."""
    event = AuditEvent(type="a", session_id="s", data={"secret": "hush"})
    audit.emit(event)
    assert audit.records == [event.record]
