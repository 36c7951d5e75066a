"""Every error code of Kafka means one thing, decided in one place."""

import ctypes
from pathlib import Path

import confluent_kafka
import pytest
from confluent_kafka import KafkaError

from trailhouse.schemas.errors import (
    BrokerError,
    BrokerRejectedError,
    BrokerUnavailableError,
    OffsetsExpiredError,
)
from trailhouse.schemas.kafka_errors import (
    FAULTS,
    REFUSALS,
    Fault,
    broker_error,
    class_of,
    fault_of,
    is_tls_refusal,
)

WHERE = "127.0.0.1:9092"


class Description(ctypes.Structure):
    """librdkafka's `struct rd_kafka_err_desc`."""

    _fields_ = (("code", ctypes.c_int), ("name", ctypes.c_char_p), ("text", ctypes.c_char_p))


def library_codes() -> dict[str, int]:
    """Return every code that the C library describes, by its name."""
    folder = Path(confluent_kafka.__file__).parents[1]
    library = ctypes.CDLL(str(next(folder.glob("confluent_kafka.libs/librdkafka*"))))
    found, count = ctypes.POINTER(Description)(), ctypes.c_size_t()
    library.rd_kafka_get_err_descs(ctypes.byref(found), ctypes.byref(count))
    described = [found[place] for place in range(count.value)]
    return {
        each.name.decode(): each.code
        for each in described
        if each.name and KafkaError(each.code).name() == each.name.decode()
    }


CODES = library_codes()


def test_every_code_of_the_library_is_decided_and_no_other() -> None:
    """A newer librdkafka with a new code fails here until somebody has decided what it means."""
    assert len(CODES) >= 188
    assert set(FAULTS) == set(CODES)
    public = {name for name in dir(KafkaError) if name.lstrip("_").isupper()}
    assert public <= set(CODES)


@pytest.mark.parametrize("name", CODES)
def test_every_code_becomes_one_error_that_says_what_it_is(name: str) -> None:
    """Its class, whether a retry helps and Kafka's name go together; the line is one, and says where."""
    error = KafkaError(CODES[name], "a first line\nand a second")
    told = broker_error(error, WHERE, "a-topic", "partition 3")
    assert type(told) is class_of(FAULTS[name])
    assert told.retriable is (FAULTS[name] in {"unavailable", "fenced", "expired"})
    assert told.code == name
    assert "\n" not in str(told)
    assert WHERE in str(told) or "a-topic" in str(told)


@pytest.mark.parametrize(
    ("name", "fault", "kind"),
    [
        ("_ALL_BROKERS_DOWN", "unavailable", BrokerUnavailableError),
        ("_TIMED_OUT", "unavailable", BrokerUnavailableError),
        ("NOT_CONTROLLER", "unavailable", BrokerUnavailableError),
        ("UNKNOWN", "unavailable", BrokerUnavailableError),
        ("_PURGE_QUEUE", "unavailable", BrokerUnavailableError),
        ("OUT_OF_ORDER_SEQUENCE_NUMBER", "unavailable", BrokerUnavailableError),
        ("UNKNOWN_MEMBER_ID", "fenced", BrokerUnavailableError),
        ("_STATE", "fenced", BrokerUnavailableError),
        ("_AUTO_OFFSET_RESET", "expired", OffsetsExpiredError),
        ("OFFSET_OUT_OF_RANGE", "expired", OffsetsExpiredError),
        ("UNKNOWN_TOPIC_OR_PART", "topic", BrokerRejectedError),
        ("TOPIC_AUTHORIZATION_FAILED", "permission", BrokerRejectedError),
        ("SASL_AUTHENTICATION_FAILED", "credentials", BrokerRejectedError),
        ("POLICY_VIOLATION", "refused", BrokerRejectedError),
        ("TOPIC_EXCEPTION", "refused", BrokerRejectedError),
        ("MSG_SIZE_TOO_LARGE", "record", BrokerRejectedError),
        ("_BAD_COMPRESSION", "unreadable", BrokerRejectedError),
        ("INVALID_MSG", "unreadable", BrokerRejectedError),
    ],
)
def test_what_the_parts_act_on(name: str, fault: Fault, kind: type[BrokerError]) -> None:
    """The codes on which producer, worker and commands act mean what those rely on."""
    error = KafkaError(CODES[name])
    assert fault_of(error) == fault
    assert type(broker_error(error, WHERE, "t")) is kind


def test_every_authorization_failure_is_a_missing_permission() -> None:
    """Kafka names them alike, so none can be forgotten."""
    named = {name for name in FAULTS if name.endswith("_AUTHORIZATION_FAILED")}
    assert named == {name for name, fault in FAULTS.items() if fault == "permission"}
    assert {"permission"} < REFUSALS


def test_a_code_of_tomorrow_may_pass_by_itself() -> None:
    """What librdkafka does not know yet is retried, as an unknown code of ClickHouse is."""
    error = KafkaError(32_000, "something new")
    assert fault_of(error) == "unavailable"
    assert broker_error(error, WHERE, "t").retriable


def test_a_broken_connection_may_be_a_refused_certificate() -> None:
    """Only librdkafka's text tells an alert of TLS from a broken connection."""
    alert = KafkaError(KafkaError._TRANSPORT, "SSL alert number 116")
    broken = KafkaError(KafkaError._TRANSPORT, "Connection reset by peer")
    assert is_tls_refusal(alert)
    assert not is_tls_refusal(broken)
    told = broker_error(alert, WHERE, "t")
    assert isinstance(told, BrokerRejectedError)
    assert "refuses the connection (_SSL)" in str(told)
    assert FAULTS[told.code] == "credentials"
