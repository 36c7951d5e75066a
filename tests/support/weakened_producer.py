"""The producer without a mechanism of its own: each function switches one off in the process that calls it."""

import atexit
import struct
from typing import Any

from faulty_programs import replace


def give_up_sending() -> None:
    replace(
        "trailhouse.producer.delivery.sender:client_options",
        lambda original: (
            lambda config: (
                original(config)
                | {"message.timeout.ms": 1_500, "topic.metadata.propagation.max.ms": 500}
            )
        ),
    )
    replace(
        "trailhouse.schemas.kafka_errors:FAULTS",
        lambda original: {**original, "_MSG_TIMED_OUT": "record"},
    )


def no_checksums() -> None:
    from trailhouse.producer.spool import frame as frames

    def unchecked(content: bytes, begin: int, end: int, offset: int) -> Any:
        number, _, key_bytes = struct.unpack_from("<QIH", content, begin + len(frames.MARKER))
        body = begin + frames.HEADER_BYTES
        key = content[body : body + key_bytes]
        return frames.Frame(number, key, content[body + key_bytes : end], offset + end)

    replace("trailhouse.producer.spool.frame:_frame", lambda _: unchecked)


def no_close_at_exit() -> None:
    from trailhouse.producer.delivery import process_hooks

    atexit.unregister(process_hooks.close_all)


def overtake_the_backlog() -> None:
    replace(
        "trailhouse.producer.delivery.send_queue:SendQueue.admit", lambda _: _admit_the_newest_first
    )


def _admit_the_newest_first(queue: Any, **_kwargs: Any) -> None:
    """Take what has arrived in memory before what is on the disk, and the newest of it first."""
    while queue._arrivals:
        queue._pass_by(queue._arrivals.pop())


def no_adoption() -> None:
    replace(
        "trailhouse.producer.spool.orphans:OrphanSpools.find",
        lambda _: lambda _self, **_kwargs: list[Any](),
    )


def swallow_spool_errors() -> None:
    from trailhouse.schemas.errors import DeliveryError

    def make(original: Any) -> Any:
        def append(self: Any, *args: Any) -> bool:
            try:
                return bool(original(self, *args))
            except DeliveryError:
                return True

        return append

    replace("trailhouse.producer.spool.writer:Spool.append", make)


def trust_any_owner() -> None:
    for module in ("files", "folder", "root"):
        replace(f"trailhouse.producer.spool.{module}:reason_against", lambda _: lambda _status: "")


def no_note_of_what_was_written() -> None:
    from trailhouse.producer.spool.metadata import Written

    replace("trailhouse.producer.spool.orphans:read_written", lambda _: lambda _path: Written(0, 0))
