"""The producer against a real broker: what is promised of receipts, order, refusals and forks."""

import asyncio
import concurrent.futures
import datetime as dt
import gc
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from producing import events_of, eventually, given, read_topic
from trailhouse.producer import AuditLogger, ProducerConfig, Receipt, telemetry
from trailhouse.schemas import Actor, AuditEvent, KafkaConfig, Run, Session, decode
from trailhouse.schemas.errors import (
    DeliveryRejectedError,
    DeliveryTimeoutError,
    EventTooLargeError,
    InvalidEventError,
    ProducerClosedError,
    QueueFullError,
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


def nowhere(**fields: Any) -> ProducerConfig:
    """Return settings whose broker does not exist."""
    kafka = KafkaConfig(bootstrap_servers="127.0.0.1:1")
    return ProducerConfig(kafka=kafka, close_timeout_seconds=0.1, **fields)


def test_a_broker_that_is_away_blocks_no_caller() -> None:
    """Without a broker calls return at once; a full queue raises after its timeout, and is counted."""
    audit = AuditLogger(nowhere(mode="memory", queue_events=100, queue_timeout_seconds=0.2))
    started = time.monotonic()
    for _ in range(100):
        audit.log("a", session_id="s")
    assert time.monotonic() - started < 100 * 0.2, (
        "expected 100 calls to return without waiting for a broker"
    )
    with pytest.raises(QueueFullError, match="100 events"):
        audit.log("a", session_id="s")
    with pytest.raises(DeliveryTimeoutError, match="100 events"):
        audit.flush(0.1)

    stats = audit.stats()
    assert (stats.queued_events, stats.queue_full_total, stats.acknowledged_total) == (100, 1, 0)
    with pytest.raises(DeliveryTimeoutError):
        audit.close()


def test_a_receipt_without_a_broker_times_out() -> None:
    """A receipt that is not answered raises after its timeout, in both styles of waiting."""
    audit = AuditLogger(nowhere())
    receipt = given(audit.log("a", session_id="s"))

    async def wait() -> None:
        await asyncio.wait_for(receipt, 0.2)

    with pytest.raises(DeliveryTimeoutError, match=receipt.event_id):
        receipt.result(0.1)
    with pytest.raises(TimeoutError):
        asyncio.run(wait())
    audit.close()


def test_events_wait_for_a_broker_that_comes_back(cluster: Any, kafka: KafkaConfig) -> None:
    """Events logged while the broker is away arrive, in order, when it is back."""
    if cluster.stack is None:
        pytest.fail(
            "this rule needs a broker that can be stopped: run with TRAILHOUSE_TEST_CLUSTER=devstack"
        )
    with AuditLogger(ProducerConfig(kafka=kafka)) as audit:
        given(audit.log("tick", session_id="s", data={"n": 0})).result(DEADLINE_SECONDS)
        cluster.stack.stop("kafka")
        try:
            for n in range(1, 200):
                audit.log("tick", session_id="s", data={"n": n})
            with pytest.raises(DeliveryTimeoutError):
                audit.flush(0.5)
        finally:
            cluster.stack.start("kafka")
        audit.flush(DEADLINE_SECONDS)

    assert [event.data["n"] for event in events_of(kafka, 200)] == list(range(200))


def test_a_missing_topic_is_said_and_nothing_is_thrown_away(kafka: KafkaConfig) -> None:
    """Receipt and flush name the missing topic; once it exists, every event arrives in order."""
    missing = msgspec.structs.replace(kafka, topic=f"{kafka.topic}-later")
    with AuditLogger(ProducerConfig(kafka=missing)) as audit:
        receipt = given(audit.log("tick", session_id="s", data={"n": 0}))
        with pytest.raises(DeliveryRejectedError, match=r"does not exist .* run `trailhouse init`"):
            receipt.result(DEADLINE_SECONDS)
        with pytest.raises(DeliveryRejectedError):
            audit.flush(DEADLINE_SECONDS)
        for n in range(1, 50):
            audit.log("tick", session_id="s", data={"n": n})
        admin = AdminClient(kafka.client_options())
        admin.create_topics([NewTopic(missing.topic, kafka.partitions)])[missing.topic].result(
            DEADLINE_SECONDS
        )
        eventually(
            lambda: audit.stats().acknowledged_total == 50,
            "all 50 events acknowledged once the topic exists",
        )
        audit.flush(DEADLINE_SECONDS)

    assert [event.data["n"] for event in events_of(missing, 50)] == list(range(50))


def test_wrong_credentials_are_said_and_nothing_is_thrown_away(
    kafka: KafkaConfig, caplog: pytest.LogCaptureFixture
) -> None:
    """A broker that does not take our log-in is named on receipt and flush, without the password; events wait."""
    wrong = KafkaConfig(
        bootstrap_servers=kafka.bootstrap_servers,
        topic=kafka.topic,
        security_protocol="sasl_plaintext",
        sasl_mechanism="PLAIN",
        sasl_username="nobody",
        sasl_password="hunter2",
    )
    audit = AuditLogger(ProducerConfig(kafka=wrong, close_timeout_seconds=0.1))
    with pytest.raises(
        DeliveryRejectedError, match="refuses us: check TRAILHOUSE_KAFKA_SECURITY_PROTOCOL"
    ) as caught:
        given(audit.log("a", session_id="s")).result(DEADLINE_SECONDS)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(DeliveryRejectedError):
        audit.flush(DEADLINE_SECONDS)

    assert audit.stats().queued_events == 1
    audit.close()
    # Not the last line: the sender's own thread may have one more to say.
    assert "1 events wait: they stay in the spool" in caplog.text
    assert "hunter2" not in caplog.text


def test_an_event_that_the_broker_refuses_is_reported_and_stops_nobody(kafka: KafkaConfig) -> None:
    """A record over the topic's own limit is refused on its receipt and on flush; the others go."""
    small = msgspec.structs.replace(kafka, topic=f"{kafka.topic}-small")
    admin = AdminClient(kafka.client_options())
    topic = NewTopic(small.topic, kafka.partitions, config={"max.message.bytes": "10000"})
    admin.create_topics([topic])[small.topic].result(DEADLINE_SECONDS)
    with AuditLogger(ProducerConfig(kafka=small)) as audit:
        # Random text, since the broker measures what is left after compression.
        large = given(audit.log("a", session_id="s", data={"x": os.urandom(20_000).hex()}))
        with pytest.raises(DeliveryRejectedError, match=r"MSG_SIZE_TOO_LARGE|too large"):
            large.result(DEADLINE_SECONDS)
        given(audit.log("b", session_id="s")).result(DEADLINE_SECONDS)
        with pytest.raises(DeliveryRejectedError):
            audit.flush(DEADLINE_SECONDS)
        audit.flush(DEADLINE_SECONDS)
        assert audit.stats().refused_total == 1

    assert [event.type for event in events_of(small, 1)] == ["b"]


def test_a_closed_logger_refuses(kafka: KafkaConfig) -> None:
    """After close, which may be called twice, an event is refused by name."""
    audit = AuditLogger(ProducerConfig(kafka=kafka))
    audit.log("a", session_id="s")
    audit.close()
    audit.close()
    with pytest.raises(ProducerClosedError):
        audit.log("a", session_id="s")

    assert len(events_of(kafka, 1)) == 1


def log_in_child(audit: AuditLogger) -> None:
    audit.log("child", session_id="s")


@pytest.mark.parametrize("leaves_by", ["os._exit after flush", "multiprocessing without close"])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_processes_each_deliver_their_own(kafka: KafkaConfig, leaves_by: str) -> None:
    """A logger used before a fork works in parent and child; each event arrives once, ids apart."""
    with AuditLogger(ProducerConfig(kafka=kafka)) as audit:
        audit.log("parent", session_id="s")
        if leaves_by == "multiprocessing without close":
            process = multiprocessing.get_context("fork").Process(
                target=log_in_child, args=(audit,)
            )
            process.start()
            process.join(DEADLINE_SECONDS)
            assert process.exitcode == 0
        else:
            if (pid := os.fork()) == 0:
                code = 1
                try:
                    log_in_child(audit)
                    audit.flush(DEADLINE_SECONDS)
                    code = 0
                finally:
                    os._exit(code)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        audit.log("parent", session_id="s")
        audit.flush(DEADLINE_SECONDS)
    events = events_of(kafka, 3)

    assert sorted(event.type for event in events) == ["child", "parent", "parent"]
    assert len({event.event_id for event in events}) == 3
    assert len({event.source.producer_id for event in events if event.source}) == 2


class Garbage:
    """A Kafka client in a reference cycle, which only the collector can free."""

    def __init__(self, kafka: KafkaConfig) -> None:
        self.itself = self
        self.admin = AdminClient(kafka.client_options())
        self.admin.list_topics(timeout=DEADLINE_SECONDS)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_never_frees_what_it_inherited(kafka: KafkaConfig) -> None:
    """Garbage that holds a parent's Kafka client does not crash or hang a child that collects."""
    with AuditLogger(ProducerConfig(kafka=kafka)) as audit:
        audit.log("parent", session_id="s")
        gc.disable()
        try:
            Garbage(kafka)
            if (pid := os.fork()) == 0:
                gc.collect()
                os._exit(0)
        finally:
            gc.enable()
        eventually(
            lambda: (ended := os.waitpid(pid, os.WNOHANG))[0] == 0 or ended[1] == 0,
            "a child that ends well",
        )


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
