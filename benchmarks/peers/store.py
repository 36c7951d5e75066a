"""What the peers of the drain share: options, the hand-written way from a record to columns, and the tally."""

# mypy: ignore-errors
# pyright: basic

import argparse
import datetime as dt
import hashlib
import json
import os
import resource
import time
from pathlib import Path

import clickhouse_connect
import msgspec

BATCH_ROWS = 16_000
BATCH_SECONDS = 0.5
INSERT_SETTINGS = {"async_insert": 0, "wait_end_of_query": 1}
COLUMNS = [
    "session_id", "tenant_id", "event_id", "record_key", "type", "run_id", "agent_id", "occurred_us", "producer_id",
    "seq", "model", "tool_name", "error_code", "input_tokens", "output_tokens", "total_tokens", "cost_usd",
    "duration_ms", "record", "kafka_partition", "kafka_offset", "appended_at",
]  # fmt: skip
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class Source(msgspec.Struct, frozen=True):
    """The part of a record's source that becomes columns."""

    producer_id: str = ""
    seq: int | None = None


class Event(msgspec.Struct):
    """The part of a record that becomes columns."""

    event_id: str
    type: str
    session_id: str
    occurred_at: dt.datetime
    tenant_id: str = ""
    run_id: str = ""
    agent_id: str = ""
    source: Source = Source()
    data: dict = {}


decode = msgspec.json.Decoder(Event).decode


def row_of(record: bytes, partition: int, offset: int, appended_ms: int) -> tuple:
    """Return the values of COLUMNS."""
    event = decode(record)
    get = event.data.get
    return (
        event.session_id, event.tenant_id, event.event_id, hashlib.sha256(record).digest()[:16], event.type,
        event.run_id, event.agent_id, int((event.occurred_at - _EPOCH).total_seconds() * 1e6),
        event.source.producer_id, event.source.seq, get("model") or "", get("tool_name") or "",
        str(get("error_code") or ""), get("input_tokens"), get("output_tokens"), get("total_tokens"), get("cost_usd"),
        get("duration_ms"), record, partition, offset, appended_ms,
    )  # fmt: skip


def arguments() -> argparse.Namespace:
    """Return what the harness passes to a peer."""
    options = argparse.ArgumentParser()
    for name in ("bootstrap", "topic", "group", "url", "user", "password", "database"):
        options.add_argument(f"--{name}", required=True)
    options.add_argument("--events", type=int, required=True)
    options.add_argument("--seconds", type=float, default=BATCH_SECONDS, help="a batch's age")
    return options.parse_args()


class Table:
    """Inserts rows by column into ``peer_events``, and says when all have arrived."""

    def __init__(self, given: argparse.Namespace, table: str = "peer_events") -> None:
        self._events = given.events
        self._table = table
        self._stored = 0
        self._began: tuple[float, float] | None = None
        self.client = clickhouse_connect.get_client(
            dsn=given.url,
            username=given.user,
            password=given.password,
            database=given.database,
            settings=INSERT_SETTINGS,
            compress=False,
        )

    def began(self) -> None:
        """Note the first record."""
        if self._began is None:
            self._began = time.monotonic(), _cpu_seconds()

    def insert(self, rows: list[tuple]) -> bool:
        """Store *rows*; tell whether these were the last."""
        if rows:
            self.client.insert(
                self._table,
                list(zip(*rows, strict=True)),
                column_names=COLUMNS,
                column_oriented=True,
            )
        return self.count(len(rows))

    def count(self, rows: int) -> bool:
        """Note that *rows* more are stored; tell whether these were the last, and print the tally."""
        self._stored += rows
        if self._stored < self._events:
            return False
        began_at, began_cpu = self._began
        tally = {
            "seconds": time.monotonic() - began_at,
            "cpu_seconds": _cpu_seconds() - began_cpu,
            "peak_mb": _peak_mb(),
        }
        # Not by print: some frameworks send that to their log.
        os.write(1, b"\n" + json.dumps(tally).encode() + b"\n")
        return True


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _peak_mb() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    [peak] = [line for line in lines if line.startswith("VmHWM:")]
    return int(peak.split()[1]) * 1_024 / 1e6
