"""`AuditReader.wait_stored`: it returns when an event can be read, and never says so before."""

import threading
import uuid

import pytest

from balancing import Pipe
from producing import given
from trailhouse.producer import AuditLogger, ProducerConfig, Receipt
from trailhouse.query import AuditReader
from trailhouse.schemas import AuditEvent, KafkaConfig
from trailhouse.schemas.errors import DeliveryTimeoutError, EventQuarantinedError
from trailhouse.store import ClickHouse, ClickHouseConfig
from waiting import DEADLINE_SECONDS

pytestmark = pytest.mark.cluster


@pytest.fixture
def pipe(kafka: KafkaConfig, database: ClickHouseConfig) -> Pipe:
    """Return a fresh topic and a fresh database."""
    return Pipe(kafka, database)


class Acknowledged:
    """A receipt made by hand, of an event that Kafka holds."""

    def __init__(self, event: AuditEvent, partition: int, offset: int) -> None:
        self.event_id = event.event_id
        self.session_id = event.session_id
        self.partition = partition
        self.offset = offset

    def result(self, timeout_seconds: float = 0.0) -> "Acknowledged":
        """Return where it is."""
        return self


def logged(pipe: Pipe, sessions: int) -> list[Receipt]:
    """Log an event in each session and return the receipts, acknowledged."""
    with AuditLogger(ProducerConfig(kafka=pipe.kafka), tenant_id="t") as logger:
        return [given(logger.log("a", session_id=f"{n}-{uuid.uuid4()}")) for n in range(sessions)]


def test_many_receipts_are_stored_when_all_are(pipe: Pipe) -> None:
    """It waits while one partition is not stored, and returns once the last is; one goes too."""
    receipts = logged(pipe, 600)
    ends = pipe.ends()
    for partition in (0, 1, 2):
        pipe.store(partition, 0, ends[partition] - 1)
    with AuditReader(config=pipe.database) as reader:
        with pytest.raises(DeliveryTimeoutError, match=f"{ends[3]} of 600 events cannot be read"):
            reader.wait_stored(receipts, timeout_seconds=0.5)
        storing = threading.Thread(target=pipe.store, args=(3, 0, ends[3] - 1))
        storing.start()
        reader.wait_stored(iter(receipts), timeout_seconds=DEADLINE_SECONDS)
        storing.join()
        assert reader.overview().stored == 600
        reader.wait_stored(receipts[0])
        reader.wait_stored([])


def test_a_reader_of_another_tenant_does_not_see_it(pipe: Pipe) -> None:
    """A tenant's reader waits in vain for another's event."""
    (receipt,) = logged(pipe, 1)
    for partition, end in pipe.ends().items():
        if end:
            pipe.store(partition, 0, end - 1)
    with AuditReader("t", config=pipe.database) as reader:
        reader.wait_stored(receipt)
        for of_a_logger_that_is_off in (None, [None], []):
            reader.wait_stored(of_a_logger_that_is_off, timeout_seconds=0.0)
    with (
        AuditReader("u", config=pipe.database) as other,
        pytest.raises(DeliveryTimeoutError, match="1 of 1 events"),
    ):
        other.wait_stored(receipt, timeout_seconds=0.2)


def test_an_event_in_quarantine_ends_the_wait(pipe: Pipe) -> None:
    """At its place and with its id in the bytes, it is in quarantine; another's place is no reason."""
    event = AuditEvent(type="a", session_id="s")
    pipe.send([event.record[:-1], b"another"])
    pipe.store(0, 0, 1)
    with AuditReader(config=pipe.database) as reader:
        with pytest.raises(EventQuarantinedError, match="quarantine show 0:0"):
            reader.wait_stored(Acknowledged(event, 0, 0), timeout_seconds=DEADLINE_SECONDS)
        for place in ((0, 1), (1, 0)):
            with pytest.raises(DeliveryTimeoutError):
                reader.wait_stored(Acknowledged(event, *place), timeout_seconds=0.1)
        with ClickHouse(pipe.database) as storage:
            assert storage.query("SELECT count() FROM quarantine").rows == [(2,)]


def test_parts_that_are_away_end_the_wait_in_time(
    pipe: Pipe, kafka: KafkaConfig, database: ClickHouseConfig
) -> None:
    """ClickHouse away: asked until the time is over, and named. Kafka away: the receipt says so."""
    event = AuditEvent(type="a", session_id="s")
    away = ClickHouseConfig(url="http://127.0.0.1:1", timeout_seconds=1.0)
    with (
        AuditReader(config=away) as reader,
        pytest.raises(DeliveryTimeoutError, match=r"127\.0\.0\.1:1 does not answer"),
    ):
        reader.wait_stored(Acknowledged(event, 0, 0), timeout_seconds=0.5)
    nowhere = KafkaConfig(bootstrap_servers="127.0.0.1:1")
    logger = AuditLogger(ProducerConfig(kafka=nowhere, mode="memory", close_timeout_seconds=0.0))
    receipt = given(logger.log("a", session_id="s"))
    with AuditReader(config=database) as reader, pytest.raises(DeliveryTimeoutError):
        reader.wait_stored(receipt, timeout_seconds=0.3)
    with pytest.raises(DeliveryTimeoutError):
        logger.close()
