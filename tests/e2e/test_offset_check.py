"""The offset check against a real broker and engine: offsets, log and ledger held against each other."""

import datetime as dt
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import structlog
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from trailhouse.broker.origin import Origin
from trailhouse.broker.topic_identity import TopicIdentity
from trailhouse.consumer.batch.blocks import ledger_block
from trailhouse.consumer.batch.incidents import Incidents
from trailhouse.consumer.batch.ledger import Ledger
from trailhouse.consumer.batch.span import Span
from trailhouse.consumer.config import WorkerConfig
from trailhouse.consumer.membership.offset_check import OffsetCheck, Starts
from trailhouse.consumer.monitoring.metrics import WorkerMetrics
from trailhouse.schemas import KafkaConfig
from trailhouse.schemas.errors import OffsetGapError
from trailhouse.store import ClickHouse, ClickHouseConfig
from waiting import DEADLINE_SECONDS
from worker_process import WorkerSite, place, some_events

pytestmark = pytest.mark.cluster

AT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


class Scene:
    """One topic, its group and its ledger, moved by hand."""

    def __init__(self, here: WorkerSite, store: ClickHouse) -> None:
        self.here = here
        self.store = store
        self.group = f"{here.kafka.topic}-group"
        with TopicIdentity(here.kafka) as admin:
            self.origin = admin.origin(here.kafka)

    def offset_check(self, on_gap: str = "stop") -> OffsetCheck:
        """Return an offset check as a worker that starts now would have it."""
        ledger = Ledger(self.store, self.origin)
        return OffsetCheck(
            kafka=self.here.kafka,
            worker=WorkerConfig(group_id=self.group, on_gap=on_gap),
            ask_kafka=lambda: TopicIdentity(self.here.kafka),
            ledger=ledger,
            origin=self.origin,
            incidents=Incidents(ledger, self.origin, WorkerMetrics(), lambda: AT),
        )

    def starts(self, on_gap: str = "stop", partitions: Sequence[int] = (0,)) -> Starts:
        """Return where a worker that starts now would begin."""
        found = self.offset_check(on_gap).starts(partitions)
        assert found is not None, "expected the same topic as before"
        return Starts(found.offsets, found.verified)

    def write(self, records: int) -> None:
        """Put records into partition 0."""
        self.here.send([event.record for event in some_events(records)])

    def expire(self, before: int) -> None:
        """Let Kafka delete what is below."""
        admin = AdminClient(self.here.kafka.client_options())
        for future in admin.delete_records(
            [TopicPartition(self.here.kafka.topic, 0, before)]
        ).values():
            future.result(DEADLINE_SECONDS)

    def commit(self, offset: int) -> None:
        """Move the group by hand, as kafka-consumer-groups would."""
        consumer = Consumer(self.here.kafka.client_options() | {"group.id": self.group})
        consumer.commit(
            offsets=[TopicPartition(self.here.kafka.topic, 0, offset)], asynchronous=False
        )
        consumer.close()

    def ledger(self, *spans: tuple[int, int], origin: Origin | None = None) -> None:
        """Write rows of the ledger."""
        for first, last in spans:
            span = Span(first, 0)
            span.last_offset = last
            self.store.insert(ledger_block(origin or self.origin, {0: span}, {}, AT))

    def incidents(self) -> list[tuple[Any, ...]]:
        """Return every incident's kind and range."""
        return self.here.rows(
            "SELECT kind, first_offset, last_offset FROM incidents ORDER BY kind, first_offset"
        )


@pytest.fixture
def scene(kafka: KafkaConfig, database: ClickHouseConfig, tmp_path: Path) -> Iterator[Scene]:
    """Return a fresh topic with 60 records in partition 0."""
    with place(kafka, database, tmp_path) as here, ClickHouse(database) as store:
        ready = Scene(here, store)
        ready.write(60)
        yield ready


def test_in_order(scene: Scene) -> None:
    """What is committed and in the ledger is where it goes on; nothing is noted."""
    assert scene.starts(partitions=range(4)) == Starts(dict.fromkeys(range(4), 0), set())
    scene.ledger((0, 19), (20, 39), (10, 12))
    scene.commit(40)
    assert scene.starts() == Starts({0: 40}, {0})
    assert scene.incidents() == []


def test_expired_stops_and_is_written_once(scene: Scene) -> None:
    """Every start in mode stop says the same, writes one row, and adds only what has expired since."""
    scene.ledger((0, 19))
    scene.commit(20)
    scene.expire(30)
    for _ in range(3):
        with pytest.raises(
            OffsetGapError, match=r"offsets 20 to 29.*TRAILHOUSE_WORKER_ON_GAP=record"
        ):
            scene.starts()
    assert scene.incidents() == [("expired", 20, 29)]
    scene.expire(35)
    with pytest.raises(OffsetGapError, match="offsets 20 to 34"):
        scene.starts()
    assert scene.incidents() == [("expired", 20, 29), ("expired", 30, 34)]


def test_expired_is_recorded_and_passed(scene: Scene) -> None:
    """In mode record the row is there before the reading goes on, and the log has an error."""
    scene.ledger((0, 19))
    scene.commit(20)
    scene.expire(30)
    with structlog.testing.capture_logs() as lines:
        assert scene.starts("record") == Starts({0: 30}, set())
    assert scene.incidents() == [("expired", 20, 29)]
    assert [(line["log_level"], line["kind"]) for line in lines] == [("error", "expired")]


def test_what_expired_before_it_was_ever_read_is_named(scene: Scene) -> None:
    """A partition nobody has read begins at its log's start; what is below is an incident, written and told once."""
    scene.expire(30)
    with structlog.testing.capture_logs() as lines:
        for _ in range(2):
            assert scene.starts(partitions=(0, 1)) == Starts({0: 30, 1: 0}, set())
    assert scene.incidents() == [("expired", 0, 29)]
    assert [(line["log_level"], line["first_offset"], line["last_offset"]) for line in lines] == [
        ("error", 0, 29)
    ]


def test_stored_but_not_committed_is_no_gap(scene: Scene) -> None:
    """A worker that died before its commit has lost nothing, even when Kafka deletes the records."""
    scene.ledger((0, 19), (20, 39))
    scene.commit(20)
    scene.expire(40)
    assert scene.starts().offsets == {0: 40}
    assert scene.incidents() == []


def test_a_forgetful_clickhouse_is_filled_again(scene: Scene) -> None:
    """An older backup lacks rows of the ledger: what it lacks is read again; what is gone is named."""
    scene.ledger((0, 19))
    scene.commit(50)
    for _ in range(2):
        assert scene.starts() == Starts({0: 20}, set())
    assert scene.incidents() == [("rewound", 20, 49)]
    scene.expire(30)
    assert scene.starts("record").offsets == {0: 30}
    assert scene.incidents() == [("expired", 20, 29), ("rewound", 20, 49)]


def test_a_row_above_does_not_hide_a_hole(scene: Scene) -> None:
    """A late batch of before does not make the ledger look complete."""
    scene.ledger((0, 19), (50, 59))
    scene.commit(50)
    assert scene.starts().offsets == {0: 20}


def test_a_lost_ledger_means_all_again(scene: Scene) -> None:
    """Without any row everything that Kafka has is read again."""
    scene.commit(50)
    scene.expire(10)
    assert scene.starts().offsets == {0: 10}
    assert scene.incidents() == [("rewound", 10, 49)]


def test_a_group_reset_is_undone(scene: Scene) -> None:
    """Somebody's kafka-consumer-groups --to-latest skips nothing."""
    scene.ledger((0, 9))
    scene.commit(60)
    assert scene.starts().offsets == {0: 10}
    assert scene.incidents() == [("rewound", 10, 59)]


def test_offsets_of_another_topic(scene: Scene) -> None:
    """A topic made anew is read from its start, whatever the group has committed."""
    scene.ledger((0, 199), origin=scene.origin._replace(topic_id="an earlier one"))
    for committed in (None, 40):
        if committed is not None:
            scene.commit(committed)
        assert scene.starts() == Starts({0: 0}, set())
    assert scene.incidents() == [("recreated", 0, 199)]
    scene.ledger((0, 39))
    assert scene.starts() == Starts({0: 40}, {0})


def test_an_offset_above_the_end(scene: Scene) -> None:
    """A log that is shorter than what was committed is read from its start."""
    scene.commit(600)
    scene.ledger((0, 599))
    assert scene.starts().offsets == {0: 0}
    assert scene.incidents() == [("recreated", 60, 599)]


def test_a_topic_made_anew_meanwhile(scene: Scene) -> None:
    """When the name means another topic now there is no start in it for this membership."""
    scene.origin = scene.origin._replace(topic_id="what it was")
    assert scene.offset_check().starts([0]) is None


def test_what_the_ledger_forgets_while_it_runs(scene: Scene) -> None:
    """Ranges that were acknowledged once are looked for; the first that is missing is named."""
    scene.ledger((0, 9), (10, 19), (30, 39))
    offset_check = scene.offset_check()
    assert offset_check.forgotten({0: [(9, 9), (10, 19)], 1: []}) == {}
    assert offset_check.forgotten({0: [(9, 9), (10, 19), (20, 29), (30, 39)]}) == {0: 20}
    assert offset_check.forgotten({0: [(25, 25)], 1: [(3, 3)]}) == {0: 20, 1: 0}
    starts = offset_check.starts([0], {0: 20})
    assert starts is not None
    assert starts[:2] == ({0: 0}, set()), "nothing is committed, so all is read again"
    scene.commit(40)
    starts = offset_check.starts([0], {0: 20})
    assert starts is not None
    assert starts[:2] == ({0: 20}, set())
