"""Attacks through a real broker: by Kafka's administrator before or after a worker has stored, and by who may write.

Each is given a topic into which real loggers have logged; then they go on and seal, and a worker stores what is left.
"""

from dataclasses import dataclass

from attack import Who, on_broker
from broker_scene import DENIAL, STRANGER, BrokerScene
from sealing_scene import claimed
from topic_attacker import Stored
from trailhouse.schemas import decode
from waiting import eventually


@dataclass
class _Edit:
    """Replaces bytes in the records that have them."""

    old: bytes
    new: bytes

    def __call__(self, stored: Stored) -> Stored:
        value = stored.value
        return stored._replace(value=value and value.replace(self.old, self.new))


def _is_denial(stored: Stored) -> bool:
    return DENIAL.encode() in (stored.value or b"")


@on_broker(Who.KAFKA, "seals")
def records_are_deleted_before_they_are_stored(scene: BrokerScene) -> None:
    scene.loses_records = True
    denial = scene.denial()
    scene.topic.delete_below({denial.partition: denial.offset + 1})


@on_broker(Who.KAFKA, "seals")
def seals_are_deleted_before_they_are_stored(scene: BrokerScene) -> None:
    scene.loses_records = True
    seal = scene.newest_seal("agents")
    scene.topic.delete_below({seal.partition: seal.offset + 1})


@on_broker(Who.KAFKA, "seals")
def all_is_deleted_before_it_is_stored(scene: BrokerScene) -> None:
    scene.loses_records = True
    scene.topic.delete_all()


@on_broker(Who.KAFKA, "seals")
def records_are_deleted_while_the_worker_is_away(scene: BrokerScene) -> None:
    """A worker does not go on by itself where records were lost that nobody has stored: somebody must say so."""
    scene.store()
    scene.log_some()
    scene.loses_records = True
    scene.topic.delete_all()
    worker = scene.worker()
    eventually(lambda: worker.process.poll() is not None, "a worker that does not go on")
    assert "gone from Kafka and were never stored" in worker.log, worker.log[-2_000:]
    scene.on_gap = "record"


@on_broker(Who.KAFKA, "seals")
def offsets_are_set_forwards_and_what_was_skipped_is_deleted(scene: BrokerScene) -> None:
    scene.store()
    scene.log_some()
    scene.loses_records = True
    scene.topic.set_offsets(scene.group, scene.topic.ends())
    scene.topic.delete_all()
    scene.on_gap = "record"


@on_broker(Who.KAFKA, "seals")
def the_topic_is_made_anew_before_it_was_stored(scene: BrokerScene) -> None:
    scene.loses_records = True
    scene.topic.recreate()


@on_broker(Who.KAFKA, "seals")
def the_topic_is_made_anew_after_a_part_was_stored(scene: BrokerScene) -> None:
    scene.store()
    scene.log_some()
    scene.loses_records = True
    scene.topic.recreate()


@on_broker(Who.KAFKA, "seals")
def all_of_loggers_that_have_ended_is_taken_before_it_is_stored(scene: BrokerScene) -> None:
    """Nobody has stored an event or a seal of them: the next loggers of their services repeat their last seals."""
    scene.store()
    scene.close_loggers()
    scene.store()
    scene.log_some()
    scene.close_loggers()
    scene.loses_records = True
    scene.topic.recreate()
    for service in ("agents", "tools"):
        scene.log(service, session_id="next", tenant_id="a")


@on_broker(Who.KAFKA, "seals")
def the_topic_is_made_anew_without_one_event(scene: BrokerScene) -> None:
    scene.close_loggers()
    scene.loses_records = True
    held = scene.topic.read()
    scene.topic.recreate()
    scene.topic.write_again(held, lambda each: None if _is_denial(each) else each)


@on_broker(Who.KAFKA, "seals")
def the_topic_is_made_anew_with_a_grant(scene: BrokerScene) -> None:
    scene.close_loggers()
    scene.loses_records = True
    held = scene.topic.read()
    scene.topic.recreate()
    scene.topic.write_again(held, _Edit(b"approval_denied", b"approval_granted"))


@on_broker(Who.KAFKA, "seals")
def the_topic_is_made_anew_for_another_tenant(scene: BrokerScene) -> None:
    scene.close_loggers()
    scene.loses_records = True
    held = scene.topic.read()
    scene.topic.recreate()
    scene.topic.write_again(held, _Edit(b'"tenant_id":"a"', b'"tenant_id":"b"'))


@on_broker(Who.KAFKA, "numbers")
def the_topic_is_made_anew_in_another_order(scene: BrokerScene) -> None:
    scene.close_loggers()
    held = scene.topic.read()
    scene.topic.recreate()
    scene.topic.write_again(held[::-1], lambda each: each)


@on_broker(Who.KAFKA, "numbers")
def early_records_are_put_behind_later_ones(scene: BrokerScene) -> None:
    """They are read with the others, deleted, and written again by the administrator, byte for byte."""
    scene.close_loggers()
    denial = scene.denial()
    early = [
        each
        for each in scene.topic.read()
        if each.partition == denial.partition and each.offset <= denial.offset
    ]
    scene.topic.delete_below({denial.partition: denial.offset + 1})
    scene.topic.write_again(early, lambda each: each)


@on_broker(Who.KAFKA, "seals")
def a_partition_is_cut_off_before_it_is_stored(scene: BrokerScene) -> None:
    """What an unclean election leaves, too: the new leader has less than what it has acknowledged."""
    scene.loses_records = True
    denial = scene.denial()
    scene.disk(denial.partition).cut(denial.offset)


@on_broker(Who.KAFKA, "seals")
def a_partition_is_cut_off_below_what_was_signed_and_written_anew(scene: BrokerScene) -> None:
    """What was signed stays what it was, in its generation; what stands there now is another's."""
    scene.store()
    denial = scene.denial()
    forged = scene.forged("agents", scene.seq_of_denial())
    read_until = scene.topic.ends()[denial.partition]
    scene.disk(denial.partition).cut(denial.offset)
    missing = read_until - scene.topic.ends()[denial.partition]
    scene.topic.write([forged] * (missing + 3), partition=denial.partition)


@on_broker(Who.KAFKA, "seals")
def a_record_is_changed_on_the_brokers_disk(scene: BrokerScene) -> None:
    """At its offset, with right checksums; no client of Kafka can tell."""
    scene.loses_records = True
    denial = scene.denial()
    value = denial.value or b""
    scene.disk(denial.partition).change(value, value.replace(b'"no"', b'"ok"'))


@on_broker(Who.KAFKA, "seals")
def the_topic_is_compacted_before_it_is_stored(scene: BrokerScene) -> None:
    """Of each session the newest record is left, and of one with a tombstone none."""
    scene.loses_records = True
    denial = scene.denial()
    scene.topic.configure_broker(log_cleaner_backoff_ms="100")
    scene.topic.configure(
        cleanup_policy="compact",
        min_cleanable_dirty_ratio="0.0",
        segment_ms="1",
        delete_retention_ms="0",
    )
    scene.topic.write([None], key=denial.key, partition=denial.partition)

    def is_gone() -> bool:
        # A segment is closed by the next record, and only closed ones are compacted.
        scene.topic.write([b"later"], key=b"another", partition=denial.partition)
        return not any(_is_denial(each) for each in scene.topic.read())

    eventually(is_gone, "the denial compacted away")
    scene.topic.configure(cleanup_policy="delete")
    scene.topic.configure_broker(log_cleaner_backoff_ms="15000")


@on_broker(Who.KAFKA, "seals")
def the_retention_is_cut_before_it_is_stored(scene: BrokerScene) -> None:
    """The broker looks for what is too old half a minute after its start, and then every five minutes."""
    scene.loses_records = True
    scene.topic.configure(retention_ms="1")
    assert scene.cluster.stack is not None
    scene.cluster.stack.stop("kafka")
    scene.cluster.stack.start("kafka")
    eventually(
        lambda: not any(_is_denial(each) for each in scene.topic.read()), "the denial too old"
    )
    scene.topic.configure(retention_ms="604800000")


@on_broker(Who.KAFKA, "times")
def the_topic_is_switched_to_the_times_of_senders(scene: BrokerScene) -> None:
    scene.topic.configure(message_timestamp_type="CreateTime")


@on_broker(Who.KAFKA, "times")
def a_forged_time_is_written_where_senders_date(scene: BrokerScene) -> None:
    scene.topic.configure(message_timestamp_type="CreateTime")
    scene.topic.write([claimed("legacy", "p9", 1)], timestamp_ms=1_000)
    scene.topic.configure(message_timestamp_type="LogAppendTime")


@on_broker(Who.PRODUCER, "seals")
def a_stranger_writes_under_a_number_of_another(scene: BrokerScene) -> None:
    scene.topic.write([scene.forged("agents", scene.seq_of_denial())])


@on_broker(Who.PRODUCER, "seals")
def a_stranger_writes_the_next_number_before_its_logger_does(scene: BrokerScene) -> None:
    scene.topic.write([scene.forged("agents", scene.next_seq("agents"))])


@on_broker(Who.PRODUCER, "seals")
def a_stranger_writes_after_the_logger_has_closed(scene: BrokerScene) -> None:
    scene.close_loggers()
    scene.topic.write([scene.forged("agents", scene.next_seq("agents") + 40)])


@on_broker(Who.PRODUCER, "seals")
def a_stranger_writes_thousands_under_numbers_of_others(scene: BrokerScene) -> None:
    forged = [scene.forged("agents", n % 30, data={"n": n}) for n in range(2_000)]
    scene.topic.write(forged)


@on_broker(Who.PRODUCER, "seals")
def a_stranger_gives_a_stored_events_id_to_another(scene: BrokerScene) -> None:
    scene.store()
    value = scene.denial().value or b""
    scene.topic.write([value.replace(b"approval_denied", b"approval_granted")], key=b"s0")


@on_broker(Who.PRODUCER, "seals")
def a_stranger_grants_in_a_transaction(scene: BrokerScene) -> None:
    scene.topic.transaction([scene.forged("agents", scene.seq_of_denial())], ends="commit")


@on_broker(Who.PRODUCER, "seals")
def a_stranger_seals_in_a_services_name(scene: BrokerScene) -> None:
    other = scene.twin("agents", "p77", STRANGER)
    scene.topic.write([other.log(tenant_id="a"), other.seal(is_last=True)])


@on_broker(Who.PRODUCER, "seals")
def a_stranger_seals_in_a_loggers_name(scene: BrokerScene) -> None:
    other = scene.twin("agents", scene.producer_id("agents"), STRANGER)
    scene.topic.write([other.log(tenant_id="a"), other.seal(is_last=True)])


@on_broker(Who.PRODUCER, "seals")
def a_seal_is_sent_again_with_another_range(scene: BrokerScene) -> None:
    """The service's own key and signature stand under numbers that it has not sealed."""
    value = scene.newest_seal("agents").value or b""
    seal = decode(value)
    longer = value.replace(
        b'"last_seq":%d' % seal.data["last_seq"], b'"last_seq":%d' % (seal.data["last_seq"] + 1)
    )
    scene.topic.write([longer], key=seal.session_id.encode())


@on_broker(Who.PRODUCER, "seals")
def a_service_seals_for_a_tenant_of_others(scene: BrokerScene) -> None:
    own = scene.twin("tools", "p3", scene.keys["tools"])
    scene.topic.write([own.log(tenant_id="b"), own.seal(is_last=True)])


@on_broker(Who.PRODUCER, "seals")
def a_services_key_is_used_by_two(scene: BrokerScene) -> None:
    twin = scene.twin("agents", scene.producer_id("agents"), scene.keys["agents"])
    scene.topic.write([twin.log(tenant_id="b"), twin.seal()])
