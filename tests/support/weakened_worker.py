"""The worker without a mechanism of its own: each function switches one off in the process that calls it."""

import contextlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from faulty_programs import replace

TAKEN_SECONDS = 0.3
"""By then the server has refused the connection, or has what it was sent."""
_SENDERS = ThreadPoolExecutor(8)


def commit_first() -> None:
    def make(original: Any) -> Any:
        def launch(self: Any) -> None:
            for number, span in self._next.spans.items():
                self._committer.commit({number: span.last_offset + 1})
            original(self)

        return launch

    replace("trailhouse.consumer.membership.session:GroupSession._launch", make)


def drop_failed_batch() -> None:
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


def no_ledger() -> None:
    def make(original: Any) -> Any:
        def insert(self: Any, block: Any) -> None:
            if block.table != "batch_ledger":
                original(self, block)

        return insert

    replace("trailhouse.store.clickhouse:ClickHouse.insert", make)


def no_bisect() -> None:
    def make(_original: Any) -> Any:
        def write_events(self: Any, batch: Any) -> list[Any]:
            from trailhouse.consumer.batch.blocks import event_block

            self._storage.insert(event_block(self._origin, batch.rows))
            return []

        return write_events

    replace("trailhouse.consumer.batch.writer:BatchWriter._write_events", make)


def no_byte_cap() -> None:
    from trailhouse.consumer.batch.batch import Limits

    replace(
        "trailhouse.consumer.batch.batch:Limits.of",
        lambda _: lambda config: Limits(config.batch_rows, 1 << 40),
    )


def no_row_cap() -> None:
    from trailhouse.consumer.batch.batch import Limits

    replace(
        "trailhouse.consumer.batch.batch:Limits.of",
        lambda _: lambda config: Limits(1 << 40, config.batch_bytes, config.max_record_bytes),
    )


def keep_hold_over_a_rebalance() -> None:
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


def exit_without_draining() -> None:
    replace(
        "trailhouse.consumer.host.process:WorkerProcess._on_sigterm",
        lambda _: lambda _self: os._exit(0),
    )


def no_polling_while_waiting() -> None:
    def make(original: Any) -> Any:
        def fill(self: Any) -> Any:
            if self._inflight is not None:
                self._inflight.wait(None)
            return original(self)

        return fill

    replace("trailhouse.consumer.membership.session:GroupSession._fill", make)


def no_insert_deadline() -> None:
    def make(original: Any) -> Any:
        def connect(*args: Any) -> Any:
            client = original(*args)
            client.timeout = None
            return client

        return connect

    replace("trailhouse.store.clickhouse:_connect", make)


def unclamped_times() -> None:
    from trailhouse.consumer.batch.rows import Coordinates

    def all_coordinates_of(received: Any) -> Any:
        return Coordinates(
            [message.partition() for message in received],
            [message.offset() for message in received],
            [message.timestamp()[1] for message in received],
        )

    replace("trailhouse.consumer.batch.batch:all_coordinates_of", lambda _: all_coordinates_of)


def known_versions_only() -> None:
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


def begin_at_the_end() -> None:
    from trailhouse.consumer.membership.start_decision import StartDecision

    def make(original: Any) -> Any:
        return lambda place: (
            original(place) if place.committed is not None else StartDecision(place.log_end, ())
        )

    replace("trailhouse.consumer.membership.offset_check:decide_start", make)


def take_refusals_of_others() -> None:
    """Have what was refused together count as refused, whoever's row it was about."""

    def make(_original: Any) -> Any:
        def insert(self: Any, block: Any) -> None:
            self._storage.insert(block, gather_seconds=self._gathering.way.gather_seconds)

        return insert

    replace("trailhouse.consumer.batch.gathering:GatheredStore.insert", make)


def fire_and_forget_inserts() -> None:
    """Have inserts return before ClickHouse has them; what then goes wrong nobody learns."""
    from trailhouse.schemas.errors import StorageError

    def make(original: Any) -> Any:
        def later(self: Any, block: Any) -> None:
            with contextlib.suppress(StorageError):
                original(self, block)

        def insert(self: Any, block: Any, *, gather_seconds: float = 0.0) -> None:
            threading.Timer(1.0, later, [self, block]).start()

        return insert

    replace("trailhouse.store.clickhouse:ClickHouse.insert", make)


def no_wait_for_what_is_gathered() -> None:
    """Have what the server gathers count as stored once the server has it in memory."""

    def make(original: Any) -> Any:
        def insert(self: Any, block: Any) -> None:
            waited_seconds = TAKEN_SECONDS if self._gathering.way.is_gathered else None
            with contextlib.suppress(TimeoutError):
                _SENDERS.submit(original, self, block).result(waited_seconds)

        return insert

    replace("trailhouse.consumer.batch.gathering:GatheredStore.insert", make)


def every_code_blames_the_data() -> None:
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


def overload_as_an_outage() -> None:
    """Have a refusal for load taken for an outage, after which all is stored again."""
    replace("trailhouse.store.errors:OVERLOAD_CODES", lambda _: {})


def first_topic_id_for_ever() -> None:
    known: list[Any] = []

    def make(original: Any) -> Any:
        def origin(self: Any, kafka: Any) -> Any:
            known[:] = known or [original(self, kafka)]
            return known[0]

        return origin

    replace("trailhouse.broker.topic_identity:TopicIdentity.origin", make)


def no_gap_check() -> None:
    from trailhouse.consumer.membership.start_decision import StartDecision

    def make(_original: Any) -> Any:
        return lambda place: StartDecision(place.committed or place.log_start, ())

    replace("trailhouse.consumer.membership.offset_check:decide_start", make)
