"""Workers killed with −9 at random instants under load, again and again: 0 lost, 0 seen twice."""

import os
import random

import pytest

from fault_scene import Scene, pause

pytestmark = [pytest.mark.cluster, pytest.mark.faults]

WORKER_KILLS = int(os.environ.get("WORKER_KILLS", "8"))
SEED = int(os.environ.get("SEED", "23"))


def test_workers_killed_at_any_moment_under_load(stage: Scene) -> None:
    """However often a worker is killed, each event that was taken is seen once, at every moment."""
    chance = random.Random(SEED)  # noqa: S311 - a seed, so that a failure comes again
    load = stage.load(rate=300, sessions=20)
    for _ in range(WORKER_KILLS):
        worker = stage.worker(worker_batch_rows=50)
        pause(chance.uniform(0.8, 3.0))
        worker.kill()
    load.end()
    stage.worker()
    stage.settle(120)
