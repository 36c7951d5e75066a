"""Where the time goes: each step of the worker, the producer, the engine and a session read, timed alone.

A profile by direct calls, on the recorded events: a profiler that samples cannot tell a microsecond from its
neighbours. A step is timed in the thread that runs it, by its CPU time; the engine and a read by the clock.
"""

import datetime as dt
import gc
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import Consumer

from benchmarks.environments import FOLDER
from benchmarks.loading import ORIGIN, load
from benchmarks.plan import Plan
from benchmarks.records import recorded_fields
from benchmarks.topics import fill
from benchmarks.worker import Pipe, new_place
from trailhouse.broker.options import consumer_options
from trailhouse.consumer.batch.blocks import event_block
from trailhouse.consumer.batch.promoted import promoted_columns
from trailhouse.consumer.batch.rows import EventRows, event_columns
from trailhouse.consumer.batch.span import all_coordinates_of
from trailhouse.consumer.host.process import GC_THRESHOLDS
from trailhouse.devstack import DevStack
from trailhouse.producer import ProducerConfig
from trailhouse.producer.spool.frame import frame
from trailhouse.producer.spool.journal import Inbox
from trailhouse.producer.spool.metadata import Destination
from trailhouse.producer.spool.writer import Spool
from trailhouse.query import AuditReader
from trailhouse.query.session_log.append_order import STORED_COLUMNS
from trailhouse.schemas import Source, decode
from trailhouse.schemas.codec import RECORDS_AT_ONCE, decode_all
from trailhouse.schemas.draft import EventDraft
from trailhouse.schemas.fast import is_json_form, new_record
from trailhouse.schemas.record import Envelope, encode_lines
from trailhouse.schemas.record_hash import record_hashes, record_keys
from trailhouse.schemas.uuid7 import uuid7
from trailhouse.store import ClickHouse
from trailhouse.store.block import Block
from trailhouse.store.native_format import encode

BATCH_ROWS = 16_000
BATCHES = 8
REPEATS = 5
USUAL_THRESHOLDS = gc.get_threshold()
READS = 100
Say = Callable[[str], None]


def measure(stack: DevStack, plan: Plan, say: Say) -> dict[str, Any]:
    """Time the steps of all four."""
    del plan  # a step costs what it costs
    place = new_place(stack)
    fill(place.kafka, BATCHES * BATCH_ROWS)
    worker, blocks = _worker(place)
    say("steps: the worker's are timed")
    producer = _producer()
    engine = _engine(place, blocks)
    say("steps: the engine's are timed")
    read = _read(new_place(stack, topic=place.kafka.topic), say)
    return {
        "worker, µs an event": worker,
        "producer, µs an event": producer,
        "engine, ms a batch of 16,000": engine,
        "session of 20 among 1,000,000, ms": read,
    }


class Clock:
    """Adds up the CPU time of this thread by step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def __call__(self, step: str, run: Callable[..., Any], *arguments: Any) -> Any:
        """Run and time *step*."""
        began = time.thread_time()
        result = run(*arguments)
        self.seconds[step] = self.seconds.get(step, 0.0) + time.thread_time() - began
        return result

    def microseconds(self, events: int) -> dict[str, float]:
        """Return what each step took for an event."""
        return {step: seconds / events * 1e6 for step, seconds in self.seconds.items()}


def _values(messages: list[Any]) -> list[bytes]:
    return [message.value() for message in messages]


def _keys(records: list[bytes]) -> list[bytes]:
    return record_keys(record_hashes(records))


def _each(run: Callable[[Any], Any], values: list[Any]) -> None:
    for value in values:
        run(value)  # and let it go, as a caller does


def _worker(place: Pipe) -> tuple[dict[str, float], list[Block]]:
    clock, blocks = Clock(), list[Block]()
    gc.set_threshold(*GC_THRESHOLDS)  # as in a worker
    decode_lines = msgspec.json.Decoder(Envelope).decode_lines
    for messages in _read_batches(place, clock):
        rows = EventRows()
        for begin in range(0, len(messages), RECORDS_AT_ONCE):
            some = messages[begin : begin + RECORDS_AT_ONCE]
            records = clock("values of the messages", _values, some)
            keys = clock("SHA-256", _keys, records)
            coordinates = clock("partition, offset, time", all_coordinates_of, some)
            envelopes = clock("decode and check", decode_all, records)
            lines = b"\n".join((*records, b""))
            again = clock("… of it decode", decode_lines, lines)
            clock("… of it encode again, to compare", encode_lines, again)
            columns = clock("columns", event_columns, envelopes, records, keys, coordinates)
            data = [envelope.data for envelope in envelopes]
            clock("… of it promoted columns", promoted_columns, data)
            clock("encode Native", rows.extend, columns)
        block = event_block(ORIGIN, rows)
        clock("join", encode, block)
        blocks.append(block)
    gc.set_threshold(*USUAL_THRESHOLDS)
    return clock.microseconds(BATCHES * BATCH_ROWS), blocks


def _read_batches(place: Pipe, clock: Clock) -> Iterator[list[Any]]:
    options = consumer_options(place.kafka, "bench-steps") | {"auto.offset.reset": "earliest"}
    consumer = Consumer(options)
    consumer.subscribe([place.kafka.topic])
    held: list[Any] = []
    for _ in range(BATCHES):
        while len(held) < BATCH_ROWS:
            held += clock("consume", consumer.consume, 2_000, 0.5)
        yield held[:BATCH_ROWS]
        del held[:BATCH_ROWS]
    consumer.close()


def _producer() -> dict[str, float]:
    clock, events = Clock(), recorded_fields()

    def new(fields: dict[str, Any]) -> tuple[str, bytes] | None:
        return new_record(EventDraft(**fields), source)

    source = Source(host="host", pid=1, producer_id=uuid7(), seq=1, service="bench")
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        target = Destination(
            bootstrap_servers="none", topic="none", service="bench", host="host", pid=1
        )
        inbox = Inbox()
        spool = Spool(Path(folder), target, ProducerConfig(), inbox)

        def append(record: bytes) -> None:
            newest = spool.newest()
            spool.append(newest, newest.seq + 1, "", b"session", record)

        for _ in range(REPEATS):
            clock("record", _each, new, events)
            clock("… of it id", _each, lambda _: uuid7(), events)
            clock("… of it time", _each, lambda _: dt.datetime.now(dt.UTC), events)
            clock(
                "… of it look at data", _each, lambda fields: is_json_form(fields["data"]), events
            )
            records = [made[1] for made in map(new, events) if made is not None]
            envelopes = [decode_all([record]) for record in records]
            flat = [each[0] for each in envelopes if each is not None]
            clock("… of it encode", encode_lines, flat)
            clock("spool", _each, append, records)
            clock("… of it frame", _each, lambda record: frame(1, b"session", record), records)
        spool.discard()
    return clock.microseconds(REPEATS * len(events))


_VARIANTS = {
    "event_log": (),
    "… without fsync": (
        ("fsync_after_insert = 1", "fsync_after_insert = 0"),
        ("fsync_part_directory = 1", "fsync_part_directory = 0"),
    ),
    "… record by ZSTD(6) at once": (("`record` String", "`record` String CODEC(ZSTD(6))"),),
    "… all by LZ4": (("ZSTD(1)", "LZ4"),),
    "… without the index of sessions": (("by_session session_id", "by_session tenant_id"),),
    "… without partitions by year": (("\nPARTITION BY ", "\n-- "),),
}


def _engine(place: Pipe, blocks: list[Block]) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in _VARIANTS}
    with ClickHouse(place.clickhouse) as store:
        [[ddl]] = store.query("SHOW CREATE TABLE event_log").rows
        for number, changes in enumerate(_VARIANTS.values()):
            sql = str(ddl).replace(".event_log", f".variant_{number}", 1)
            for old, new in changes:
                if old not in sql:
                    raise SystemExit(f"benchmarks: event_log has no {old!r}")
                sql = sql.replace(old, new)
            store.command(sql)
        for block in blocks:
            for number, name in enumerate(_VARIANTS):
                began = time.perf_counter()
                store.insert(msgspec.structs.replace(block, table=f"variant_{number}"))
                times[name].append(time.perf_counter() - began)
    return {name: sorted(each)[len(each) // 2] * 1e3 for name, each in times.items()}


def _read(place: Pipe, say: Say) -> dict[str, float]:
    load(place, 1_000_000, say)
    where = "FROM events WHERE session_id = {session:String}"
    steps = {
        "a statement that reads nothing": "SELECT {session:String}",
        "one column": f"SELECT record {where}",
        "what a read takes": f"SELECT {STORED_COLUMNS} {where}",
        "all columns": f"SELECT * {where}",
    }
    found: dict[str, float] = {}
    with ClickHouse(place.clickhouse) as store, AuditReader(config=place.clickhouse) as reader:
        for name, sql in steps.items():
            found[name] = _median_ms(partial(_ask, store, sql))
        found["get_audit_log"] = _median_ms(reader.get_audit_log)
        records = [event.record for event in reader.get_audit_log("s20-7")]
        found["… of it hash and decode"] = _median_ms(
            lambda _: [(sha256(record).digest(), decode(record)) for record in records]
        )
    return found


def _ask(store: ClickHouse, sql: str, session: str) -> object:
    return store.query(sql, {"session": session}, bytes_columns=("record",))


def _median_ms(read: Callable[[str], object]) -> float:
    times: list[float] = []
    for number in range(READS):
        began = time.perf_counter()
        read(f"s20-{number * 7 % 1_900}")
        times.append((time.perf_counter() - began) * 1e3)
    return sorted(times)[READS // 2]


def table(section: dict[str, Any]) -> str:
    """Return the section as Markdown tables."""
    parts: list[str] = []
    for title, steps in section.items():
        if isinstance(steps, dict) and title != "on":
            parts += [f"| {title} | |", "|---|---|"]
            parts += [f"| {step} | {value:.2f} |" for step, value in steps.items()]
            parts.append("")
    return "\n".join(parts).rstrip()
