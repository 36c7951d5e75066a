"""The mechanisms that guard the promise, each with how to switch it off, and the faults that then show.

``FAULTS_WITHOUT=<name>`` switches one off in all that a fault test starts: without it the test must fail.
"""

import atexit
import contextlib
import os
import struct
import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from faulty_programs import replace

VARIABLE = "FAULTS_WITHOUT"
Patch = Callable[[], None]


def _nothing() -> None:
    """Patch nothing: the mechanism is switched off by a setting, or in the database."""


def _returning(place: str, value: object = None) -> Patch:
    """Return a patch: the function at *place* does nothing and returns *value*."""
    return lambda: replace(place, lambda _: lambda *_args, **_kwargs: value)


def _commit_first() -> None:
    def make(original: Any) -> Any:
        def launch(self: Any) -> None:
            for number, span in self._next.spans.items():
                self._committer.commit({number: span.last_offset + 1})
            original(self)

        return launch

    replace("trailhouse.consumer.membership.session:GroupSession._launch", make)


def _drop_failed_batch() -> None:
    from trailhouse.consumer.batch.writer import Stored
    from trailhouse.schemas.errors import StorageError

    def make(original: Any) -> Any:
        def store(self: Any, batch: Any) -> Any:
            try:
                return original(self, batch)
            except StorageError:
                return Stored(len(batch))

        return store

    replace("trailhouse.consumer.batch.writer:BatchWriter.store", make)


def _no_ledger() -> None:
    def make(original: Any) -> Any:
        def insert(self: Any, block: Any) -> None:
            if block.table != "batch_ledger":
                original(self, block)

        return insert

    replace("trailhouse.store.clickhouse:ClickHouse.insert", make)


def _no_bisect() -> None:
    def make(_original: Any) -> Any:
        def write_events(self: Any, batch: Any) -> list[Any]:
            from trailhouse.consumer.batch.blocks import event_block

            self._storage.insert(event_block(self._origin, batch.rows))
            return []

        return write_events

    replace("trailhouse.consumer.batch.writer:BatchWriter._write_events", make)


def _no_byte_cap() -> None:
    from trailhouse.consumer.batch.batch import Limits

    replace(
        "trailhouse.consumer.batch.batch:Limits.of",
        lambda _: lambda config: Limits(config.batch_rows, 1 << 40),
    )


def _keep_hold_over_a_rebalance() -> None:
    def without_dropping(self: Any) -> None:
        self._guard.leave()
        self._is_assigned = False

    for name in ("_on_revoked", "_on_lost"):
        replace(
            f"trailhouse.consumer.membership.session:GroupSession.{name}",
            lambda _: without_dropping,
        )
    replace(
        "trailhouse.consumer.membership.source:KafkaSource.commit",
        lambda original: (
            lambda self, offsets: (
                "later" if (outcome := original(self, offsets)) == "fenced" else outcome
            )
        ),
    )


def _exit_without_draining() -> None:
    replace(
        "trailhouse.consumer.host.process:WorkerProcess._on_sigterm",
        lambda _: lambda _self: os._exit(0),
    )


def _no_polling_while_waiting() -> None:
    def make(original: Any) -> Any:
        def fill(self: Any) -> Any:
            if self._inflight is not None:
                self._inflight.wait(None)
            return original(self)

        return fill

    replace("trailhouse.consumer.membership.session:GroupSession._fill", make)


def _no_insert_deadline() -> None:
    def make(original: Any) -> Any:
        def connect(*args: Any) -> Any:
            client = original(*args)
            client.timeout = None
            return client

        return connect

    replace("trailhouse.store.clickhouse:_connect", make)


def _unclamped_times() -> None:
    from trailhouse.consumer.batch.rows import Coordinates

    def all_coordinates_of(received: Any) -> Any:
        return Coordinates(
            [message.partition() for message in received],
            [message.offset() for message in received],
            [message.timestamp()[1] for message in received],
        )

    replace("trailhouse.consumer.batch.batch:all_coordinates_of", lambda _: all_coordinates_of)


def _known_versions_only() -> None:
    from trailhouse.schemas.errors import InvalidEventError

    def make(original: Any) -> Any:
        def envelope_of(record: Any) -> Any:
            envelope = original(record)
            if envelope.schema_version > 1:
                raise InvalidEventError("schema_version", "must be 1")
            return envelope

        return envelope_of

    replace("trailhouse.consumer.batch.batch:envelope_of", make)
    replace("trailhouse.consumer.batch.batch:decode_all", lambda _: lambda _records: None)


def _begin_at_the_end() -> None:
    from trailhouse.consumer.membership.start_decision import StartDecision

    def make(original: Any) -> Any:
        return lambda place: (
            original(place) if place.committed is not None else StartDecision(place.log_end, ())
        )

    replace("trailhouse.consumer.membership.offset_check:decide_start", make)


def _fire_and_forget_inserts() -> None:
    """Have inserts return before ClickHouse has them; what then goes wrong nobody learns."""
    from trailhouse.schemas.errors import StorageError

    def make(original: Any) -> Any:
        def later(self: Any, block: Any) -> None:
            with contextlib.suppress(StorageError):
                original(self, block)

        def insert(self: Any, block: Any) -> None:
            threading.Timer(1.0, later, [self, block]).start()

        return insert

    replace("trailhouse.store.clickhouse:ClickHouse.insert", make)


def _every_code_blames_the_data() -> None:
    from trailhouse.schemas.errors import StorageDataError, StorageUnavailableError
    from weakened_writer import blame_at_once

    def make(original: Any) -> Any:
        def refusal(code: int, name: str, text: str, url: str) -> Any:
            error = original(code, name, text, url)
            is_passing = isinstance(error, StorageUnavailableError)
            return StorageDataError(str(error), code, name) if is_passing else error

        return refusal

    replace("trailhouse.store.errors:_refusal", make)
    replace("trailhouse.consumer.batch.writer:BatchWriter._write_events", lambda _: blame_at_once)


def _first_topic_id_for_ever() -> None:
    known: list[Any] = []

    def make(original: Any) -> Any:
        def origin(self: Any, kafka: Any) -> Any:
            known[:] = known or [original(self, kafka)]
            return known[0]

        return origin

    replace("trailhouse.broker.topic_identity:TopicIdentity.origin", make)


def _no_gap_check() -> None:
    from trailhouse.consumer.membership.start_decision import StartDecision

    def make(_original: Any) -> Any:
        return lambda place: StartDecision(place.committed or place.log_start, ())

    replace("trailhouse.consumer.membership.offset_check:decide_start", make)


def _give_up_sending() -> None:
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


def _no_checksums() -> None:
    from trailhouse.producer.spool import frame as frames

    def unchecked(content: bytes, begin: int, end: int, offset: int) -> Any:
        number, _, key_bytes = struct.unpack_from("<QIH", content, begin + len(frames.MARKER))
        body = begin + frames.HEADER_BYTES
        key = content[body : body + key_bytes]
        return frames.Frame(number, key, content[body + key_bytes : end], offset + end)

    replace("trailhouse.producer.spool.frame:_frame", lambda _: unchecked)


def _no_close_at_exit() -> None:
    from trailhouse.producer.delivery import process_hooks

    atexit.unregister(process_hooks.close_all)


def _overtake_the_backlog() -> None:
    replace(
        "trailhouse.producer.delivery.send_queue:SendQueue.admit", lambda _: _admit_the_newest_first
    )


def _admit_the_newest_first(queue: Any, **_kwargs: Any) -> None:
    """Take what has arrived in memory before what is on the disk, and the newest of it first."""
    while queue._arrivals:
        queue._pass_by(queue._arrivals.pop())


def _no_adoption() -> None:
    replace(
        "trailhouse.producer.spool.orphans:OrphanSpools.find",
        lambda _: lambda _self, **_kwargs: list[Any](),
    )


def _swallow_spool_errors() -> None:
    from trailhouse.schemas.errors import DeliveryError

    def make(original: Any) -> Any:
        def append(self: Any, *args: Any) -> bool:
            try:
                return bool(original(self, *args))
            except DeliveryError:
                return True

        return append

    replace("trailhouse.producer.spool.writer:Spool.append", make)


def _trust_any_owner() -> None:
    for module in ("files", "folder", "root"):
        replace(f"trailhouse.producer.spool.{module}:reason_against", lambda _: lambda _status: "")


def _no_note_of_what_was_written() -> None:
    from trailhouse.producer.spool.metadata import Written

    replace("trailhouse.producer.spool.orphans:read_written", lambda _: lambda _path: Written(0, 0))


class Mechanism(NamedTuple):
    """What guards, how it is switched off in a process, and the faults that must then be red."""

    patch: Patch
    faults: tuple[str, ...]
    settings: Mapping[str, object] = {}


_GROUP = "trailhouse.consumer.membership.session"
MECHANISMS: dict[str, Mechanism] = {
    # the worker
    "commit_after_insert": Mechanism(_commit_first, ("fault_02 and before_insert",)),
    "ledger": Mechanism(_no_ledger, ("fault_01",)),
    "repeat_same_batch": Mechanism(_drop_failed_batch, ("fault_07", "fault_10_status")),
    "unknown_codes_pass": Mechanism(_every_code_blames_the_data, ("fault_11",)),
    "insert_deadline": Mechanism(_no_insert_deadline, ("fault_08 and blackhole",)),
    "quarantine": Mechanism(
        _returning("trailhouse.consumer.batch.writer:BatchWriter._quarantine"), ("fault_13",)
    ),
    "bisect": Mechanism(_no_bisect, ("fault_12",)),
    "breaker": Mechanism(_returning(f"{_GROUP}:check_share"), ("fault_14",)),
    "byte_cap": Mechanism(_no_byte_cap, ("fault_31",)),
    "drain": Mechanism(_exit_without_draining, ("fault_04",)),
    "drain_deadline": Mechanism(
        _returning("trailhouse.consumer.host.process:_cut_off_after"), ("fault_03_slow",)
    ),
    "drop_on_rebalance": Mechanism(_keep_hold_over_a_rebalance, ("fault_05",)),
    "polling_while_waiting": Mechanism(_no_polling_while_waiting, ("fault_09",)),
    "time_clamp": Mechanism(_unclamped_times, ("fault_16",)),
    "future_schema": Mechanism(_known_versions_only, ("fault_15",)),
    "begin_at_the_start": Mechanism(_begin_at_the_end, ("fault_17",)),
    "topic_id_check": Mechanism(_first_topic_id_for_ever, ("fault_20",)),
    "gap_check": Mechanism(_no_gap_check, ("fault_21", "fault_29")),
    "watchdog": Mechanism(_nothing, ("fault_32",), {"worker_watchdog_seconds": 0}),
    "progress_of_each_partition": Mechanism(
        _returning("trailhouse.consumer.membership.lag_monitor:LagMonitor._note_stalls"),
        ("fault_33",),
    ),
    "acknowledged_insert": Mechanism(_fire_and_forget_inserts, ("fault_30",)),
    # the tables
    "final_view": Mechanism(_nothing, ("fault_01", "fault_06", "fault_07")),
    "first_write_wins": Mechanism(_nothing, ("fault_28",)),
    "hash_in_key": Mechanism(_nothing, ("fault_27",)),
    "coordinates_out_of_key": Mechanism(_nothing, ("fault_28",)),
    # the producer
    "spool": Mechanism(
        _nothing, ("fault_22_killed_once", "fault_26 and sigkill"), {"producer_mode": "memory"}
    ),
    "spool_checksum": Mechanism(_no_checksums, ("fault_24_bit_flip",)),
    "spool_adoption": Mechanism(_no_adoption, ("fault_22_killed_once",)),
    "spool_owner": Mechanism(_trust_any_owner, ("fault_24_a_spool_that_others",)),
    "spool_length": Mechanism(_no_note_of_what_was_written, ("fault_24_a_spool_that_was_cut",)),
    "spool_order": Mechanism(_overtake_the_backlog, ("fault_23",)),
    "spool_errors": Mechanism(_swallow_spool_errors, ("fault_24_disk_full and limited",)),
    "send_until_acknowledged": Mechanism(_give_up_sending, ("fault_19 and outage", "fault_23")),
    "fork_reset": Mechanism(
        _returning("trailhouse.producer.delivery.dispatcher:Dispatcher.after_fork"),
        ("fault_25 and after_first",),
    ),
    "close_at_exit": Mechanism(_no_close_at_exit, ("fault_26 and return",)),
}


def without() -> str:
    """Return the name of the mechanism that is to be off, or nothing.

    Raises:
        KeyError: There is none of that name.
    """
    name = os.environ.get(VARIABLE, "")
    if name and name not in MECHANISMS:
        raise KeyError(f"{VARIABLE}={name}: known are {', '.join(MECHANISMS)}")
    return name


def switch_off_what_is_told() -> None:
    """Patch this process as `FAULTS_WITHOUT` says."""
    if name := without():
        MECHANISMS[name].patch()


def settings(section: str) -> dict[str, object]:
    """Return the settings of a *section*, producer or worker, that switch the mechanism off."""
    name = without()
    found = MECHANISMS[name].settings if name else {}
    return {key: value for key, value in found.items() if key.startswith(f"{section}_")}
