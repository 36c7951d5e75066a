"""Faults 1–6 and 31–33: the worker is killed, stopped, told to end, too full, or stands still."""

import datetime as dt
import signal
import time

import pytest

from fault_proxy import http_proxy, is_insert
from fault_scene import Scene, is_stopped, numbered, pause
from faulty_programs import Failpoint, at
from trailhouse.schemas import AuditEvent
from waiting import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.faults]

INSERT = "trailhouse.store.clickhouse:ClickHouse.insert"
COMMIT = "trailhouse.consumer.membership.source:KafkaSource.commit"
KILLED = -signal.SIGKILL


def test_fault_01_kill_after_insert_before_commit(stage: Scene) -> None:
    """Killed between insert and commit, three batches in a row: the rows come again and are seen once."""
    stage.emit(numbered(900))
    for nth in (1, 2, 1):
        worker = stage.worker(at(COMMIT, "before", "kill", nth=nth))
        assert worker.process.wait(30) == KILLED
    copies = stage.place.rows("SELECT count() - uniqExact(event_id) FROM event_log")
    stage.worker()
    stage.settle()
    assert copies[0][0] > 0 or stage.place.count("event_log") >= 900, "expected redelivered rows"


@pytest.mark.parametrize(
    "point",
    [
        pytest.param(at(INSERT, "before", "kill", table="event_log"), id="before_insert"),
        pytest.param(at(INSERT, "after", "kill", table="event_quarantine"), id="after_quarantine"),
        pytest.param(at(INSERT, "after", "kill", table="event_log", nth=2), id="before_ledger"),
        pytest.param(at(INSERT, "after", "kill", table="batch_ledger", nth=2), id="after_ledger"),
    ],
)
def test_fault_02_kill_between_two_steps(stage: Scene, point: Failpoint) -> None:
    """Killed before, between and after the inserts of a batch that has bad records."""
    stage.emit(numbered(600))
    stage.place.send([b"no event %d" % number for number in range(30)], partition=0)
    doomed = stage.worker(point)
    assert doomed.process.wait(30) == KILLED
    stage.worker()
    stage.settle()
    assert stage.place.count("quarantine") == 30, "expected each bad record once"


def test_fault_02_kill_while_a_stored_batch_waits_for_its_ledger(stage: Scene) -> None:
    """Killed with rows stored that neither the ledger nor Kafka knows of: they come again and are seen once."""
    doomed = stage.worker(
        at("trailhouse.consumer.batch.uncommitted:UncommittedBatches.write", "after", "kill"),
        worker_batch_rows=10_000,
        worker_freshness_seconds=8,
    )
    doomed.wait_until_ready()
    stage.emit(numbered(100))
    assert doomed.process.wait(60) == KILLED
    assert (stage.place.count("batch_ledger"), stage.committed()) == (0, 0)
    stored = stage.place.count("event_log")
    assert stored > 0, "expected rows that wait"
    stage.command(
        "SYSTEM STOP MERGES event_log"
    )  # else the copies may be gone before they are counted
    stage.worker()
    stage.settle()
    assert stage.place.count("event_log") == 100 + stored


def test_fault_02_kill_between_two_years(stage: Scene) -> None:
    """Killed by ClickHouse's death in the middle of an insert of many years: all of them are there in the end."""
    events = [
        AuditEvent(
            type="message_sent",
            session_id="s",
            data={"n": number},
            occurred_at=_moment(2025 + number % 10),
        )
        for number in range(400)
    ]
    stage.emit(events)
    doomed = stage.worker(at(COMMIT, "before", "kill"), worker_batch_rows=37)
    assert doomed.process.wait(30) == KILLED
    stage.worker()
    stage.settle()


def test_fault_03_sigterm_during_a_fast_insert(stage: Scene) -> None:
    """SIGTERM while an insert runs: it is awaited and committed, exit 0."""
    with http_proxy(stage.place.database.url) as proxy:
        worker = stage.worker(clickhouse_url=proxy.url)
        worker.wait_until_ready()
        seen: list[float] = []

        def slowly(query: str) -> str:
            if is_insert(query):
                seen.append(time.monotonic())
                pause(1.0)
            return "pass"

        proxy.rule = slowly  # type: ignore[assignment]  # a rule that always passes
        stage.emit(numbered(100))
        eventually(lambda: seen, "an insert on its way")
        assert worker.end() == 0
        assert stage.committed() == stage.place.count() > 0, "expected commits of what was stored"
    stage.worker()
    stage.settle()


def test_fault_03_slow_insert_is_cut_off_at_the_deadline(stage: Scene) -> None:
    """SIGTERM while an insert hangs: cut off at `drain_seconds` with 75, and nothing is committed."""
    with http_proxy(stage.place.database.url) as proxy:
        worker = stage.worker(clickhouse_url=proxy.url, worker_drain_seconds=1)
        worker.wait_until_ready()
        proxy.rule = lambda query: "hold" if is_insert(query) else "pass"
        stage.emit(numbered(100))
        eventually(lambda: proxy.held, "an insert that hangs")
        began = time.monotonic()
        assert worker.end(seconds=15) == 75
        assert time.monotonic() - began < 5
        assert stage.committed() == 0, "expected no commit without its insert"
    stage.worker()
    stage.settle()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_fault_04_signals_twice(stage: Scene, number: signal.Signals) -> None:
    """Any signal to end, sent twice while batches are stored: what was stored is committed, nothing is lost."""
    with http_proxy(stage.place.database.url) as proxy:
        worker = stage.worker(clickhouse_url=proxy.url)
        worker.wait_until_ready()
        seen: list[str] = []

        def slowly(query: str) -> str:
            if is_insert(query):
                seen.append(query)
                pause(0.6)
            return "pass"

        proxy.rule = slowly  # type: ignore[assignment]  # a rule that always passes
        stage.emit(numbered(150))
        eventually(lambda: seen, "an insert on its way")
        worker.process.send_signal(number)
        pause(0.1)
        code = worker.end(number)
        if number != signal.SIGHUP:
            assert code == 0, f"expected a drain, got exit code {code}"
            assert stage.committed() > 0, "expected a commit of what was stored"
    stage.worker()
    stage.settle()


def test_fault_05_zombie_with_an_insert_in_hand(stage: Scene) -> None:
    """Stopped with its insert done and no commit, longer than its session; then continued: it commits nothing stale."""
    stage.emit(numbered(600))
    zombie = stage.worker(at(COMMIT, "before", "stop", nth=2), worker_batch_rows=100)
    eventually(lambda: is_stopped(zombie.process), "a worker stopped before its commit")
    second = stage.worker()
    stage.oracle.wait_for_no_lag(40)
    stage.emit(numbered(600, start=600))
    second.wait_for("records_stored_total", 700)
    zombie.process.send_signal(signal.SIGCONT)
    eventually(
        lambda: sum(each.series().get("partitions", 0) for each in (zombie, second)) == 4,
        "the zombie in the group again",
    )
    pause(2.0)  # nothing else is committed meanwhile, so that a stale commit would be seen
    stage.emit(numbered(200, start=1_200))
    stage.settle()
    assert zombie.process.poll() is None, "expected the zombie back in the group"


def test_fault_06_insert_lands_long_after_its_worker(stage: Scene) -> None:
    """An insert that reaches ClickHouse long after its worker gave up and died does no harm."""
    with http_proxy(stage.place.database.url) as proxy:
        held: list[str] = []

        def hold_the_first(query: str) -> str:
            if is_insert(query) and not held:
                held.append(query)
                return "hold"
            return "pass"

        proxy.rule = hold_the_first  # type: ignore[assignment]  # one of the verdicts
        stage.emit(numbered(300))
        doomed = stage.worker(clickhouse_url=proxy.url, clickhouse_timeout_seconds=2)
        eventually(lambda: stage.place.count() >= 200, "the rest stored meanwhile")
        doomed.kill()
        stage.worker()
        stage.oracle.wait_for_no_lag(40)
        rows = stage.place.count("event_log")
        proxy.release()
        eventually(lambda: proxy.late == 1, "the late insert")
        stage.settle()
        assert stage.place.count("event_log") > rows or proxy.late, "expected late rows"


def test_fault_31_huge_records_are_split_by_bytes(stage: Scene) -> None:
    """A backlog of large records: batches close by bytes, and the worker's memory stays bounded."""
    big = "x" * 100_000
    events = [
        AuditEvent(type="message_sent", session_id=f"s{number % 4}", data={"n": number, "b": big})
        for number in range(1_500)
    ]
    stage.emit(events)
    worker = stage.worker(
        worker_batch_rows=100_000, worker_batch_bytes=8_000_000, worker_freshness_seconds=10
    )
    stage.oracle.wait_for_no_lag(90)
    stage.settle()
    largest = stage.place.rows(
        "SELECT max(n) FROM (SELECT sum(stored_rows) AS n FROM batch_ledger GROUP BY written_at)"
    )
    assert largest[0][0] <= 200, (
        f"expected batches of at most 200 such records, got {largest[0][0]}"
    )
    assert stage.oracle.peak_rss_bytes[worker.process.pid] < 400_000_000


def test_fault_32_a_worker_that_stands_still_ends_itself(stage: Scene) -> None:
    """The ingest thread blocks for an hour: the watchdog ends the process with 70, and a peer takes over."""
    stage.emit(numbered(300))
    stuck = stage.worker(
        at("trailhouse.consumer.membership.session:GroupSession._settle", "before", "block", nth=3),
        worker_watchdog_seconds=3,
    )
    assert stuck.process.wait(40) == 70, "expected the watchdog's exit code"
    assert "level=error" in stuck.log
    stage.worker()
    stage.settle()


@pytest.mark.parametrize(
    "silent", [pytest.param([0, 1, 2, 3], id="all"), pytest.param([2], id="one")]
)
def test_fault_33_a_consumer_that_delivers_nothing(stage: Scene, silent: list[int]) -> None:
    """Records wait and are not delivered, be it of one partition, while others flow and every question
    is answered: the watchdog ends the worker."""
    once = stage.folder / "silent"
    body = f"faulty_programs.deliver_nothing_of({silent}, faulty_programs.Path({str(once)!r}))"
    stuck = stage.worker(
        body=body,
        worker_watchdog_seconds=4,
        worker_account_seconds=1,
        clickhouse_timeout_seconds=1,
    )
    stage.emit(numbered(200, sessions=40))
    stage.oracle.wait_for_no_lag(40)
    once.touch()
    load = stage.load(rate=50, sessions=40)
    assert stuck.process.wait(60) == 70, "expected the watchdog's exit code"
    assert "no progress of partition" in stuck.log
    load.end()
    stage.worker()
    stage.settle()


def _moment(year: int) -> dt.datetime:
    return dt.datetime(year, 3, 3, tzinfo=dt.UTC)
