"""Fills `event_log` with sessions of known sizes: the first million by the worker's own steps, more by SQL."""

import datetime as dt
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec

from benchmarks.records import ready_records
from benchmarks.worker import Pipe
from trailhouse.broker.origin import Origin
from trailhouse.consumer.batch.batch import Batch, Limits
from trailhouse.consumer.batch.writer import BatchWriter
from trailhouse.store import ClickHouse

SESSION_SIZES = (20, 200, 5_000)
SHARES = (0.3, 0.4, 0.3)
"""How much of all events stands in sessions of each size."""
BATCH_ROWS = 16_000
MERGED_SECONDS = 240.0
PARTITIONS = 12
ORIGIN = Origin("bench-cluster", "bench", "bench-topic")


class Loaded(NamedTuple):
    """A record on its way in, as a consumer would give it."""

    place: int
    at: int
    record: bytes

    def partition(self) -> int:
        """Return its partition."""
        return self.place

    def offset(self) -> int:
        """Return its offset."""
        return self.at

    def timestamp(self) -> tuple[int, int]:
        """Return when the broker took it."""
        return 1, 1_790_000_000_000 + self.at

    def key(self) -> bytes | None:
        """Return nothing: no row holds it."""
        return None

    def value(self) -> bytes | None:
        """Return its bytes."""
        return self.record

    def headers(self) -> object:
        """Return nothing: no row holds them."""
        return None


def session_names(events: int) -> Iterator[str]:
    """Yield the session of each event: ``s20-0`` twenty times, and so on, sizes mixed."""
    counts = [int(events * share / size) for size, share in zip(SESSION_SIZES, SHARES, strict=True)]
    turns = max(counts)
    done = [0] * len(counts)
    for turn in range(turns):
        for index, size in enumerate(SESSION_SIZES):
            while done[index] * turns < counts[index] * (turn + 1):
                yield from (f"s{size}-{done[index]}" for _ in range(size))
                done[index] += 1


def load(place: Pipe, events: int, say: Callable[[str], None]) -> int:
    """Write about *events* events; return how many."""
    with ClickHouse(place.clickhouse) as store:
        writer = BatchWriter(store, ORIGIN, lambda: dt.datetime.now(dt.UTC))
        batch = Batch(Limits(BATCH_ROWS, 1 << 30), time.monotonic)
        waiting: list[Loaded] = []
        offsets = [0] * PARTITIONS
        count = 0
        for name, ready in zip(session_names(events), ready_records(events), strict=False):
            partition = hash(name) % PARTITIONS
            record = ready.value.replace(
                b'"session_id":"' + ready.key, b'"session_id":"' + name.encode(), 1
            )
            waiting.append(Loaded(partition, offsets[partition], record))
            offsets[partition] += 1
            count += 1
            if len(waiting) == BATCH_ROWS:
                batch.add(waiting)
                writer.write(batch)
                batch, waiting = Batch(Limits(BATCH_ROWS, 1 << 30), time.monotonic), []
        if waiting:
            batch.add(waiting)
            writer.write(batch)
        say(f"sessions: {count:,} events loaded")
    return count


_COPY = """
    INSERT INTO event_log ({columns})
    SELECT {values} FROM (
        SELECT *, concat(session_id, '{mark}{turn}') AS new_session, generateUUIDv4() AS new_id,
            replaceOne(
                replaceOne(record, concat('"session_id":"', session_id), concat('"session_id":"', new_session)),
                toString(event_id), toString(new_id)
            ) AS new_record
        FROM event_log WHERE startsWith(session_id, 's') AND position(session_id, '{mark}') = 0
    ) SETTINGS max_execution_time = 0
"""
_CHANGED = {
    "session_id": "new_session",
    "event_id": "new_id",
    "record": "new_record",
    "record_key": "substring(SHA256(new_record), 1, 16)",
    "kafka_offset": "kafka_offset + {turn} * {distance}",
}


def multiply(
    place: Pipe, times: int, say: Callable[[str], None], *, mark: str, distance: int
) -> None:
    """Copy all events *times* more times within ClickHouse: other sessions, ids, records and hashes.

    *mark*, a letter that no name of `session_names` has yet, tells copies from what is copied; *distance* is
    that of their offsets.
    """
    with ClickHouse(msgspec.structs.replace(place.clickhouse, timeout_seconds=600.0)) as store:
        found = store.query(
            "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = 'event_log'"
            " AND default_kind NOT IN ('ALIAS', 'MATERIALIZED')"
        ).rows
        names = [name for (name,) in found]
        for turn in range(1, times + 1):
            values = ", ".join(_CHANGED.get(str(name), str(name)) for name in names)
            sql = _COPY.replace("{columns}", ", ".join(names)).replace("{values}", values)
            for name, value in (("turn", turn), ("mark", mark), ("distance", distance)):
                sql = sql.replace("{" + name + "}", str(value))
            store.command(sql)
            say(f"sessions: copy {turn} of {times} made")
        _wait_merged(store, say)


def _wait_merged(store: ClickHouse, say: Callable[[str], None]) -> None:
    """Wait for the merges that so much at once sets off, which no reader of a log that grows would meet."""
    began = time.monotonic()
    while (seconds := time.monotonic() - began) < MERGED_SECONDS:
        [[running]] = store.query(
            "SELECT count() FROM system.merges WHERE database = currentDatabase()"
        ).rows
        if not running:
            break
        time.sleep(0.5)
    say(f"sessions: merged for {seconds:.0f} s more")
