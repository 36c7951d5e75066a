"""One partition's part of a batch: where its records stood, when the broker took them, and their hashes. Pure."""

from array import array
from collections.abc import Sequence

from confluent_kafka import TIMESTAMP_CREATE_TIME

from trailhouse.broker.placeholder import Placeholder, Received
from trailhouse.consumer.batch.rows import Coordinates
from trailhouse.consumer.proof_log.leaves import ReadLeaves
from trailhouse.schemas.record_hash import record_hash
from trailhouse.store.tables import LATEST_MS


class Span:
    """One partition's part of a batch."""

    __slots__ = (
        "_no_records",
        "_nulls",
        "_offsets",
        "_times_ms",
        "first_appended_ms",
        "first_offset",
        "hashes",
        "last_appended_ms",
        "last_offset",
        "records",
    )

    def __init__(self, offset: int, appended_ms: int) -> None:
        self.first_offset = offset
        self.last_offset = offset
        self.first_appended_ms = appended_ms
        self.last_appended_ms = appended_ms
        self.hashes: list[bytes] = []
        self.records = 0
        # Of each of the hashes; numbers of eight bytes, since there is one an event.
        self._offsets = array("Q")
        self._times_ms = array("Q")
        self._nulls: set[int] = set()
        self._no_records: dict[int, int] = {}

    def extend(
        self, offsets: Sequence[int], appended_ms: Sequence[int], hashes: list[bytes]
    ) -> None:
        """Take in the records that follow, at least one: where each stood, its time, its hash."""
        self.last_offset = offsets[-1]
        self.last_appended_ms = appended_ms[-1]
        self.hashes += hashes
        self.records += len(hashes)
        self._offsets.extend(offsets)
        self._times_ms.extend(appended_ms)

    def extend_by(self, placeholder: Placeholder) -> None:
        """Take in what follows and cannot be kept; it counts with one hash."""
        _, offset, appended_ms = coordinates_of(placeholder)
        self.extend([offset], [appended_ms], [placeholder.digest])
        self.last_offset = placeholder.last_offset
        # One was counted with its hash.
        self.records += placeholder.records - 1
        if not placeholder.is_record:
            self._no_records[offset] = placeholder.last_offset

    def reach(self, last_offset: int, appended_ms: int) -> None:
        """Take in offsets up to *last_offset*, which hold no record."""
        self.last_offset = last_offset
        self.last_appended_ms = appended_ms

    def note_null(self, offset: int) -> None:
        """Note that the value of the record at *offset*, which is taken in, is null."""
        self._nulls.add(offset)

    def then(self, later: "Span") -> "Span":
        """Return this span and a later one of the same partition as one; neither is changed."""
        whole = Span(self.first_offset, self.first_appended_ms)
        for each in (self, later):
            whole.hashes += each.hashes
            whole._offsets += each._offsets
            whole._times_ms += each._times_ms
            whole._nulls |= each._nulls
            whole._no_records |= each._no_records
        whole.reach(later.last_offset, later.last_appended_ms)
        whole.records = self.records + later.records
        return whole

    def leaves(self) -> ReadLeaves:
        """Return what the records' leaves in the partition's tree are made of."""
        read = ReadLeaves(
            self.first_offset,
            self.last_offset + 1,
            self._offsets,
            self._times_ms,
            self.hashes,
            frozenset(self._nulls),
        )
        return read.without(self._no_records) if self._no_records else read

    @property
    def records_hash(self) -> bytes:
        """The hash over the records' hashes in offset order."""
        return record_hash(b"".join(self.hashes))


def all_coordinates_of(received: Sequence[Received]) -> Coordinates:
    """Return where each of *received* stood, and the broker's time within what ClickHouse can hold.

    A record that carries its sender's time counts as appended last of all: whoever sends a copy may
    date it as he likes, and of two copies the first appended is the one that readers see.
    """
    # One pass, and no pair of it outlives its turn: to keep them all costs four times as much.
    appended_ms = [
        LATEST_MS if kind == TIMESTAMP_CREATE_TIME else at_ms
        for message in received
        for kind, at_ms in (message.timestamp(),)
    ]
    times_ms = set(appended_ms)  # few: the broker takes a producer's batch at one time
    if times_ms and (min(times_ms) < 0 or max(times_ms) > LATEST_MS):
        appended_ms = [max(0, min(at_ms, LATEST_MS)) for at_ms in appended_ms]
    return Coordinates(
        [message.partition() for message in received],
        [message.offset() for message in received],
        appended_ms,
    )


def coordinates_of(message: Received) -> tuple[int, int, int]:
    """Return partition, offset, and the broker's time in milliseconds since 1970 UTC."""
    [partition], [offset], [appended_ms] = all_coordinates_of([message])
    return partition, offset, appended_ms
