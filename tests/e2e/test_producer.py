"""The producer against a real broker: what is promised of receipts, order, refusals and forks."""

import asyncio
import concurrent.futures
import datetime as dt
import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from producing import events_of, given, read_topic
from trailhouse.producer import AuditLogger, ProducerConfig, Receipt, telemetry
from trailhouse.schemas import Actor, AuditEvent, KafkaConfig, Run, Session, decode
from trailhouse.schemas.errors import (
    EventTooLargeError,
    InvalidEventError,
)
from waiting import DEADLINE_SECONDS

RUN = Run("r1", "s1", parent_run_id="r0")
SESSION = Session("s1", agent_id="a1", tenant_id="t1")


@pytest.fixture
def audit(kafka: KafkaConfig) -> Iterator[AuditLogger]:
    """Return a logger that writes to a fresh topic."""
    with AuditLogger(ProducerConfig(kafka=kafka, service="tests")) as logger:
        yield logger


def test_a_receipt_tells_where_the_event_is(audit: AuditLogger, kafka: KafkaConfig) -> None:
    """A receipt knows the id at once, and topic, partition and offset once acknowledged."""
    receipt = given(audit.log("run_started", session_id="s"))
    delivery = receipt.result(DEADLINE_SECONDS)
    [message] = read_topic(kafka)

    assert (message.topic(), message.partition(), message.offset()) == tuple(delivery)
    assert message.key() == b"s"
    assert decode(message.value() or b"").event_id == receipt.event_id


def test_a_receipt_can_be_awaited(audit: AuditLogger) -> None:
    """Under asyncio many receipts are awaited at once without blocking the loop."""

    async def main() -> list[int]:
        receipts = [given(audit.log("tick", session_id="s", data={"n": n})) for n in range(50)]

        async def wait(receipt: Receipt) -> int:
            return (await receipt).offset

        return await asyncio.gather(*map(wait, receipts))

    assert asyncio.run(main()) == list(range(50))


def test_the_five_methods_write_what_the_predecessor_wrote(
    audit: AuditLogger, kafka: KafkaConfig
) -> None:
    """Each of the five methods writes one event of its type with the documented data."""
    metrics = {"input_tokens": 10, "cost_usd": Decimal("0.000150"), "model": "m"}
    audit.log_run_started(RUN, SESSION)
    audit.log_usage_metrics(SESSION, metrics, run_id="r1")
    audit.log_error(RUN, SESSION, {"code": "c", "message": "m"})
    audit.log_run_failed(RUN, SESSION, ValueError("wrong"))
    audit.log_run_completed(RUN, SESSION, {"token_usage": {"input_tokens": 1}, "cost_usd": 0.5})
    audit.flush(DEADLINE_SECONDS)
    events = events_of(kafka, 5)

    assert [(event.type, event.data) for event in events] == [
        ("run_started", {"agent_id": "a1", "run_status": "pending"}),
        ("token_usage_updated", {"input_tokens": 10, "cost_usd": "0.000150", "model": "m"}),
        ("error_occurred", {"agent_id": "a1", "error_code": "c", "error_message": "m"}),
        ("run_failed", {"agent_id": "a1", "error_code": "ValueError", "error_message": "wrong"}),
        ("run_completed", {"agent_id": "a1", "token_usage": {"input_tokens": 1}, "cost_usd": 0.5}),
    ]
    assert {
        (event.session_id, event.run_id, event.tenant_id, event.agent_id) for event in events
    } == {("s1", "r1", "t1", "a1")}
    assert [event.source.seq for event in events if event.source] == [0, 1, 2, 3, 4]


def test_tenant_and_actor_are_set_by_logger_and_by_call(kafka: KafkaConfig) -> None:
    """A logger's tenant and actor stand for every event that names none."""
    with AuditLogger(
        ProducerConfig(kafka=kafka), tenant_id="t", actor={"type": "user", "id": "u"}
    ) as audit:
        audit.log("a", session_id="s")
        audit.log("b", session_id="s", tenant_id="t2", actor=Actor(type="service", id="x"))
    first, second = events_of(kafka, 2)

    assert (first.tenant_id, first.actor) == ("t", Actor(type="user", id="u"))
    assert (second.tenant_id, second.actor) == ("t2", Actor(type="service", id="x"))


def test_emit_sends_an_event_byte_for_byte(audit: AuditLogger, kafka: KafkaConfig) -> None:
    """An event is sent as it is; one that was read is sent again to the last byte, unknown fields too."""
    made = AuditEvent(type="a", session_id="s", data={"n": 10**30})
    read = decode(b" " + made.record.replace(b'"type"', b'"novel":{"x":1},"type"'))
    audit.emit(made)
    audit.emit(read)
    audit.flush(DEADLINE_SECONDS)

    assert [message.value() for message in read_topic(kafka)] == [made.record, read.record]


@pytest.mark.parametrize(
    "wrong",
    [
        {"session_id": ""},
        {"session_id": "s", "data": {"x": float("nan")}},
        {"session_id": "s", "novel": 1},
    ],
)
def test_a_refused_event_leaves_no_trace(
    audit: AuditLogger, kafka: KafkaConfig, wrong: dict[str, Any]
) -> None:
    """An invalid event is refused before anything is queued, and leaves no gap in the numbers."""
    audit.log("a", session_id="s")
    with pytest.raises(InvalidEventError):
        audit.log("a", **wrong)
    with pytest.raises(EventTooLargeError, match=r"\d+ bytes, the limit is 900000 bytes"):
        audit.log("a", session_id="s", data={"x": "y" * 900_000})
    audit.log("a", session_id="s")
    audit.flush(DEADLINE_SECONDS)

    assert [event.source.seq for event in events_of(kafka, 2) if event.source] == [0, 1]


def test_the_largest_event_is_taken(audit: AuditLogger, kafka: KafkaConfig) -> None:
    """An event of exactly the limit reaches the topic."""
    empty = AuditEvent(type="a", session_id="s", data={"x": ""})
    event = msgspec.structs.replace(empty, data={"x": "y" * (900_000 - len(empty.record))})
    given(audit.emit(event)).result(DEADLINE_SECONDS)

    assert [message.value() for message in read_topic(kafka)] == [event.record]


def test_disabled_writes_nothing(kafka: KafkaConfig) -> None:
    """A disabled logger writes that it is, and nothing else; a context can override it for itself."""
    with AuditLogger(ProducerConfig(kafka=kafka, enabled=False)) as audit:
        assert audit.is_enabled is False
        assert audit.log("a", session_id="s") is None
        assert audit.log_run_started(RUN, SESSION) is None
        assert audit.emit(AuditEvent(type="a", session_id="s")) is None
        audit.set_enabled(True)
        assert audit.log("b", session_id="s") is not None
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            assert pool.submit(lambda: audit.is_enabled).result(DEADLINE_SECONDS) is False, (
                "another thread keeps the baseline"
            )

    assert {(event.type, event.session_id) for event in events_of(kafka, 3)} == {
        ("audit_disabled", "s"),
        ("audit_enabled", "s"),
        ("b", "s"),
    }


def test_order_within_a_session_is_the_order_of_the_calls(
    audit: AuditLogger, kafka: KafkaConfig
) -> None:
    """Threads that each own a session find their events in the order of their calls."""

    def work(session: str) -> None:
        for n in range(500):
            audit.log("tick", session_id=session, data={"n": n})

    threads = [threading.Thread(target=work, args=(f"s{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_SECONDS)
    audit.flush(DEADLINE_SECONDS)
    events = events_of(kafka, 4_000)

    for number in range(8):
        assert [event.data["n"] for event in events if event.session_id == f"s{number}"] == list(
            range(500)
        )


def test_telemetry_logs_by_itself(audit: AuditLogger, kafka: KafkaConfig) -> None:
    """Attached handlers map each report to its event, once, with run id and cost kept."""
    audit.attach_telemetry_handlers()
    audit.attach_telemetry_handlers()
    with telemetry.span(RUN, SESSION) as span:
        span.result = {"token_usage": {"input_tokens": 2}, "cost_usd": 0.25}
    with pytest.raises(ValueError, match="v"), telemetry.span(RUN, SESSION):
        raise ValueError("v")
    with pytest.raises(KeyboardInterrupt), telemetry.span(RUN, SESSION):
        raise KeyboardInterrupt
    telemetry.emit_usage_metrics(SESSION, {"cost_usd": 0.125}, run_id="r1")
    telemetry.emit_adapter_event(
        RUN, SESSION, {"type": "tool_call_started", "data": {"tool_name": "t"}}
    )
    audit.detach_telemetry_handlers()
    audit.detach_telemetry_handlers()
    telemetry.emit_run_start(RUN, SESSION)
    audit.flush(DEADLINE_SECONDS)
    events = events_of(kafka, 8)

    assert [event.type for event in events] == [
        "run_started", "run_completed", "run_started", "run_failed", "run_started", "run_cancelled",
        "token_usage_updated", "tool_call_started",
    ]  # fmt: skip
    assert {event.run_id for event in events} == {"r1"}
    assert events[1].data["cost_usd"] == 0.25
    assert events[1].data["duration_ms"] > 0
    assert events[6].data == {"cost_usd": 0.125}
    assert events[7].data == {"tool_name": "t"}


def test_times_are_kept_to_the_microsecond(audit: AuditLogger, kafka: KafkaConfig) -> None:
    """A given time is kept exactly; an absent one is now."""
    given_at = dt.datetime(1, 1, 1, tzinfo=dt.UTC)
    before = dt.datetime.now(dt.UTC)
    audit.log("a", session_id="s", occurred_at=given_at)
    audit.log("a", session_id="s")
    audit.flush(DEADLINE_SECONDS)
    first, second = events_of(kafka, 2)

    assert first.occurred_at == given_at
    assert before <= second.occurred_at <= dt.datetime.now(dt.UTC)
