"""What happens to every topic, worker and group, and changes nothing of the log: verify must call it intact."""

import signal

from attack import Who, on_broker
from broker_scene import BrokerScene
from sealing_scene import claimed
from topic_attacker import Stored
from trailhouse.store import ClickHouse
from waiting import eventually

NOW = "SETTINGS mutations_sync = 2"


@on_broker(Who.NOBODY)
def a_broker_is_restarted_while_loggers_log(scene: BrokerScene) -> None:
    assert scene.cluster.stack is not None
    scene.cluster.stack.stop("kafka")
    scene.log("agents", session_id="s0", tenant_id="a", data={"n": 99})
    scene.cluster.stack.start("kafka")


@on_broker(Who.NOBODY)
def a_worker_is_killed_and_another_goes_on(scene: BrokerScene) -> None:
    worker = scene.worker()
    eventually(lambda: scene.site.count("event_log") > 0, "a first row")
    worker.kill()
    scene.log_some()


@on_broker(Who.NOBODY)
def two_workers_share_the_topic_and_one_leaves(scene: BrokerScene) -> None:
    first, second = scene.worker(), scene.worker()
    scene.wait_until_stored(first)
    second.wait_until_ready()
    scene.log_some()
    scene.wait_until_stored(second)
    assert first.end() == 0
    assert second.end() == 0


@on_broker(Who.NOBODY)
def a_worker_that_slept_wakes_up_when_another_has_stored(scene: BrokerScene) -> None:
    sleeping = scene.worker()
    sleeping.wait_until_ready()
    sleeping.process.send_signal(signal.SIGSTOP)
    try:
        scene.log_some()
        other = scene.worker()
        scene.wait_until_stored(other)
    finally:
        sleeping.process.send_signal(signal.SIGCONT)
    assert sleeping.end() == 0
    assert other.end() == 0


@on_broker(Who.NOBODY)
def loggers_end_and_others_follow(scene: BrokerScene) -> None:
    """Each repeats the last seals of those before it, also where the topic was widened meanwhile."""
    scene.close_loggers()
    scene.topic.widen(scene.kafka.partitions + 2)
    scene.log_some()
    scene.store()
    scene.close_loggers()
    scene.log_some()


@on_broker(Who.NOBODY)
def a_log_begins_where_loggers_have_ended_before(scene: BrokerScene) -> None:
    """A broker that is set up anew, and a first worker: the last seals that still lie in the spools are of before."""
    scene.close_loggers()
    scene.loses_records = True
    scene.topic.recreate()
    scene.log_some()


@on_broker(Who.NOBODY)
def offsets_are_set_forwards(scene: BrokerScene) -> None:
    """The ledger knows better: what was skipped is read."""
    scene.store()
    scene.log_some()
    scene.topic.set_offsets(scene.group, scene.topic.ends())


@on_broker(Who.NOBODY)
def offsets_are_set_backwards(scene: BrokerScene) -> None:
    scene.store()
    scene.topic.set_offsets(scene.group, dict.fromkeys(scene.topic.ends(), 0))


@on_broker(Who.NOBODY)
def the_group_is_forgotten(scene: BrokerScene) -> None:
    scene.store()
    scene.topic.forget_group(scene.group)


@on_broker(Who.NOBODY)
def the_topic_is_widened_while_loggers_log(scene: BrokerScene) -> None:
    scene.store()
    scene.topic.widen(scene.kafka.partitions + 2)
    scene.log_some()


@on_broker(Who.NOBODY)
def a_strangers_transactions_are_taken_back(scene: BrokerScene) -> None:
    """What was written in them was never there, and an offset without a record is no loss."""
    forged = [scene.forged("agents", scene.seq_of_denial())]
    scene.topic.transaction(forged, ends="abort")
    left_open = scene.topic.transaction(forged, ends="open")
    scene.log_some()
    left_open.abort_transaction()


@on_broker(Who.NOBODY)
def a_backup_of_clickhouse_is_restored_and_the_rest_read_again(scene: BrokerScene) -> None:
    scene.store()
    denial = scene.denial()
    with ClickHouse(scene.site.database) as clickhouse:
        for table, column, first in (
            ("log_leaves", "kafka_offset", denial.offset),
            ("event_log", "kafka_offset", denial.offset),
            ("batch_ledger", "last_offset", denial.offset),
            ("log_checkpoints", "size", denial.offset + 1),
        ):
            clickhouse.command(
                f"ALTER TABLE {table} DELETE WHERE kafka_partition = {denial.partition}"
                f" AND {column} >= {first} {NOW}"
            )
        for table in ("event_index", "event_usage"):
            clickhouse.command(
                f"ALTER TABLE {table} DELETE WHERE record_key NOT IN (SELECT record_key FROM event_log) {NOW}"
            )


@on_broker(Who.NOBODY)
def a_topic_is_made_anew_when_all_was_stored(scene: BrokerScene) -> None:
    scene.wait_until_sealed("agents")  # else the old topic may take a seal that nobody stores
    scene.store()
    scene.topic.recreate()
    scene.log_some()


@on_broker(Who.NOBODY)
def a_leader_that_lags_is_elected_and_the_loggers_go_on(scene: BrokerScene) -> None:
    """What was stored stays, and what is logged below the committed offset is read: nothing is lost."""
    scene.close_loggers()
    scene.store()
    denial = scene.denial()
    scene.disk(denial.partition).cut(denial.offset)
    scene.log_some()


@on_broker(Who.NOBODY)
def kafka_deletes_what_was_stored(scene: BrokerScene) -> None:
    scene.store()
    scene.topic.delete_all()


@on_broker(Who.NOBODY)
def all_records_are_sent_again_by_a_stranger(scene: BrokerScene) -> None:
    """Byte for byte, into other partitions, with headers and times that he likes."""
    for each in scene.topic.read():
        scene.topic.write(
            [each.value],
            key=b"another",
            headers=[("trailhouse-standing", b"attested"), ("tenant_id", b"b")],
            timestamp_ms=1_000,
        )


@on_broker(Who.NOBODY)
def records_come_by_another_partition(scene: BrokerScene) -> None:
    scene.close_loggers()
    held = scene.topic.read()
    scene.topic.recreate()

    def moved(each: Stored) -> Stored:
        return each._replace(partition=(each.partition + 1) % scene.kafka.partitions)

    scene.topic.write_again(held, moved)


@on_broker(Who.NOBODY)
def a_stranger_writes_in_his_own_name_through_kafka(scene: BrokerScene) -> None:
    """It is attributed to nobody, which is so."""
    own = [claimed("unknown", "px", n, session_id="s0", tenant_id="a") for n in range(3)]
    scene.topic.write([*own, b"", b"{}", b"\xff\xfe", None], key=b"s0")


@on_broker(Who.NOBODY)
def offsets_are_set_beyond_the_end(scene: BrokerScene) -> None:
    scene.store()
    beyond = {number: end + 1_000 for number, end in scene.topic.ends().items()}
    scene.topic.set_offsets(scene.group, beyond)
    scene.log_some()
