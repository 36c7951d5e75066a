"""The worker against a real broker and engine: what goes in is stored or quarantined, and counted."""

import datetime as dt
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trailhouse.consumer.monitoring.health import WARNING_KINDS
from trailhouse.consumer.monitoring.incident import KINDS
from trailhouse.consumer.monitoring.metrics import METRICS, PLACE_KINDS
from trailhouse.schemas import AuditEvent, KafkaConfig, decode
from trailhouse.store import ClickHouseConfig
from waiting import DEADLINE_SECONDS, eventually
from worker_process import WorkerSite, place, some_events

pytestmark = pytest.mark.cluster

NOISE = bytes(range(256)) * 4_000
EVENT_ID = "019a8c5e-7d2b-7c3f-9a41-0f6f8f0c2b11"
BAD_RECORDS: list[bytes | None] = [
    None,
    b"",
    NOISE,
    b"{",
    b"[]",
    b"null",
    b"42",
    b"{}",
    b'{"type":"run_started"}',
    b'{"event_id":"no-uuid","occurred_at":"2026-01-01T00:00:00Z","session_id":"s","type":"a"}',
    b'{"event_id":"%s","occurred_at":"2026-01-01T00:00:00","session_id":"s","type":"a"}'
    % EVENT_ID.encode(),
    b'{"event_id":"%s","occurred_at":"2026-01-01T00:00:00Z","session_id":"","type":"a"}'
    % EVENT_ID.encode(),
    b'{"event_id":"%s","occurred_at":"2026-01-01T00:00:00Z","session_id":"s","type":"A B"}'
    % EVENT_ID.encode(),
    b'{"event_id":"%s","occurred_at":"2026-01-01T00:00:00Z","session_id":"\xff","type":"a"}'
    % EVENT_ID.encode(),
    b'{"event_id":"%s","occurred_at":"2026-01-01T00:00:00Z","session_id":"s","session_id":"t","type":"a"}'
    % EVENT_ID.encode(),
    b'{"data":{"a":{"b":1,"b":2}},"event_id":"%s","occurred_at":"2026-01-01T00:00:00Z","session_id":"s","type":"a"}'
    % EVENT_ID.encode(),
    b"[" * 100_000,
]


@pytest.fixture
def here(kafka: KafkaConfig, database: ClickHouseConfig, tmp_path: Path) -> Iterator[WorkerSite]:
    """Return a fresh topic and database, and an empty folder for workers to run in."""
    folder = tmp_path / "cwd"
    folder.mkdir()
    with place(kafka, database, folder) as ready:
        yield ready


def test_every_series_agrees_with_what_was_sent(here: WorkerSite) -> None:
    """N good and M bad records are N stored and M quarantined, and every series says so."""
    worker = here.start()
    worker.wait_until_ready()
    eventually(
        lambda: {"group_lag_records/0", "lag_records/3"} <= set(worker.series()),
        "the first looks at the group and at the partitions",
    )
    before = worker.series()
    good = some_events(300)
    here.emit(good)
    here.send(BAD_RECORDS)
    total = len(good) + len(BAD_RECORDS)
    eventually(
        lambda: here.count() == len(good) and here.count("quarantine") == len(BAD_RECORDS),
        f"{len(good)} events and {len(BAD_RECORDS)} quarantined records",
    )
    eventually(
        lambda: worker.series()["records_quarantined_total"] == len(BAD_RECORDS),
        "the commit's series",
    )
    eventually(lambda: worker.series()["records_stored_total"] == len(good), "the commit's series")
    series = worker.series()
    lag = {name: value for name, value in series.items() if name.startswith("lag_records/")}
    commits, inserts = series["commits_total"], series["batch_rows_count"]
    ledger = here.rows(
        "SELECT sum(stored_rows), sum(quarantined_rows), count() FROM batch_ledger FINAL"
    )[0]
    record_bytes = sum(len(event.record) for event in good) + sum(
        len(record or b"") for record in BAD_RECORDS
    )

    assert set(before) == set(series), "every series exists from the start"
    assert lag == {f"lag_records/{number}": 0 for number in range(here.kafka.partitions)}
    assert ledger[:2] == (len(good), len(BAD_RECORDS))
    assert 1 <= commits <= ledger[2]
    assert commits <= inserts, "a commit is of one batch or several"
    assert series["insert_seconds_sum"] > 0
    assert abs(series["last_commit_timestamp_seconds"] - dt.datetime.now(dt.UTC).timestamp()) < 60
    of_partitions = {metric.name for metric in METRICS if metric.label == "partition"}
    changing = {
        "insert_seconds_sum",
        "batch_age_seconds",
        "wanted_batch_age_seconds",
        "parts_share",
        "last_commit_timestamp_seconds",
        "time_to_loss_seconds",
        "last_checkpoint_timestamp_seconds",
        "last_anchor_timestamp_seconds",
        "group_members",  # as it was when the group was looked at
        *(name for name in series if name.split("/")[0] in of_partitions),
    }
    assert {name: value for name, value in series.items() if name not in changing} == {
        "records_consumed_total": total,
        "records_stored_total": len(good),
        "records_quarantined_total": len(BAD_RECORDS),
        "commits_total": commits,
        "batches_dropped_total": 0,
        "insert_failures_total": 0,
        **{f"incidents_total/{kind}": 0 for kind in KINDS},
        **{f"warnings/{kind}": 0 for kind in WARNING_KINDS},
        "sender_timed_records_total": 0,
        "unknown_group_members": 0,
        "missing_events": 0,
        "unsigned_checkpoints": 0,
        **{f"anchor_failures_total/{kind}": 0 for kind in PLACE_KINDS},
        "unanchored_logs": 0,
        "missing_cosignatures": 0,
        "gathered_inserts": 0,  # one worker alone gathers nothing
        "insert_seconds_count": inserts,
        "batch_rows_count": inserts,
        "batch_rows_sum": total,
        "batch_bytes_count": inserts,
        "batch_bytes_sum": record_bytes,
        "partitions": here.kafka.partitions,
        "ready": 1,
    }
    assert {name.split("/")[0].removesuffix("_sum").removesuffix("_count") for name in series} == {
        metric.name for metric in METRICS
    }


def test_bad_records_are_quarantined_byte_for_byte(here: WorkerSite) -> None:
    """Any bytes at all are kept with key, headers, place and reason, and their batch goes on."""
    good = some_events(2)
    here.send([good[0].record, *BAD_RECORDS, good[1].record])
    here.start()
    eventually(
        lambda: here.count("quarantine") == len(BAD_RECORDS), "every bad record in quarantine"
    )
    eventually(lambda: here.count() == len(good), "the good ones, which are stored after them")
    rows = here.rows(
        "SELECT record, key, kafka_partition, kafka_offset, arrayMap(header -> (header.1, hex(header.2)), headers),"
        " reason, kafka_topic, kafka_topic_id, kafka_cluster"
        " FROM quarantine ORDER BY kafka_offset",
        "record",
    )

    assert [row[0] for row in rows] == BAD_RECORDS
    assert [(row[1], row[2], row[3]) for row in rows] == [
        ("k", 0, offset) for offset in range(1, len(BAD_RECORDS) + 1)
    ]
    assert all(row[4] == [("h", "FF00"), ("n", None)] for row in rows)
    assert all(row[5] for row in rows), "a reason for each"
    assert {row[6] for row in rows} == {here.kafka.topic}
    assert all(row[7] and row[8] for row in rows), "the ids of topic and cluster"
    assert here.stored_records() == sorted(event.record for event in good)


def test_what_is_new_or_far_away_is_stored_whole(here: WorkerSite) -> None:
    """Unknown fields, a newer schema, a custom type and times from year 1 to 9999 fit into one batch."""
    utc = dt.UTC
    events = [
        AuditEvent(
            type="custom.type_1",
            session_id="s",
            schema_version=7,
            unknown_fields={"later": {"x": [1, None]}},
        ),
        AuditEvent(
            type="run_started", session_id="s", occurred_at=dt.datetime(1, 1, 1, tzinfo=utc)
        ),
        AuditEvent(
            type="run_started",
            session_id="s",
            occurred_at=dt.datetime(9999, 12, 31, 23, 59, 59, 999_999, utc),
        ),
        *(
            AuditEvent(
                type="run_started",
                session_id="s",
                occurred_at=dt.datetime(year, month, 1, tzinfo=utc),
            )
            for year in range(2019, 2031)
            for month in range(1, 13)
        ),
        AuditEvent(
            type="run_completed",
            session_id="s",
            data={"cost_usd": 0.1, "big": 10**300, "duration_ms": 5},
        ),
    ]
    odd_spelling = (
        b'{ "type":"a", "session_id":"s",\n "event_id":"019A8C5E-7D2B-7C3F-9A41-0F6F8F0C2B11",'
        b' "occurred_at":"2026-01-01T02:00:00+02:00", "schema_version": 99999, "new":1.50 }'
    )
    here.send([*(event.record for event in events), odd_spelling])
    here.start()
    eventually(lambda: here.count() == len(events) + 1, "every event in the view")
    records = [
        record
        for (record,) in here.rows("SELECT record FROM events ORDER BY kafka_offset", "record")
    ]

    assert records == [*(event.record for event in events), odd_spelling]
    assert [decode(record) for record in records[:-1]] == events
    assert here.count("quarantine") == 0
    first, last = here.rows(
        "SELECT occurred_us FROM events WHERE kafka_offset IN (1, 2) ORDER BY kafka_offset"
    )
    assert first[0] == -62_135_596_800_000_000
    assert last[0] == 253_402_300_799_999_999


def test_two_workers_share_the_partitions(here: WorkerSite) -> None:
    """A second worker takes half of the partitions; what flows meanwhile is seen once."""
    first = here.start()
    first.wait_until_ready()
    events = some_events(2_000, sessions=40)
    here.emit(events[:1_000])
    second = here.start()
    second.wait_until_ready()
    eventually(
        lambda: first.series()["partitions"] == 2 and second.series()["partitions"] == 2,
        "two partitions each",
    )
    here.emit(events[1_000:])
    eventually(lambda: here.count() == len(events), "every event in the view")

    assert here.stored_records() == sorted(event.record for event in events)
    assert second.end() == 0
    eventually(
        lambda: first.series()["partitions"] == 4, "all partitions with the worker that stayed"
    )


@pytest.mark.long
@pytest.mark.parametrize(
    "command",
    [
        pytest.param([sys.executable, "-m", "trailhouse.cli", "worker"], id="trailhouse"),
        pytest.param(
            [sys.executable, "-m", "faust", "-A", "trailhouse.consumer.host.app", "worker"],
            id="faust",
        ),
    ],
)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_both_commands_run_the_same_worker(
    here: WorkerSite, command: list[str], number: signal.Signals
) -> None:
    """Both bind 127.0.0.1 alone, store, exit 0 on a signal, and leave no file in the current folder."""
    worker = here.start(command)
    worker.wait_until_ready()
    here.emit(some_events(10))
    worker.wait_for("records_stored_total", 10)

    assert addresses_of(worker.port) == {"0100007F"}, "127.0.0.1 and no other address"
    assert worker.end(number) == 0
    assert list(here.folder.iterdir()) == []
    assert "Traceback" not in worker.log + worker.output


def test_faust_takes_the_port_of_its_own_command_line(here: WorkerSite) -> None:
    """`faust worker --web-port` goes before the setting."""
    environment = here.environment()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "faust",
        "-A",
        "trailhouse.consumer.host.app",
        "worker",
        "--web-port",
        str(port),
    ]
    worker = here.start(command, worker_web_port=environment["TRAILHOUSE_WORKER_WEB_PORT"])
    worker.port = port
    worker.wait_until_ready()


def test_a_port_in_use_is_one_line(here: WorkerSite) -> None:
    """A worker whose port is taken exits 1 and names the port and the way out."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        worker = here.start(worker_web_port=taken.getsockname()[1])
        code = worker.process.wait(DEADLINE_SECONDS)

    assert code == 1
    assert f"127.0.0.1:{worker.port} cannot be used" in worker.log
    assert len(worker.log.strip().splitlines()) == 1


def addresses_of(port: int) -> set[str]:
    """Return the local addresses, as the kernel writes them, that listen on *port*."""
    lines: list[list[str]] = []
    for table in ("tcp", "tcp6"):
        lines += [line.split() for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]]
    listening: list[Any] = [line[1].split(":") for line in lines if line[3] == "0A"]
    return {address for address, number in listening if int(number, 16) == port}
