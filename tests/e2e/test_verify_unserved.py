"""A partition that no worker serves for a while, beside others: what lies in it is not said to be lost."""

import time
import uuid
from collections.abc import Iterator
from contextlib import closing

import pytest
from confluent_kafka import Consumer

from live_log import LiveLog, here, said
from sealing_scene import Logger
from trailhouse.broker.topic_identity import TopicIdentity
from trailhouse.cli.main import main
from trailhouse.operate.verify.duties.seals import lagging_logs
from trailhouse.operate.verify.report import Outcome
from trailhouse.proof.keys import read_key_file
from waiting import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.long]

__all__ = ["here"]


@pytest.fixture
def logger(here: LiveLog, monkeypatch: pytest.MonkeyPatch) -> Logger:
    """Return a logger of an enrolled service; the auditor waits for a second at most."""
    for name in ("SETTLED_SECONDS", "TAKEN_OVER_SECONDS", "SERVED_WITHIN_SECONDS"):
        monkeypatch.setattr(lagging_logs, name, 1.0)
    key = here.files / "agents.pem"
    assert main(["proof", "key", str(key)]) == 0
    here.change("enroll", "agents", "--key", str(key), "--all-tenants")
    return Logger("agents", str(uuid.uuid4()), read_key_file(key))


def test_what_lies_in_a_partition_that_a_stranger_holds_could_not_be_checked(
    here: LiveLog, logger: Logger
) -> None:
    """He joins the group and stores nothing; once a worker has the partition, what is not there is lost."""
    worker = here.worker()
    here.send([logger.log(tenant_id="a").record, logger.seal().record], partition=0)
    worker.wait_for("records_stored_total", 2)
    assert worker.end() == 0
    ended = dict(here.rows("SELECT kafka_partition, end_offset FROM partition_ends FINAL"))
    assert ended == dict(_ends(here)), "expected a word of each partition, empty ones too"

    with closing(_stranger(here)) as stranger:
        worker = here.worker()
        eventually(lambda: 0 < len(_held(stranger)) < len(ended), "some partitions for each")
        theirs = min(_held(stranger))
        ours = min(ended.keys() - set(_held(stranger)))
        here.send([logger.log(tenant_id="a").record], partition=theirs)
        here.send([logger.seal().record], partition=ours)
        sealed = "SELECT count() FROM event_log WHERE type = 'audit_sealed'"
        eventually(lambda: here.rows(sealed)[0][0] == 2, "the seal stored")
        eventually(lambda: _is_told(here, theirs), "what is sealed there not checked")

    eventually(lambda: here.count("event_log") == 4, "what the stranger held stored")
    logger.log(tenant_id="a")
    here.send([logger.seal(is_last=True).record], partition=ours)
    eventually(lambda: here.rows(sealed)[0][0] == 3, "the last seal stored")
    assert worker.end() == 0
    report = here.verify()
    assert {each.kind for each in report.findings} == {"sealed_record_missing"}, said(report)
    assert [each.count for each in report.findings] == [1]


def _is_told(here: LiveLog, partition: int) -> bool:
    report = here.verify()
    assert report.findings == (), said(report)
    assert report.verdict is Outcome.COULD_NOT_CHECK, said(report)
    return f"up to the end of partition {partition} since 2" in said(report)


def _ends(here: LiveLog) -> Iterator[tuple[int, int]]:
    with TopicIdentity(here.kafka) as admin:
        yield from ((each.partition, each.end_offset) for each in admin.lag("nobody"))


def _stranger(here: LiveLog) -> Consumer:
    options = {
        "group.id": f"{here.kafka.topic}-group",
        "partition.assignment.strategy": "range",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    }
    consumer = Consumer(here.kafka.client_options() | options)
    consumer.subscribe([here.kafka.topic])
    return consumer


def _held(stranger: Consumer) -> list[int]:
    until = time.monotonic() + 0.2
    while time.monotonic() < until:
        stranger.poll(0.05)
    return [each.partition for each in stranger.assignment()]
