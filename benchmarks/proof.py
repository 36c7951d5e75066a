"""What proof costs: `python -m benchmarks.proof`. By CPU time of this process, so that a busy machine says the same.

The worker's own steps, from records as a consumer gives them to ClickHouse's acknowledgement, with and without the
partitions' logs, one after the other.
"""

import datetime as dt
import statistics
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from unittest.mock import patch

from benchmarks.loading import Loaded
from benchmarks.records import ready_records
from benchmarks.worker import Pipe, new_place
from trailhouse.broker.origin import Origin
from trailhouse.consumer.batch import batch as batch_module
from trailhouse.consumer.batch.batch import Batch, Limits
from trailhouse.consumer.batch.incidents import Incidents
from trailhouse.consumer.batch.ledger import Ledger
from trailhouse.consumer.batch.log_writer import LogWriter
from trailhouse.consumer.batch.span import Span
from trailhouse.consumer.batch.writer import BatchWriter
from trailhouse.consumer.monitoring.health import Health
from trailhouse.consumer.monitoring.metrics import WorkerMetrics
from trailhouse.consumer.proof_log.blocks import CheckpointRow, checkpoint_block, leaf_block
from trailhouse.consumer.proof_log.checkpointer import Checkpointer
from trailhouse.consumer.proof_log.growth import Grown, LogState, filled, grown
from trailhouse.consumer.proof_log.leaves import ReadLeaves
from trailhouse.consumer.proof_log.proof_log import ProofLog
from trailhouse.consumer.proof_log.restore import Restored
from trailhouse.consumer.proof_log.signing import Signing
from trailhouse.consumer.proof_log.stored_log import StoredLog
from trailhouse.devstack import DevStack
from trailhouse.proof.config import ProofConfig
from trailhouse.proof.keys import create_key_file
from trailhouse.proof.origin import LogOrigin
from trailhouse.store import ClickHouse

PARTITIONS = 12
BATCH_ROWS = 16_000
READ_RECORDS = 2_000
ROUNDS = 7
BATCHES = 6
EVENTS_A_SECOND = 1_000
MINUTES = 10
RESTART_LEAVES = 100_000_000
RESTARTS = 15
ORIGIN = Origin("bench-cluster", "bench", "bench-topic")
_NO_LIMIT = Limits(10**9, 10**12)


class BareSpan(Span):
    """A span that keeps nothing but hashes, as a worker without logs would."""

    def extend(
        self, offsets: Sequence[int], appended_ms: Sequence[int], hashes: list[bytes]
    ) -> None:
        """Take in the records that follow."""
        self.last_offset = offsets[-1]
        self.last_appended_ms = appended_ms[-1]
        self.hashes += hashes
        self.records += len(hashes)


class Site:
    """A database with every table, and a log's key."""

    def __init__(self, place: Pipe, folder: Path) -> None:
        self.clickhouse = ClickHouse(place.clickhouse)
        create_key_file(folder / "log.key")
        self.signing = Signing(
            ProofConfig(log_name="bench.example/agents", key_file=str(folder / "log.key"))
        )
        self.stored = StoredLog(self.clickhouse, ORIGIN)
        self.metrics = WorkerMetrics()

    def checkpointer(self, clock: Callable[[], float] = time.monotonic) -> Checkpointer:
        """Return what signs."""
        return Checkpointer(
            self.stored, self.signing, Health(), self.metrics, now=_now, clock=clock
        )

    def bytes_of(self, *tables: str) -> int:
        """Merge *tables*, and return what they take on disk."""
        for table in tables:
            self.clickhouse.command(f"OPTIMIZE TABLE {table} FINAL")
        [[size]] = self.clickhouse.query(
            "SELECT sum(bytes_on_disk) FROM system.parts"
            " WHERE database = currentDatabase() AND table IN {tables:Array(String)} AND active",
            {"tables": list(tables)},
        ).rows
        return int(size)


def main() -> None:
    """Measure and print."""
    with _site() as site:
        batches = _batches(BATCHES)
        bare, proven = [], []
        for number in range(ROUNDS):
            # In turns, so that whatever else the machine does meets both.
            bare.append(_worker_seconds(site, batches, is_proven=False))
            proven.append(_worker_seconds(site, batches, is_proven=True))
            print(
                f"round {number + 1}: {bare[-1]:.2f} and {proven[-1]:.2f} µs an event", flush=True
            )
        added = [with_it - without for with_it, without in zip(proven, bare, strict=True)]
        print(f"worker: {statistics.median(bare):.2f} µs of CPU an event without logs")
        print(
            f"worker: {statistics.median(added):.2f} µs of CPU an event added by logs"
            f" ({min(added):.2f} to {max(added):.2f})"
        )
        events = sum(map(len, batches))
        leaves = site.bytes_of("log_leaves", "log_nodes") / events
        print(f"stored: {leaves:.1f} bytes an event in leaves and nodes")
        checkpoints = _checkpoint_bytes(site)
        print(
            f"stored: {checkpoints:.2f} bytes an event in checkpoints at {EVENTS_A_SECOND:,} a second"
        )
        wall_ms, cpu_ms = _restart_ms(site)
        print(
            f"restart: {wall_ms:.0f} ms a log of {RESTART_LEAVES:,}, {cpu_ms:.0f} ms of them CPU of the worker"
        )


def _worker_seconds(site: Site, batches: list[list[Loaded]], *, is_proven: bool) -> float:
    """Return the microseconds of CPU that an event takes."""
    plain = BatchWriter(site.clickhouse, ORIGIN, _now)
    checkpointer = site.checkpointer()
    log = ProofLog(site.stored, site.signing, checkpointer, _now)
    incidents = Incidents(Ledger(site.clickhouse, ORIGIN), ORIGIN, site.metrics, _now)
    began = time.process_time()
    with patch.object(batch_module, "Span", Span if is_proven else BareSpan):
        starts = dict.fromkeys(range(PARTITIONS), 0)
        writer = LogWriter(
            plain, log.begin(log.restored(starts, {}) if is_proven else {}), incidents
        )
        for messages in batches:
            batch = Batch(_NO_LIMIT, time.monotonic)
            for begin in range(0, len(messages), READ_RECORDS):
                batch.add(messages[begin : begin + READ_RECORDS])
            if is_proven:
                writer.enter([batch], [writer.store(batch)])
                writer.note_commit()
            else:
                plain.write(batch)
        log.close()
    seconds = time.process_time() - began
    for table in ("event_log", "log_checkpoints", "log_leaves", "log_nodes"):
        if is_proven and table in ("log_leaves", "log_nodes"):
            continue  # weighed afterwards; written again they are the same
        site.clickhouse.command(f"TRUNCATE TABLE {table}")
    return seconds / sum(map(len, batches)) * 1e6


def _checkpoint_bytes(site: Site) -> float:
    """Return the bytes that an event takes in checkpoints, at a rate, over some minutes by a clock of our own."""
    now = [0.0]
    checkpointer = site.checkpointer(lambda: now[0])
    names = [
        LogOrigin("bench.example/agents", ORIGIN.topic, ORIGIN.topic_id, n)
        for n in range(PARTITIONS)
    ]
    states = [filled(LogState(name), 10_000_000 + name.partition * 1_234_567) for name in names]
    checkpointer.take(
        {state.origin.partition: Restored(state, 0, 0, False, ()) for state in states}
    )
    for second in range(60 * MINUTES):
        now[0] = float(second)
        done, due = (EVENTS_A_SECOND * n // PARTITIONS for n in (second, second + 1))
        states = [_grown(state, due - done, second) for state in states]
        checkpointer.note(map(Grown, states))
        checkpointer.step()
    return site.bytes_of("log_checkpoints") / (EVENTS_A_SECOND * 60 * MINUTES)


def _restart_ms(site: Site) -> tuple[float, float]:
    """Return how long a worker takes to go on with a log that has many leaves, and a checkpoint for each thousand."""
    name = LogOrigin("bench.example/agents", ORIGIN.topic, ORIGIN.topic_id, PARTITIONS)
    state = filled(LogState(name), RESTART_LEAVES)
    site.clickhouse.command(
        "INSERT INTO log_checkpoints SELECT {cluster:String}, {topic:String}, {topic_id:String}, {number:UInt16}, '1',"
        " number * 1000, arrayMap(n -> toFixedString(SHA256(toString(n + number)), 32), range(12)),"
        " hex(randomString(120)), now64() FROM numbers({rows:UInt64})",
        {**ORIGIN._asdict(), "number": PARTITIONS, "rows": RESTART_LEAVES // 1_000},
    )
    checkpoint = CheckpointRow(state, site.signing.signed(state.checkpoint))
    site.stored.insert(checkpoint_block(ORIGIN, [checkpoint], _now()))
    after = range(RESTART_LEAVES, RESTART_LEAVES + 1_000)
    digests = [sha256(b"%d" % n).digest() for n in after]
    read = ReadLeaves(after.start, after.stop, after, [1] * len(after), digests)
    site.stored.insert(leaf_block(ORIGIN, [(name, read)]))
    walls, cpus = [], []
    for _ in range(RESTARTS):
        began, cpu = time.perf_counter(), time.process_time()
        log = ProofLog(site.stored, site.signing, site.checkpointer(), _now)
        found = log.restored({PARTITIONS: after.stop}, {})[PARTITIONS]
        walls.append((time.perf_counter() - began) * 1_000)
        cpus.append((time.process_time() - cpu) * 1_000)
        if (found.state, found.start) != (state, RESTART_LEAVES):
            raise SystemExit("benchmarks: expected the log to go on from what was signed")
    return statistics.median(walls), statistics.median(cpus)


def _grown(state: LogState, leaves: int, salt: int) -> LogState:
    """Return *state* with leaves that do not compress."""
    digests = [
        sha256(b"%d %d %d" % (state.origin.partition, salt, n)).digest() for n in range(leaves)
    ]
    offsets = range(state.size, state.size + leaves)
    read = ReadLeaves(state.size, state.size + leaves, offsets, [salt] * leaves, digests)
    return grown(state, [read]).state


def _batches(count: int) -> list[list[Loaded]]:
    """Return batches as fetches give them: a partition's records one after the other."""
    records = [ready.value for ready in ready_records(count * BATCH_ROWS)]
    found: list[list[Loaded]] = []
    for begin in range(0, len(records), BATCH_ROWS):
        some = [
            Loaded(number % PARTITIONS, number // PARTITIONS, records[number])
            for number in range(begin, begin + BATCH_ROWS)
        ]
        found.append(sorted(some, key=lambda each: each.place))
    return found


@contextmanager
def _site() -> Generator[Site]:
    with (
        tempfile.TemporaryDirectory(prefix="trailhouse-bench-") as folder,
        DevStack(Path(folder), parts=("kafka", "clickhouse")) as stack,
    ):
        place = new_place(stack)
        site = Site(place, Path(folder))
        try:
            yield site
        finally:
            site.clickhouse.close()


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


if __name__ == "__main__":
    main()
