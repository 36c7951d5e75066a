"""Storage: bytes an event takes on disk once merged, against `zstd -19` of the same records.

The recorded runs as they are, each session once, emitted by a logger, drained by a worker.
"""

from collections.abc import Callable
from typing import Any

from backports import zstd

from benchmarks.plan import Plan
from benchmarks.records import recorded_fields
from benchmarks.worker import new_place, wait_until, worker
from trailhouse.devstack import DevStack
from trailhouse.producer import AuditLogger, ProducerConfig
from trailhouse.store import ClickHouse

LEVEL = 19
_AN_HOUR_LATER = """
    ALTER TABLE event_log MODIFY TTL toDateTime(appended_at) RECOMPRESS CODEC(ZSTD(6)) SETTINGS mutations_sync = 1
"""


def measure(stack: DevStack, plan: Plan, say: Callable[[str], None]) -> dict[str, Any]:
    """Emit, drain, merge, and weigh."""
    del plan  # the recording is as long as it is
    place, events = new_place(stack), recorded_fields()
    with worker(stack, place) as one:
        with AuditLogger(ProducerConfig(kafka=place.kafka, service="bench")) as audit:
            for fields in events:
                audit.log(**fields)  # type: ignore[arg-type]  # read from a file
        wait_until(lambda: one.series("records_stored_total") >= len(events), "all events stored")
    with ClickHouse(place.clickhouse) as store:
        store.command(_AN_HOUR_LATER)
        store.command("OPTIMIZE TABLE event_log FINAL")
        [[disk_bytes, rows]] = store.query(
            "SELECT sum(bytes_on_disk), sum(rows) FROM system.parts"
            " WHERE database = currentDatabase() AND table = 'event_log' AND active"
        ).rows
        records = store.query(
            "SELECT record FROM events ORDER BY session_id, occurred_us", bytes_columns=("record",)
        ).rows
    if rows != len(events):
        raise SystemExit(f"benchmarks: expected {len(events)} rows after the merge, got {rows}")
    joined = b"\n".join(record for (record,) in records)
    packed_bytes = len(zstd.compress(joined, LEVEL))
    measured = {
        "record_bytes": len(joined) / rows,
        "disk_bytes": disk_bytes / rows,
        "zstd_19_bytes": packed_bytes / rows,
        "ratio": disk_bytes / packed_bytes,
    }
    say(f"storage: {measured['disk_bytes']:.1f} bytes an event, {measured['ratio']:.2f} × zstd -19")
    return measured


def table(section: dict[str, Any]) -> str:
    """Return the section as a Markdown table."""
    return (
        "| | bytes an event |\n|---|---|\n"
        f"| the record, uncompressed | {section['record_bytes']:.0f} |\n"
        f"| on disk, all columns, indexes and marks | {section['disk_bytes']:.1f} |\n"
        f"| `zstd -19` of the records, sorted by session | {section['zstd_19_bytes']:.1f} |\n"
        f"| ratio | {section['ratio']:.2f} × |"
    )
