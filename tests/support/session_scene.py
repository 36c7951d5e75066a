"""One membership in the group that a test leads step by step: a fake consumer, and a writer that waits or fails."""

import datetime as dt
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import pytest

from fake_kafka import (
    ORIGIN,
    FakeConsumer,
    FakeIdentity,
    FakeLedger,
    FakeStore,
    lag,
    record,
)
from trailhouse.consumer.batch.batch import Batch, spans_of
from trailhouse.consumer.batch.incidents import Incidents
from trailhouse.consumer.batch.inflight import BatchInserter
from trailhouse.consumer.batch.ledger import Ledger
from trailhouse.consumer.batch.writer import Stored
from trailhouse.consumer.config import WorkerConfig
from trailhouse.consumer.membership import source as source_module
from trailhouse.consumer.membership.group_check import GroupCheck
from trailhouse.consumer.membership.offset_check import OffsetCheck
from trailhouse.consumer.membership.poison_pills.inspection import PoisonPillInspection
from trailhouse.consumer.membership.session import GroupSession, Reporters
from trailhouse.consumer.membership.source import HOLDER
from trailhouse.consumer.membership.topic_check import TopicCheck
from trailhouse.consumer.monitoring.anchoring import Anchoring
from trailhouse.consumer.monitoring.health import Health
from trailhouse.consumer.monitoring.heartbeat import Heartbeat
from trailhouse.consumer.monitoring.metrics import WorkerMetrics
from trailhouse.consumer.monitoring.missing_events import MissingEvents
from trailhouse.consumer.monitoring.stored_ends import StoredEnds
from trailhouse.schemas import AuditEvent
from trailhouse.schemas.errors import StorageUnavailableError
from trailhouse.schemas.kafka_config import KafkaConfig
from trailhouse.schemas.ranges import Ranges
from trailhouse.store.parts import NO_PARTS
from waiting import DEADLINE_SECONDS

EVENT = AuditEvent(type="a", session_id="s").record


class Writer:
    """Stores batches and enters them in the ledger, unless it is told to wait or to fail."""

    def __init__(self, story: list[str], ledger: FakeLedger) -> None:
        self._story = story
        self._ledger = ledger
        self.failures = 0
        self.entered = 0
        self.commits_noted = 0
        self.has_begun = threading.Event()
        self.may_end = threading.Event()
        self.may_end.set()

    def store(self, batch: Batch) -> Stored:
        self.has_begun.set()
        assert self.may_end.wait(DEADLINE_SECONDS)
        if self.failures:
            self.failures -= 1
            self._story.append("failed")
            raise StorageUnavailableError("away")
        for number, span in batch.spans.items():
            self._story.append(f"stored {number}: {span.first_offset}-{span.last_offset}")
        return Stored(
            len(batch) - len(batch.bad), Counter(bad.received.partition() for bad in batch.bad)
        )

    def enter(self, batches: Sequence[Batch], stored: Sequence[Stored]) -> None:
        assert len(stored) == len(batches), (
            "expected each batch to be stored before the ledger has it"
        )
        self.entered += 1
        for number, span in spans_of(batches).items():
            before = self._ledger.stored.get(number, Ranges())
            self._ledger.stored[number] = before | Ranges([(span.first_offset, span.last_offset)])

    def note_commit(self) -> None:
        self.commits_noted += 1


class Scene:
    """A session that runs in the test's own thread; what happens meanwhile is said step by step."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.story: list[str] = []
        self.identity, self.ledger = FakeIdentity([lag(0, None, 9), lag(1, None, 9)]), FakeLedger()
        self.health, self.metrics = Health(), WorkerMetrics()
        self.writer = Writer(self.story, self.ledger)
        self.inserter = BatchInserter(self.health, self.metrics, lambda: None)
        self.consumers: list[FakeConsumer] = []
        self.stop = threading.Event()
        self.freshness_seconds = 0.001
        self.parts = NO_PARTS
        self._steps: list[Callable[[], bool]] = []
        monkeypatch.setattr(source_module, "Consumer", self._make)

    def _make(self, options: dict[str, object]) -> FakeConsumer:
        self.consumers.append(FakeConsumer(options))
        self.consumer.meanwhile = self._meanwhile
        return self.consumer

    @property
    def consumer(self) -> FakeConsumer:
        """The session's consumer."""
        return self.consumers[-1]

    def commits(self) -> list[dict[int, int]]:
        """Return what was committed, but for the marks of who reads and who has stopped."""
        return [
            {number: offset for number, (offset, _) in commit.items()}
            for commit in self.consumer.commits
            if {holder for _, holder in commit.values()} == {HOLDER}
        ][1:]

    def _meanwhile(self) -> None:
        """Take the next step, once what it waits for is there; the session ends after the last."""
        while self._steps and self._steps[0]():
            self._steps.pop(0)
        if not self._steps:
            self.stop.set()

    def run(self, *steps: Callable[[], object]) -> None:
        """Run a session until each of *steps* is done; one that returns False is taken again."""
        self._steps = [partial(_is_done, step) for step in steps]
        worker = WorkerConfig(
            freshness_seconds=self.freshness_seconds,
            account_seconds=0,
            max_bad_share=0.5,
            max_bad_rows=1,
        )
        ledger = cast("Ledger", self.ledger)
        incidents = Incidents(ledger, ORIGIN, self.metrics, lambda: dt.datetime.now(dt.UTC))
        kafka = KafkaConfig()
        GroupSession(
            kafka=kafka,
            worker=worker,
            write=lambda _logs: self.writer,
            inserter=self.inserter,
            offset_check=OffsetCheck(
                kafka=kafka,
                worker=worker,
                ask_kafka=self.identity.ask,
                ledger=ledger,
                origin=ORIGIN,
                incidents=incidents,
            ),
            inspection=PoisonPillInspection(kafka, ledger, incidents),
            topic=TopicCheck(kafka, self.identity.ask, ORIGIN, self.health),
            group=self._group(worker, incidents),
            ask_parts=lambda: self.parts,
            missing=MissingEvents(lambda *_: 0, self.metrics),
            anchoring=Anchoring(None, 60.0, self.health, self.metrics),
            ask_kafka=lambda: None,
            reporters=Reporters(self.health, self.metrics, Heartbeat()),
        ).run(self.stop)

    def _group(self, worker: WorkerConfig, incidents: Incidents) -> GroupCheck:
        return GroupCheck(
            ask_kafka=self.identity.ask,
            group_id=worker.group_id,
            watchdog_seconds=worker.watchdog_seconds,
            health=self.health,
            metrics=self.metrics,
            incidents=incidents,
            stored_ends=StoredEnds(FakeStore(), ORIGIN, lambda: dt.datetime.now(dt.UTC)),
        )

    # Steps.

    def assign(self) -> None:
        """Have both partitions assigned."""
        self.consumer.tell("on_assign", [0, 1])

    def is_reading(self) -> bool:
        """Wait until the partitions are read."""
        return bool(self.consumer.assigned)

    def bring(self, *offsets: int, value: bytes = EVENT) -> Callable[[], None]:
        """Return the step that has records of partition 0 come."""
        return lambda: self.consumer.waiting.extend(record(0, n, value) for n in offsets)

    def has_read(self, records: int) -> Callable[[], bool]:
        """Return the step that waits until so many records are in hand or further."""
        return lambda: f"records_consumed_total {records}.0" in self.shown()

    def has_turned(self, turns: int) -> Callable[[], bool]:
        """Return the step that waits for so many turns from then on."""
        begun: list[int] = []

        def turned() -> bool:
            begun[:] = begun or [len(self.consumer.wait_seconds)]
            return len(self.consumer.wait_seconds) >= begun[0] + turns

        return turned

    def shown(self) -> str:
        """Return the metrics."""
        return self.metrics.text(is_ready=True).decode()

    def has_committed(self, **wanted: int) -> Callable[[], bool]:
        """Return the step that waits for a commit."""
        places = {int(name[1:]): offset for name, offset in wanted.items()}
        return lambda: places in self.commits()


def _is_done(step: Callable[[], object]) -> bool:
    return step() is not False
