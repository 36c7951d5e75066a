"""Faults 9, 11, 12, 29 and 30: ClickHouse is away, full, refuses a row, forgets, or is killed."""

import os
import signal

import pytest

from cluster import Cluster
from fault_proxy import Action, clickhouse_error, http_proxy, is_insert
from fault_scene import Scene, numbered, pause, pid_of, stack_of
from oracle import resident_bytes
from tcp_gate import gate
from trailhouse.schemas import AuditEvent
from waiting import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.faults]

SHORT_POLLS = {"max.poll.interval.ms": 7_000}
"""Stands for Kafka's 5 minutes: whoever does not poll for so long is thrown out of the group."""
OUTAGE_SECONDS = 20.0
MAX_GROWTH_BYTES = 60_000_000
REFUSALS = {
    "MEMORY_LIMIT_EXCEEDED": (
        241, "(total) memory limit exceeded: would use 3.51 GiB, maximum: 3.50 GiB",
    ),
    "TABLE_IS_READ_ONLY": (242, "Table is in readonly mode"),
    "NOT_ENOUGH_SPACE": (243, "Cannot reserve 1.00 MiB, not enough space"),
    "TOO_MANY_PARTS": (
        252,
        "Too many parts (3000 with average size of 1.00 MiB) in table 'event_log'. Merges are processing"
        " significantly slower than inserts",
    ),
    "TIMEOUT_EXCEEDED": (159, "Timeout exceeded: elapsed 24.001 seconds, maximum: 24"),
    "SERVER_OVERLOADED": (745, "CPU is overloaded"),
    "CANNOT_ALLOCATE_MEMORY": (173, "Allocator: Cannot malloc 1.00 MiB., errno: 12"),
    "STD_EXCEPTION": (1001, "std::system_error: Resource temporarily unavailable"),
    "FILE_DOESNT_EXIST": (107, "File /var/lib/clickhouse/tmp_insert/data.bin does not exist"),
    "AN_ERROR_OF_TOMORROW": (54321, "Nobody knows it yet"),
}  # fmt: skip


def test_fault_09_clickhouse_away_under_load(stage: Scene) -> None:
    """ClickHouse away for three times `max.poll.interval.ms`: no rebalance, no memory, no loss."""
    with gate(stage.place.database.url) as way:
        worker = stage.worker(
            clickhouse_url=way.url, worker_batch_bytes=2_000_000, consumer_options=SHORT_POLLS
        )
        worker.wait_until_ready()
        load = stage.load(rate=800, body_bytes=2_000)
        load.wait_for(300)
        way.shut()
        pause(OUTAGE_SECONDS / 3)
        filled = resident_bytes(worker.process.pid)
        pause(OUTAGE_SECONDS * 2 / 3)
        grown = resident_bytes(worker.process.pid) - filled
        load.end()
        way.open()
        stage.settle(90)
        assert worker.series()["batches_dropped_total"] == 0, "expected no rebalance"
        assert grown < MAX_GROWTH_BYTES, f"expected flat memory, it grew by {grown} bytes"


@pytest.mark.parametrize("name", REFUSALS)
def test_fault_11_refusals_that_pass(stage: Scene, name: str) -> None:
    """What ClickHouse refuses for want of room or time is repeated: never quarantined, never committed before."""
    code, text = REFUSALS[name]
    refusal = clickhouse_error(code, name, text)
    with http_proxy(stage.place.database.url) as proxy:
        worker = stage.worker(clickhouse_url=proxy.url)
        worker.wait_until_ready()
        proxy.rule = lambda query: refusal if is_insert(query) else "pass"
        stage.emit(numbered(300))
        eventually(lambda: proxy.refused >= 3, "refused inserts")
        assert stage.committed() == 0, "expected no commit of what was refused"
        turns: list[str] = []

        def two_of_three(query: str) -> Action:
            turns.append(query)
            return refusal if is_insert(query) and len(turns) % 3 else "pass"

        proxy.rule = two_of_three
        stage.emit(numbered(300, start=300))
        eventually(lambda: len(turns) >= 6, "inserts that are refused at times")
        proxy.rule = lambda _: "pass"
        stage.settle()
        assert stage.place.count("quarantine") == 0, "expected nothing in quarantine"


def test_fault_12_one_row_that_is_always_refused(stage: Scene) -> None:
    """A row that ClickHouse refuses for good is found and quarantined; the rest of its batch is stored."""
    stage.command("ALTER TABLE event_log ADD CONSTRAINT no_seven CHECK run_id != 'seven'")
    bad = AuditEvent(type="message_sent", session_id="s1", run_id="seven", data={"n": -1})
    stage.emit([*numbered(100), bad, *numbered(100, start=101)])
    stage.worker(worker_freshness_seconds=2)
    view = stage.settle()
    assert len(view) == 200, f"expected the other 200 events, got {len(view)}"
    assert stage.place.rows("SELECT record FROM quarantine", "record") == [(bad.record,)]


def test_fault_29_clickhouse_restored_from_an_older_backup(stage: Scene) -> None:
    """Tables that have forgotten what was committed: it is noticed, said, and read again from Kafka."""
    stage.emit(numbered(400))
    first = stage.worker()
    stage.oracle.wait_for_no_lag(40)
    backup = stage.place.rows(
        "SELECT kafka_partition, max(last_offset) FROM batch_ledger GROUP BY kafka_partition"
    )
    stage.emit(numbered(400, start=400))
    stage.oracle.wait_for_no_lag(40)
    assert first.end() == 0
    stage.oracle.commits_may_go_back = True
    for partition, last in backup:
        for table, column in (
            ("event_log", "kafka_offset"), ("event_quarantine", "kafka_offset"), ("batch_ledger", "first_offset"),
        ):  # fmt: skip
            stage.command(
                f"ALTER TABLE {table} DELETE WHERE kafka_partition = {partition} AND {column} > {last}"
                " SETTINGS mutations_sync = 1"
            )
    stage.oracle.violations.clear()  # the forgetting itself is seen by I5, and is the fault
    stage.worker()
    eventually(lambda: stage.place.count() == 800, "all events in the view again")
    stage.oracle.violations.clear()
    stage.settle()
    kinds = stage.place.rows("SELECT DISTINCT kind FROM incidents")
    assert kinds == [("rewound",)], f"expected an incident 'rewound', got {kinds}"


def test_fault_30_clickhouse_killed_after_its_acknowledgement(
    stage: Scene, cluster: Cluster
) -> None:
    """ClickHouse killed with −9 right after a commit, three times under load: what was acknowledged is there."""
    stack = stack_of(cluster)
    load = stage.load(rate=400)
    for round_ in (1, 2, 3):
        worker = stage.worker() if round_ == 1 else stage.place.workers[0]
        before = stage.committed()
        eventually(lambda before=before: stage.committed() > before, "a commit")  # type: ignore[misc]  # mypy cannot infer such a lambda
        os.kill(pid_of(stack, "clickhouse"), signal.SIGKILL)
        worker.wait_until_ready()
    load.end()
    stage.settle()
    ((text,),) = stage.place.rows(
        "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = 'event_log'"
    )
    assert "fsync_after_insert = 1" in text, (
        "expected inserts that are on the disk, for a power cut"
    )
    assert "fsync_part_directory = 1" in text
