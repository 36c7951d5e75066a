"""Faults 34 to 36: ClickHouse bears fewer inserts than are wanted, or all comes at once after a long silence."""

import threading
import time
from pathlib import Path

import pytest

from fault_proxy import Action, http_proxy
from fault_scene import Scene, numbered, pause
from faulty_programs import program
from trailhouse.schemas import KafkaConfig
from trailhouse.store import ClickHouse, ClickHouseConfig
from waiting import eventually
from worker_process import RUN_WORKER, Worker, place

pytestmark = [pytest.mark.cluster, pytest.mark.faults]

LOOK_OFTEN = """
for name in ("FIRST_LOOK_SECONDS", "LONGEST_LOOK_SECONDS"):
    faulty_programs.replace(f"trailhouse.consumer.batch.back_pressure:{name}", lambda _: 0.3)
"""
"""Stands for parts that grow over minutes: they are counted as often as they grow here."""
SLOW_SECONDS = 20.0
FRESHNESS_SECONDS = 1.0
BURST_EVENTS = 100_000
BATCH_ROWS = 2_000
"""So few that even a busy machine brings more while an insert runs: without the limit there is a larger one."""
BUSY_MACHINE_SECONDS = 10.0


def pressure(worker: Worker) -> str:
    """Return what the worker warns of, if it is back-pressure."""
    return str(worker.health()[1]["warnings"].get("back_pressure", ""))


def failures(worker: Worker) -> float:
    """Return how many attempts of the worker have failed."""
    return worker.series()["insert_failures_total"]


def parts(stage: Scene, table: str = "event_log") -> int:
    """Return how many active parts a table has."""
    ((found,),) = stage.place.rows(
        "SELECT count() FROM system.parts WHERE database = currentDatabase() AND active"
        f" AND table = '{table}'"
    )
    return int(found)


def test_fault_34_too_many_parts(stage: Scene) -> None:
    """Parts grow, since nothing is merged: batches of all workers widen before any is refused; then inserts
    are refused, and in the end are not."""
    stage.command("SYSTEM STOP MERGES event_log")
    stage.command(
        "ALTER TABLE event_log MODIFY SETTING parts_to_delay_insert = 0, parts_to_throw_insert = 40"
    )
    workers = [stage.worker(body=LOOK_OFTEN, worker_freshness_seconds=0.5) for _ in range(2)]
    for worker in workers:
        worker.wait_until_ready()
    eventually(
        lambda: all(each.series()["partitions"] == 2 for each in workers), "a share for each"
    )
    load = stage.load(rate=100)
    for worker in workers:
        eventually(lambda worker=worker: pressure(worker), "a warning")  # type: ignore[misc]  # mypy cannot infer such a lambda
        status, report = worker.health()
        series = worker.series()
        assert (status, report["status"], failures(worker)) == (200, "degraded", 0)
        assert "event_log has" in pressure(worker)
        assert series["warnings/back_pressure"] == 1
        assert series["parts_share"] > 0.5
        assert series["batch_age_seconds"] > series["wanted_batch_age_seconds"]

    stage.command(f"ALTER TABLE event_log MODIFY SETTING parts_to_throw_insert = {parts(stage)}")
    for worker in workers:
        eventually(lambda worker=worker: failures(worker) >= 2, "refused inserts")  # type: ignore[misc]
        eventually(lambda worker=worker: "refused an insert" in pressure(worker), "a warning")  # type: ignore[misc]
        assert "TOO_MANY_PARTS (252)" in worker.health()[1]["clickhouse"]["reason"]
        worker.wait_for("batch_age_seconds", 30)
    committed = stage.committed()

    stage.command("ALTER TABLE event_log RESET SETTING parts_to_throw_insert")
    stage.command("SYSTEM START MERGES event_log")
    eventually(lambda: stage.committed() > committed, "a commit")
    load.end()
    stage.settle()
    assert stage.place.count("quarantine") == 0, "expected nothing in quarantine"
    assert [worker.series()["batches_dropped_total"] for worker in workers] == [0, 0]


def test_fault_34_a_refused_ledger(stage: Scene) -> None:
    """Where the ledger alone has too many parts, rows that are stored are not stored again at each attempt."""
    stage.command("SYSTEM STOP MERGES event_log")
    stage.command("SYSTEM STOP MERGES batch_ledger")
    worker = stage.worker()
    worker.wait_until_ready()
    stage.emit(numbered(100))
    worker.wait_for("records_stored_total", 100)
    stage.command(
        f"ALTER TABLE batch_ledger MODIFY SETTING parts_to_throw_insert = {parts(stage, 'batch_ledger')}"
    )
    committed = stage.committed()
    stage.emit(numbered(100, start=100))
    eventually(lambda: failures(worker) >= 3, "refused inserts")
    assert stage.committed() == committed, "expected no commit without the ledger"
    assert stage.place.count("event_log") == 200, "expected each row once"
    stage.command("ALTER TABLE batch_ledger RESET SETTING parts_to_throw_insert")
    stage.settle()
    assert stage.place.count("event_log") == 200, "expected each row once"


def test_fault_35_clickhouse_answers_in_20_seconds(stage: Scene) -> None:
    """Every insert takes so long: batches widen and it is said, nobody takes it for a standstill, none is
    taken from his partitions, and nothing is lost."""
    with http_proxy(stage.place.database.url) as proxy:
        worker = stage.worker(
            clickhouse_url=proxy.url, worker_batch_rows=10_000, worker_freshness_seconds=1
        )
        worker.wait_until_ready()
        slow: list[str] = []

        def slowly(query: str) -> Action:
            if "INSERT INTO" in query:
                slow.append(query)
                pause(SLOW_SECONDS)
            return "pass"

        proxy.rule = slowly
        load = stage.load(rate=100)
        eventually(lambda: pressure(worker), "a warning")
        assert "an insert takes 2" in pressure(worker)
        assert worker.series()["batch_age_seconds"] == 30
        seen: set[str] = set()

        def has_committed_twice() -> bool:
            seen.update(worker.health()[1]["warnings"])
            return worker.series()["commits_total"] >= 2

        eventually(has_committed_twice, "two commits", 240)
        assert seen == {"back_pressure"}, "expected no word of a standstill"
        assert len(slow) < 10, "expected few inserts"
        proxy.rule = lambda _: "pass"
        load.end()
        stage.settle()
        series = worker.series()
        assert (series["insert_failures_total"], series["batches_dropped_total"]) == (0, 0)


def test_fault_36_a_burst_after_a_silence(
    kafka: KafkaConfig, database: ClickHouseConfig, tmp_path: Path
) -> None:
    """A worker that had nothing to do gets 100,000 records at once: the first can be read within the
    freshness, no insert is larger than the limit, and each record is there once."""
    with place(kafka, database, tmp_path) as site, ClickHouse(database) as clickhouse:
        clickhouse.command("SYSTEM STOP MERGES event_log")
        worker = site.start(
            program(RUN_WORKER),
            worker_freshness_seconds=FRESHNESS_SECONDS,
            worker_batch_rows=BATCH_ROWS,
        )
        worker.wait_until_ready()
        pause(3.0)  # idle: its reads have become as rare as they get
        first_seen_at: list[float] = []

        def look() -> None:
            eventually(lambda: site.count("event_log") > 0, "a first event")
            first_seen_at.append(time.time())

        looking = threading.Thread(target=look)
        looking.start()
        site.emit(numbered(BURST_EVENTS, sessions=100))
        looking.join()
        worker.wait_for("records_stored_total", BURST_EVENTS)
        ((first_appended,),) = site.rows("SELECT min(appended_at) FROM event_log")
        waited_seconds = first_seen_at[0] - first_appended.timestamp()
        assert waited_seconds < FRESHNESS_SECONDS + BUSY_MACHINE_SECONDS
        ((largest, inserted),) = site.rows(
            "SELECT max(rows), sum(rows) FROM system.parts WHERE database = currentDatabase() AND active"
            " AND table = 'event_log' AND level = 0"
        )
        assert (inserted, site.count()) == (BURST_EVENTS, BURST_EVENTS)
        assert largest <= BATCH_ROWS
