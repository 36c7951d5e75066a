"""What an administrator of Kafka, and who may write, do with a log's end, forms, headers and keys."""

from attack import Who, on_broker
from broker_scene import STRANGER, BrokerScene
from sealing_scene import claimed


@on_broker(Who.KAFKA, "seals")
def a_partition_is_cut_off_and_grows_to_just_where_it_ended(scene: BrokerScene) -> None:
    """Before a worker has read it: the same offsets, as many records, another history."""
    scene.loses_records = True
    denial = scene.denial()
    ends = scene.topic.ends()
    scene.disk(denial.partition).cut(denial.offset)
    missing = ends[denial.partition] - scene.topic.ends()[denial.partition]
    others = [claimed("legacy", "p9", 900 + n, session_id="old") for n in range(missing)]
    scene.topic.write(others, partition=denial.partition)
    assert scene.topic.ends() == ends


@on_broker(Who.KAFKA, "seals")
def a_denial_is_written_again_in_another_form(scene: BrokerScene) -> None:
    """The same event by the same number, with a blank in its JSON; the first one is deleted before it is stored."""
    scene.loses_records = True
    denial = scene.denial()
    scene.topic.delete_below({denial.partition: denial.offset + 1})
    value = (denial.value or b"").replace(b'{"', b'{ "', 1)
    scene.topic.write([value], key=denial.key, partition=denial.partition)


@on_broker(Who.PRODUCER, "seals")
def a_stranger_repeats_a_last_seal_that_was_never_made(scene: BrokerScene) -> None:
    """In the form in which the next logger of a service repeats the last seal of the one before."""
    other = scene.twin("tools", "p88", STRANGER)
    seal = other.seal(is_last=True)
    data = {**seal.data, "repeats_ms": 1}
    scene.topic.write([claimed("tools", "p88", 5, "audit_sealed", seal.session_id, data=data)])


@on_broker(Who.NOBODY)
def records_come_again_with_other_headers_and_keys(scene: BrokerScene) -> None:
    """Byte for byte, as a mirror of topics sends them, which adds its own."""
    scene.close_loggers()
    for each in scene.topic.read():
        scene.topic.write(
            [each.value], key=b"mirrored", headers=[("mirror", b"1")], partition=each.partition
        )


@on_broker(Who.NOBODY)
def a_stranger_writes_what_cannot_be_read(scene: BrokerScene) -> None:
    """Empty, not UTF-8, a mebibyte of blanks, a seal of nobody with nothing in it."""
    scene.topic.write([b"", b"\xff\xfe", b" " * 900_000, None], partition=0)
    scene.topic.write([claimed("legacy", "p9", 950, "audit_sealed", "seal:p9", data={})])
