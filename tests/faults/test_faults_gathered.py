"""Fault 37: what several workers insert is one part, and one of them, or the server, dies while it waits to be one."""

import os
import random
import signal
import threading
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from cluster import Cluster
from fault_proxy import Action, clickhouse_error, http_proxy
from fault_scene import Scene, pause, pid_of, stack_of
from producing import read_topic
from proof_logs import found_logs
from proven import log_key
from trailhouse.schemas import AuditEvent
from trailhouse.store import ClickHouse
from waiting import DEADLINE_SECONDS, eventually
from worker_process import Worker

pytestmark = [pytest.mark.cluster, pytest.mark.faults]

GROUP_KILLS = int(os.environ.get("GROUP_KILLS", "8"))
SEED = int(os.environ.get("SEED", "24"))
PARTITIONS = 8
GATHER_SECONDS = 1.0
GATHER_LONG = f"""
for name in ("GATHER_SECONDS", "GATHER_SHARE"):
    faulty_programs.replace(f"trailhouse.consumer.batch.gathering:{{name}}", lambda _: {GATHER_SECONDS})
"""
"""The server waits for others so long that a death while it does is certain."""
NOT_ALLOWED = clickhouse_error(
    452, "SETTING_CONSTRAINT_VIOLATION", "Setting async_insert should not be changed"
)
SETTINGS: dict[str, Any] = {"worker_batch_rows": 2_000, "worker_freshness_seconds": 1.0}


@pytest.fixture
def partitions() -> int:
    """Return how many partitions the topic has: one for each of eight workers."""
    return PARTITIONS


def inserts(worker: Worker, what: str) -> str:
    """Return what /health says of the worker's inserts; empty before there was one."""
    report = worker.health()[1] or {}
    return str(report.get("inserts", {}).get(what, ""))


def mode(worker: Worker) -> tuple[str, float]:
    """Return how the worker's inserts go, as /health and as /metrics say."""
    return inserts(worker, "mode"), worker.series()["gathered_inserts"]


def wait_until_gathered(*workers: Worker) -> None:
    """Return once what each of *workers* stores is gathered."""
    for worker in workers:
        eventually(lambda worker=worker: mode(worker) == ("gathered", 1), "gathered inserts")  # type: ignore[misc]  # mypy cannot infer such a lambda


def is_gathered(query: str, table: str = "event_log") -> bool:
    """Tell whether *query* is an insert into *table* that waits for others."""
    return f"INSERT INTO `{table}`" in query and "async_insert=1" in query


def test_fault_37_killed_while_its_insert_waits_for_others(stage: Scene) -> None:
    """What a dead worker had sent is stored all the same: its heir stores it again, and a reader sees it once."""
    stage.command("SYSTEM STOP MERGES event_log")  # else copies may be gone before they are counted
    with http_proxy(stage.place.database.url) as proxy:
        doomed = stage.worker(body=GATHER_LONG, clickhouse_url=proxy.url, **SETTINGS)
        heir = stage.worker(body=GATHER_LONG, **SETTINGS)
        load = stage.load(rate=100, sessions=40)
        wait_until_gathered(doomed, heir)
        is_sent = threading.Event()

        def noted(query: str) -> Action:
            if is_gathered(query):
                is_sent.set()
            return "pass"

        proxy.rule = noted
        assert is_sent.wait(DEADLINE_SECONDS)
        pause(GATHER_SECONDS / 4)  # the server has all of it by now, and has stored nothing
        doomed.kill()
        eventually(
            lambda: mode(heir) == ("straight", 0), "a worker that knows that it is alone", 60
        )
        load.end()
        stage.settle()
    ((copies,),) = stage.place.rows("SELECT count() - uniqExact(event_id) FROM event_log")
    assert copies > 0, "expected rows that the dead worker had sent, and its heir again"


def test_fault_37_clickhouse_killed_while_inserts_wait(stage: Scene, cluster: Cluster) -> None:
    """Three times, with inserts of two workers in its memory alone: none was acknowledged, and none is lost."""
    stack = stack_of(cluster)
    with http_proxy(stage.place.database.url) as proxy:
        workers = [
            stage.worker(body=GATHER_LONG, clickhouse_url=proxy.url, **SETTINGS) for _ in range(2)
        ]
        load = stage.load(rate=100, sessions=40)
        for _ in range(3):
            wait_until_gathered(*workers)
            is_sent = threading.Event()

            def noted(query: str, is_sent: threading.Event = is_sent) -> Action:
                if is_gathered(query):
                    is_sent.set()
                return "pass"

            proxy.rule = noted
            assert is_sent.wait(DEADLINE_SECONDS)
            pause(GATHER_SECONDS / 4)
            failures = [worker.series()["insert_failures_total"] for worker in workers]
            os.kill(pid_of(stack, "clickhouse"), signal.SIGKILL)
            eventually(
                lambda failures=failures: any(  # type: ignore[misc]
                    worker.series()["insert_failures_total"] > before
                    for worker, before in zip(workers, failures, strict=True)
                ),
                "an insert that failed with the server",
            )
            for worker in workers:
                worker.wait_until_ready()
        load.end()
        stage.settle()


def test_fault_37_a_row_that_is_refused_in_company(stage: Scene) -> None:
    """What one worker brings is quarantined alone; what came with it, of others too, is stored and nowhere else."""
    stage.command("ALTER TABLE event_log ADD CONSTRAINT no_seven CHECK run_id != 'seven'")
    workers = [stage.worker(body=GATHER_LONG, **SETTINGS) for _ in range(2)]
    load = stage.load(rate=100, sessions=40)
    wait_until_gathered(*workers)
    bad = [
        AuditEvent(type="message_sent", session_id=f"bad{number}", run_id="seven", data={"n": 0})
        for number in range(3)
    ]
    stage.emit(bad)
    eventually(lambda: stage.place.count("quarantine") == len(bad), "refused rows in quarantine")
    assert any(mode(worker) == ("straight", 0) for worker in workers), "expected a word of it"
    load.end()
    stage.settle()
    kept = stage.place.rows("SELECT record FROM quarantine", "record")
    assert sorted(kept) == sorted((each.record,) for each in bad)


def test_fault_37_a_server_that_lets_nobody_ask_for_it(stage: Scene) -> None:
    """Where a user may not change the settings, all is stored as without gathering, and /health says why."""
    with http_proxy(stage.place.database.url) as proxy:
        proxy.rule = lambda query: NOT_ALLOWED if "async_insert=1" in query else "pass"
        workers = [stage.worker(clickhouse_url=proxy.url, **SETTINGS) for _ in range(2)]
        load = stage.load(rate=100, sessions=40)
        for worker in workers:
            eventually(lambda worker=worker: "refused" in inserts(worker, "reason"), "the reason")  # type: ignore[misc]
        load.end()
        stage.settle()
        assert [worker.series()["insert_failures_total"] for worker in workers] == [0, 0]


def test_fault_37_eight_workers_killed_at_any_moment(stage: Scene, tmp_path: Path) -> None:
    """However often they die, each event is seen once, and no size of a partition's log has two roots."""
    chance = random.Random(SEED)  # noqa: S311 - a seed, so that a failure comes again
    proof = log_key(tmp_path)
    settings: dict[str, Any] = SETTINGS | {
        "proof_log_name": proof.log_name,
        "proof_key_file": proof.key_file,
    }
    group = [stage.worker(**settings) for _ in range(PARTITIONS)]
    load = stage.load(rate=200, sessions=40)
    eventually(lambda: sum(mode(worker)[0] == "gathered" for worker in group) >= 2, "company", 120)
    for _ in range(GROUP_KILLS):
        pause(chance.uniform(0.5, 4.0))
        number = chance.randrange(PARTITIONS)
        group[number].kill()
        group[number] = stage.worker(**settings)
    load.end()
    stage.oracle.wait_for_no_lag(4 * DEADLINE_SECONDS)
    with ClickHouse(stage.place.database) as clickhouse:
        eventually(
            lambda: all(
                log.size >= log.end and log.is_signed for log in found_logs(clickhouse).values()
            ),
            "every log signed to its end",
        )
        logs = found_logs(clickhouse)
    assert {generation for _, _, generation in logs} == {"1"}
    leaves = {
        (partition, offset): leaf[2]
        for (_, partition, _), log in logs.items()
        for offset, leaf in log.leaves.items()
    }
    assert leaves == {
        (message.partition(), message.offset()): sha256(message.value() or b"").digest()
        for message in read_topic(stage.kafka)
    }
    stage.settle(2 * DEADLINE_SECONDS)
