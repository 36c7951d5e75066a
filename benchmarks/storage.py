"""Storage: bytes an event takes on disk once merged, against `zstd -19` of the same records.

The recorded runs as they are, each session once, emitted by a logger, drained by a worker. Each table is weighed: the
log alone, with what reads need beside it, and with what proves it.
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
from trailhouse.store.derived_tables import derived_tables

LEVEL = 19
_AN_HOUR_LATER = """
    ALTER TABLE event_log MODIFY TTL toDateTime(appended_at) RECOMPRESS CODEC(ZSTD(6)) SETTINGS mutations_sync = 1
"""
_TABLES = """
    SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree' ORDER BY name
"""
_WEIGHTS = """
    SELECT table, sum(bytes_on_disk), sum(rows) FROM system.parts WHERE database = currentDatabase() AND active
    GROUP BY table
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
        tables = [name for (name,) in store.query(_TABLES).rows]
        for name in tables:
            store.command(f"OPTIMIZE TABLE {name} FINAL")
        weighed = {name: (size, rows) for name, size, rows in store.query(_WEIGHTS).rows}
        records = store.query(
            "SELECT record FROM events ORDER BY session_id, occurred_us", bytes_columns=("record",)
        ).rows
    disk_bytes, rows = weighed.pop("event_log")
    if rows != len(events):
        raise SystemExit(f"benchmarks: expected {len(events)} rows after the merge, got {rows}")
    joined = b"\n".join(record for (record,) in records)
    packed_bytes = len(zstd.compress(joined, LEVEL))
    reads_bytes = sum(weighed.pop(each.name)[0] for each in derived_tables())
    rest_bytes = sum(size for size, _ in weighed.values())
    measured = {
        "record_bytes": len(joined) / rows,
        "disk_bytes": disk_bytes / rows,
        "reads_bytes": reads_bytes / rows,
        "rest_bytes": rest_bytes / rows,
        "zstd_19_bytes": packed_bytes / rows,
        "ratio": disk_bytes / packed_bytes,
        "ratio_with_reads": (disk_bytes + reads_bytes) / packed_bytes,
        "ratio_in_all": (disk_bytes + reads_bytes + rest_bytes) / packed_bytes,
    }
    say(
        f"storage: {measured['disk_bytes']:.1f} bytes an event, {measured['ratio']:.2f} × zstd -19;"
        f" with what reads need {measured['ratio_with_reads']:.2f} ×, in all {measured['ratio_in_all']:.2f} ×"
    )
    return measured


def table(section: dict[str, Any]) -> str:
    """Return the section as a Markdown table."""
    return (
        "| | bytes an event |\n|---|---|\n"
        f"| the record, uncompressed | {section['record_bytes']:.0f} |\n"
        f"| on disk, all columns, indexes and marks | {section['disk_bytes']:.1f} |\n"
        f"| what reads need beside it | {section['reads_bytes']:.1f} |\n"
        f"| what proves it, and the ledger | {section['rest_bytes']:.1f} |\n"
        f"| `zstd -19` of the records, sorted by session | {section['zstd_19_bytes']:.1f} |\n"
        f"| ratio: the log; with reads; in all | {section['ratio']:.2f} ×; {section['ratio_with_reads']:.2f} ×;"
        f" {section['ratio_in_all']:.2f} × |"
    )
