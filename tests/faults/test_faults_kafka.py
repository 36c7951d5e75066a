"""Faults 17–21: the topic grows, members come and go, the broker dies, the topic is made anew, offsets lie."""

import itertools
import os
import signal

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions, NewTopic

from cluster import Cluster
from fault_scene import Scene, numbered, pause, pid_of, stack_of
from trailhouse.schemas.topic import topic_options
from waiting import eventually
from worker_process import Worker

pytestmark = [pytest.mark.cluster, pytest.mark.faults]

STORM_SECONDS = 25.0


def admin_of(stage: Scene) -> AdminClient:
    """Return a client that changes topics and groups."""
    return AdminClient(stage.kafka.client_options())


def wait_for_exit(worker: Worker, code: int, seconds: float = 40.0) -> None:
    """Wait until the worker has ended by itself with *code*."""
    assert worker.process.wait(seconds) == code, f"expected exit {code}, log: {worker.log}"


def kinds(stage: Scene) -> set[str]:
    """Return the kinds of the incidents that were recorded."""
    return {str(row[0]) for row in stage.place.rows("SELECT DISTINCT kind FROM incidents")}


def test_fault_17_more_partitions_under_load(stage: Scene) -> None:
    """A topic widened from 4 to 8 under load: the new partitions are read from their first record."""
    stage.worker()
    before = stage.load(rate=200, name="before")
    before.wait_for(300)
    wider = NewPartitions(stage.kafka.topic, 8)
    admin = admin_of(stage)  # its futures end with it
    for future in admin.create_partitions([wider]).values():
        future.result(30)
    after = stage.load(rate=400, name="after", sessions=40)
    after.wait_for(800)
    before.end()
    after.end()
    view = stage.settle(45)
    used = {seen.partition for seen in view}
    assert used & {4, 5, 6, 7}, f"expected records in the new partitions, got {sorted(used)}"


def test_fault_18_rebalance_storm(stage: Scene) -> None:
    """Workers that start and are killed or ended every two seconds, for a while, under load."""
    load = stage.load(rate=600, sessions=30)
    stage.worker()
    guests: list[Worker] = []
    for turn in itertools.count():
        guests.append(stage.worker())
        pause(2.0)
        if len(guests) > 2:
            guest = guests.pop(0)
            if turn % 2:
                guest.kill()
            else:
                guest.process.send_signal(signal.SIGTERM)
        if turn * 2.0 >= STORM_SECONDS:
            break
    load.end()
    stage.settle(90)


@pytest.mark.parametrize("way", ["outage", "kill"])
def test_fault_19_broker(stage: Scene, cluster: Cluster, way: str) -> None:
    """The broker stopped for a while, or killed with −9 twice, under load: everything goes on by itself."""
    stack = stack_of(cluster)
    worker = stage.worker()
    load = stage.load(rate=300)
    load.wait_for(300)
    if way == "outage":
        stack.stop("kafka")
        pause(4.0)
        stack.start("kafka")
    else:
        for _ in range(2):
            os.kill(pid_of(stack, "kafka"), signal.SIGKILL)
            taken = load.taken
            load.wait_for(taken + 600)
            stack.start("kafka")
    load.end(60)
    stage.settle(90)
    assert worker.process.poll() is None, "expected the same worker to go on"


def test_fault_20_topic_deleted_and_made_anew(stage: Scene) -> None:
    """A topic of the same name made anew: its records at old offsets are stored, and it is said."""
    stage.emit(numbered(400))
    worker = stage.worker()
    stage.oracle.wait_for_no_lag(40)
    admin = admin_of(stage)
    admin.delete_topics([stage.kafka.topic])[stage.kafka.topic].result(30)

    def is_made() -> bool:
        topic = NewTopic(stage.kafka.topic, 4, 1, config=topic_options(stage.kafka))
        return admin.create_topics([topic])[stage.kafka.topic].exception(30) is None

    eventually(is_made, "the topic made anew")
    stage.oracle.note_topic_made_anew()
    stage.emit(numbered(300, start=400))
    eventually(lambda: stage.place.count() == 700, f"all events, log: {worker.log[-600:]}", 60)
    stage.settle(has_order=False)
    assert "recreated" in kinds(stage), f"expected an incident 'recreated', got {kinds(stage)}"


@pytest.mark.parametrize("policy", ["stop", "record"])
def test_fault_21_records_that_expired_before_they_were_stored(stage: Scene, policy: str) -> None:
    """The log begins behind the committed offset: an incident is on record before anything goes on."""
    stage.place.send([event.record for event in numbered(100)])
    first = stage.worker()
    stage.oracle.wait_for_no_lag(40)
    assert first.end() == 0
    stage.place.send([event.record for event in numbered(100, start=100)])
    stage.delete_records(0, 150)
    second = stage.worker(worker_on_gap=policy)
    if policy == "stop":
        wait_for_exit(second, 1)
        assert "TRAILHOUSE_WORKER_ON_GAP" in second.log
        stage.worker(worker_on_gap="record")
    eventually(lambda: stage.place.count() == 150, "the records that are left, beside the first")
    stage.settle_records()
    rows = stage.place.rows("SELECT kind, first_offset, last_offset FROM incidents")
    assert rows == [("expired", 100, 149)], f"expected one incident of 100 to 149, got {rows}"


def test_fault_21_committed_offset_behind_the_end(stage: Scene) -> None:
    """A committed offset that the log has not reached: it is said, and no record is skipped."""
    stage.place.send([event.record for event in numbered(100)])
    first = stage.worker()
    stage.oracle.wait_for_no_lag(40)
    assert first.end() == 0
    stage.oracle.commits_may_go_back = True
    lying = TopicPartition(stage.kafka.topic, 0, 5_000)
    group = ConsumerGroupTopicPartitions(stage.oracle.group_id, [lying])
    admin = admin_of(stage)
    for future in admin.alter_consumer_group_offsets([group]).values():
        future.result(30)
    stage.place.send([event.record for event in numbered(100, start=100)])
    stage.worker()
    eventually(lambda: stage.place.count() == 200, "every record in the view")
    eventually(lambda: stage.committed() == 200, "the commit of what is there")
    looks = stage.oracle.samples + 2
    eventually(lambda: stage.oracle.samples >= looks, "looks that began after that commit")
    stage.oracle.violations.clear()  # while it stood there, the lying offset was a violation
    stage.settle_records()
    assert kinds(stage) & {"recreated", "rewound"}, f"expected an incident, got {kinds(stage)}"
