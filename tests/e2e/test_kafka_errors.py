"""What a call to Kafka raises is what the code says, whichever client has met it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from confluent_kafka import Producer

from trailhouse.broker.admin import KafkaAdmin
from trailhouse.broker.batch_headers import batch_at
from trailhouse.broker.requeuer import Requeuer
from trailhouse.broker.topic_reader import TopicReader
from trailhouse.schemas import (
    BrokerRejectedError,
    BrokerUnavailableError,
    ConfigError,
    KafkaConfig,
    OffsetsExpiredError,
)
from trailhouse.schemas.ranges import Range

NOWHERE = "127.0.0.1:1"


class Kept(NamedTuple):
    """A record as the quarantine keeps it."""

    key: bytes | None = b"k"
    record: bytes | None = b"r"
    headers: Sequence[tuple[str, bytes | None]] = ()


@pytest.mark.parametrize("client", [KafkaAdmin, TopicReader, Requeuer])
def test_settings_that_the_client_refuses_are_a_config_error(
    client: Callable[[KafkaConfig], Any], tmp_path: Path
) -> None:
    """Whatever is made with them says so at once, and not that Kafka is away."""
    authorities = tmp_path / "ca.pem"
    authorities.write_text("not a certificate")
    wrong = KafkaConfig(
        bootstrap_servers=NOWHERE, security_protocol="ssl", ssl_ca_location=str(authorities)
    )
    with pytest.raises(ConfigError, match=r"refuses the \[kafka\] settings"):
        client(wrong)


def test_records_that_nobody_acknowledges_are_worth_a_retry() -> None:
    """A broker that is away has refused nothing."""
    requeuer = Requeuer(KafkaConfig(bootstrap_servers=NOWHERE), timeout_seconds=0.2)
    with pytest.raises(BrokerUnavailableError, match="requeue again"):
        requeuer.send([(Kept(), "id:0:0")])


@pytest.mark.cluster
def test_more_records_than_the_client_holds_are_all_sent(kafka: KafkaConfig) -> None:
    """A full queue is waited for: it is no refusal of a record."""
    sent = Requeuer(kafka, timeout_seconds=120.0).send([(Kept(), "id:0:0")] * 100_100)
    assert {each.refusal for each in sent} == {None}


@pytest.mark.cluster
def test_an_offset_that_kafka_does_not_have_is_one_error(kafka: KafkaConfig) -> None:
    """By librdkafka or by a raw fetch: records that are gone are said to be gone."""
    producer = Producer(kafka.client_options())
    producer.produce(kafka.topic, b"{}", partition=0)  # acknowledged: the partition has its leader
    assert producer.flush(60.0) == 0
    with pytest.raises(OffsetsExpiredError) as raw:
        batch_at(kafka, 0, 1_000_000, timeout_seconds=60.0)
    assert raw.value.code == "OFFSET_OUT_OF_RANGE"
    with (
        TopicReader(kafka) as reader,
        pytest.raises(OffsetsExpiredError, match="partition 0 of topic"),
    ):
        list(reader.read({0: Range(1_000_000, 1_000_001)}))


@pytest.mark.cluster
def test_a_topic_that_is_not_there_is_refused(kafka: KafkaConfig) -> None:
    """Every client says that it does not exist, and how it comes to be."""
    other = KafkaConfig(bootstrap_servers=kafka.bootstrap_servers, topic=f"{kafka.topic}-none")
    with KafkaAdmin(other) as admin:
        for ask in (admin.topic_id, lambda: admin.lag("g")):
            with pytest.raises(
                BrokerRejectedError, match=r"does not exist .* run `trailhouse init`"
            ) as told:
                ask()
            assert told.value.code == "UNKNOWN_TOPIC_OR_PART"
