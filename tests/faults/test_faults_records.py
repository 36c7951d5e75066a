"""Faults 13–16, 27 and 28: poison, records from the future, wrong clocks, the same id twice, a replay."""

import datetime as dt
import json

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # exported by assignment
    AdminClient,
    AlterConfigOpType,  # pyright: ignore[reportPrivateImportUsage]
    ConfigEntry,  # pyright: ignore[reportPrivateImportUsage]
    ConfigResource,  # pyright: ignore[reportPrivateImportUsage]
    ResourceType,  # pyright: ignore[reportPrivateImportUsage]
)

from fault_scene import RUN_SMALL, Scene, numbered
from faulty_programs import program
from trailhouse.schemas import AuditEvent
from trailhouse.schemas.topic import key_of
from trailhouse.schemas.uuid7 import uuid7
from waiting import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.faults]

GOOD = AuditEvent(type="message_sent", session_id="s", data={"n": 1}).record
LAST_MOMENT_MS = 10_413_791_999_999
POISON: dict[str, bytes | None] = {
    "invalid JSON": b'{"type": "message_sent", ',
    "no JSON": b"\x00\x01\x02",
    "NUL": b"\x00",
    "empty": b"",
    "1 MB": b"x" * 1_000_000,
    "bad UTF-8": GOOD.replace(b"message_sent", b"message_\xff\xfe"),
    "lone surrogate": GOOD.replace(b'"n":1', b'"n":"\xed\xa0\x80"'),
    "tombstone": None,
    "an array": b"[" + GOOD + b"]",
    "no session": GOOD.replace(b"session_id", b"session_ix"),
    "infinite number": GOOD.replace(b'"n":1', b'"n":1e999'),
    "NaN": GOOD.replace(b'"n":1', b'"n":NaN'),
    "infinite time": GOOD.replace(b"occurred_at", b"occurred_at_").replace(b"{", b'{"occurred_at":"inf",', 1),
    "year 0": GOOD.replace(b'"occurred_at":"20', b'"occurred_at":"00', 1),
    "nested": b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    "two values": GOOD + GOOD,
}  # fmt: skip


def at_moment(year: int, number: int) -> AuditEvent:
    """Return an event that says it happened in *year*."""
    return AuditEvent(
        type="message_sent",
        session_id=f"s{number % 4}",
        data={"n": number},
        occurred_at=dt.datetime(year, 1 + number % 12, 2, 3, 4, 5, 6, dt.UTC),
    )


def test_fault_13_poison(stage: Scene) -> None:
    """Whatever bytes come: each record is in one of the two tables, byte for byte, and those behind it go on."""
    records = [*POISON.values(), GOOD.replace(b'{"n":1}', b'{"n":1,"n":2}')]
    stage.place.send(records)
    stage.place.send([GOOD, b"no key either"], key=None, partition=1)
    stage.emit(numbered(200))
    worker = stage.worker(worker_max_bad_share=1.0)
    stage.settle_records()
    rows = stage.place.rows(
        "SELECT kafka_offset, record FROM event_quarantine WHERE kafka_partition = 0"
        " UNION ALL SELECT kafka_offset, record FROM event_log WHERE kafka_partition = 0",
        "record",
    )
    found = {int(offset): record for offset, record in rows}
    for offset, record in enumerate(records):
        assert found[offset] == record, f"expected the record at offset {offset} byte for byte"
    names = list(POISON)
    refused = {
        names[offset]
        for (offset,) in stage.place.rows(
            f"SELECT kafka_offset FROM quarantine WHERE kafka_partition = 0 AND kafka_offset < {len(names)}"
        )
    }
    assert refused >= {"invalid JSON", "no JSON", "tombstone", "bad UTF-8", "empty", "no session"}
    assert worker.process.poll() is None, "expected the same worker to go on"


def test_fault_14_nothing_but_poison(stage: Scene) -> None:
    """A deploy that writes nonsense only: the breaker stops the worker before the commit, and nothing is lost."""
    stage.place.send([b"nonsense %d" % number for number in range(300)])
    worker = stage.worker(
        worker_freshness_seconds=2, worker_max_bad_share=0.5, worker_max_bad_rows=20
    )
    assert worker.process.wait(30) == 1, f"expected a worker that stops, log: {worker.log}"
    assert "TRAILHOUSE_WORKER_MAX_BAD_SHARE" in worker.log
    assert stage.committed() == 0, "expected no commit"
    stage.worker()
    stage.settle_records()
    assert stage.place.count("quarantine") == 300


def test_fault_15_a_schema_from_the_future(stage: Scene) -> None:
    """Records with a later version and unknown fields are stored, and read back without a loss."""
    records = [
        json.dumps(
            {
                "event_id": uuid7(), "type": "thought_shared", "session_id": "s", "schema_version": 7,
                "occurred_at": "2026-01-02T03:04:05.000006Z", "data": {"n": number},
                "mood": {"level": number, "words": ["ä", None, 1.5]}, "zeta": 10**30,
            },
            sort_keys=True, separators=(",", ":"), ensure_ascii=False,
        ).encode()
        for number in range(100)
    ]  # fmt: skip
    stage.place.send(list(records))
    stage.worker()
    stage.settle_records()
    assert stage.place.count("quarantine") == 0, "expected none in quarantine"
    assert stage.place.stored_records() == sorted(records)


def test_fault_16_wrong_clocks(stage: Scene) -> None:
    """Producers decades off, brokers' times from 1970 to far behind 2299, and a worker ten years ahead."""
    admin = AdminClient(stage.kafka.client_options())
    resource = ConfigResource(ResourceType.TOPIC, stage.kafka.topic)
    for name, value in (
        ("message.timestamp.type", "CreateTime"),
        ("message.timestamp.after.max.ms", str(2**63 - 1)),
    ):
        resource.add_incremental_config(
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        )
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(30)
    events = [at_moment(1 + 41 * number, number) for number in range(240)]
    events += [at_moment(2016 + number % 20, 240 + number) for number in range(200)]
    producer = Producer(stage.kafka.client_options() | {"enable.idempotence": True})
    moments = (1, 1_000_000_000_000, 32_503_680_000_000, 250_000_000_000_000, 9_000_000_000_000_000)
    for number, event in enumerate([*events, *events]):  # each twice, with another broker's time
        producer.produce(
            stage.kafka.topic, event.record, key_of(event), timestamp=moments[number % 5]
        )
    assert producer.flush(30) == 0
    stage.oracle.expect(events)
    ahead = (
        "import datetime, trailhouse.consumer.membership.ingest as ingest\nnow = ingest._now\n"
        "ingest._now = lambda: now() + datetime.timedelta(days=3653)\n"
    )
    worker = stage.place.start(
        program(ahead + RUN_SMALL), worker_batch_rows=200, worker_freshness_seconds=2
    )
    stage.settle(has_order=False)
    assert worker.process.poll() is None
    ((latest, years),) = stage.place.rows(
        "SELECT toUnixTimestamp64Milli(max(appended_at)), (SELECT uniqExact(partition) FROM system.parts"
        " WHERE active AND database = currentDatabase() AND table = 'event_log') FROM events"
    )
    assert latest <= LAST_MOMENT_MS, f"expected times that ClickHouse can hold, got {latest} ms"
    assert years <= 13, f"expected at most 13 partitions, got {years}"


def test_fault_27_one_id_with_two_payloads(stage: Scene) -> None:
    """The same event id with other bytes: both are kept and seen, so that the conflict can be named."""
    first = AuditEvent(type="message_sent", session_id="s", data={"n": 1})
    second = AuditEvent(
        type="message_sent",
        session_id="s",
        event_id=first.event_id,
        occurred_at=first.occurred_at,  # or the table's key would tell them apart by that alone
        data={"n": 2},
    )
    stage.place.send([first.record, second.record, first.record])
    stage.worker()
    stage.settle_records()
    stage.command("OPTIMIZE TABLE event_log FINAL")
    assert stage.place.stored_records() == sorted([first.record, second.record])


def test_fault_28_everything_sent_twice(stage: Scene) -> None:
    """A producer that sends all it ever spooled again: each event is seen once, where it first stood."""
    events = numbered(800)
    stage.emit(events)
    worker = stage.worker()
    worker.wait_for("records_stored_total", 400)
    stage.place.emit(events)
    eventually(lambda: worker.series()["records_stored_total"] >= 1_600, "both copies stored")
    stage.settle()
    stage.command("OPTIMIZE TABLE event_log FINAL")
    view = stage.settle()
    first: dict[int, int] = {}
    for seen in view:
        first[seen.partition] = max(first.get(seen.partition, 0), seen.offset)
    ends = stage.oracle.ends()
    for partition, last in first.items():
        assert last < ends[partition] / 2, (
            f"expected the first copies of partition {partition}, got offset {last} of {ends[partition]}"
        )
