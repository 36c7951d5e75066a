"""Workers killed with −9 between leaves, checkpoints, ledger and commit, two at a time: one root a size, ever."""

import os
import random
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from fault_scene import Scene, pause
from faulty_programs import Failpoint, at
from producing import read_topic
from proof_logs import found_logs
from proven import log_key
from trailhouse.store import ClickHouse
from waiting import DEADLINE_SECONDS, eventually

pytestmark = [pytest.mark.cluster, pytest.mark.faults]

PROOF_KILLS = int(os.environ.get("PROOF_KILLS", "8"))
SEED = int(os.environ.get("SEED", "22"))
TABLES = ("event_log", "log_leaves", "log_nodes", "log_checkpoints", "batch_ledger")
COMMIT = "trailhouse.consumer.membership.committer:Committer.commit"
ROUND_SECONDS = 20.0


def some_instant(chance: random.Random) -> Failpoint:
    """Return where a worker dies: around an insert into one of its tables, or around a commit."""
    moment = chance.choice(("before", "after"))
    place = chance.choice((*TABLES, COMMIT))
    nth = chance.randint(1, 4)
    if place == COMMIT:
        return at(COMMIT, moment, "kill", nth=nth)  # type: ignore[arg-type]  # one of the two
    insert = "trailhouse.store.clickhouse:ClickHouse.insert"
    return at(insert, moment, "kill", nth=nth, table=place)  # type: ignore[arg-type]  # as above


def test_workers_killed_between_leaves_checkpoint_ledger_and_commit(
    stage: Scene, tmp_path: Path
) -> None:
    """However often workers die in the middle, no size of a log has two roots, and each record has its leaf."""
    chance = random.Random(SEED)  # noqa: S311 - a seed, so that a failure comes again
    proof = log_key(tmp_path)
    settings: dict[str, Any] = {"proof_log_name": proof.log_name, "proof_key_file": proof.key_file}
    load = stage.load(rate=200, sessions=20)
    killed = 0
    while killed < PROOF_KILLS:
        workers = [
            stage.worker(some_instant(chance), worker_batch_rows=50, **settings) for _ in range(2)
        ]
        until = time.monotonic() + ROUND_SECONDS
        while time.monotonic() < until and any(each.process.poll() is None for each in workers):
            pause(0.1)
        for worker in workers:
            worker.kill()
            killed += 1
    load.end()
    stage.worker(**settings)
    stage.oracle.wait_for_no_lag(2 * DEADLINE_SECONDS)
    with ClickHouse(stage.place.database) as clickhouse:
        eventually(
            lambda: all(
                log.size >= log.end and log.is_signed for log in found_logs(clickhouse).values()
            ),
            "every log signed to its end",
        )
        logs = found_logs(clickhouse)
    leaves = {
        (partition, offset): leaf[2]
        for (_, partition, _), log in logs.items()
        for offset, leaf in log.leaves.items()
    }

    assert {generation for _, _, generation in logs} == {"1"}
    assert leaves == {
        (message.partition(), message.offset()): sha256(message.value() or b"").digest()
        for message in read_topic(stage.kafka)
    }
    stage.settle(DEADLINE_SECONDS)
