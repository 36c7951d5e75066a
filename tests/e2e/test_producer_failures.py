"""A broker that is away or refuses, a logger that is closed or forked: what is told, and what is kept."""

import asyncio
import gc
import multiprocessing
import os
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from producing import events_of, given
from trailhouse.producer import AuditLogger, ProducerConfig
from trailhouse.schemas import KafkaConfig
from trailhouse.schemas.errors import (
    DeliveryRejectedError,
    DeliveryTimeoutError,
    ProducerClosedError,
    QueueFullError,
)
from waiting import DEADLINE_SECONDS, eventually


@pytest.fixture
def audit(kafka: KafkaConfig) -> Iterator[AuditLogger]:
    """Return a logger that writes to a fresh topic."""
    with AuditLogger(ProducerConfig(kafka=kafka, service="tests")) as logger:
        yield logger


def nowhere(**fields: Any) -> ProducerConfig:
    """Return settings whose broker does not exist."""
    kafka = KafkaConfig(bootstrap_servers="127.0.0.1:1")
    return ProducerConfig(kafka=kafka, close_timeout_seconds=0.1, **fields)


def log_in_child(audit: AuditLogger) -> None:
    audit.log("child", session_id="s")


class Garbage:
    """A Kafka client in a reference cycle, which only the collector can free."""

    def __init__(self, kafka: KafkaConfig) -> None:
        self.itself = self
        self.admin = AdminClient(kafka.client_options())
        self.admin.list_topics(timeout=DEADLINE_SECONDS)


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


@pytest.mark.long
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
