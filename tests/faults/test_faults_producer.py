"""Faults 22, 23, 25 and 26: the producer is killed, cut off from its broker, forked, and ends in every way."""

import os
import random
import signal

import msgspec
import pytest

from cluster import Cluster
from fault_scene import Scene, pause, stack_of
from load_program import Options
from waiting import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.faults]

KILLS = int(os.environ.get("KILLS", "15"))
SEED = int(os.environ.get("SEED", "22"))
OUTAGE_SECONDS = 6.0
FORKS = ("before_first", "after_first", "multiprocessing_fork", "spawn", "forkserver")
DELIVERED_AT_EXIT = ("return", "exception", "sys_exit")
LEFT_IN_THE_SPOOL = ("os_exit", "sigterm", "sigkill")


def options_of(stage: Scene, name: str) -> str:
    """Return a load's options, for the programs that are none."""
    path = stage.folder / f"{name}.history"
    stage.oracle.histories.add(path)
    return msgspec.json.encode(Options(history=str(path), prefix=name)).decode()


def test_fault_22_producer_killed_at_any_moment(stage: Scene) -> None:
    """Killed with −9 again and again at random instants: whatever was taken is sent by whoever starts next."""
    chance = random.Random(SEED)  # noqa: S311 - a seed, so that a failure comes again
    stage.worker()
    for number in range(KILLS):
        load = stage.load(rate=0)
        eventually(lambda load=load: "started" in load.output, f"start {number}")  # type: ignore[misc]  # mypy cannot infer such a lambda
        pause(chance.uniform(0.0, 0.25))
        load.kill()
        assert load.process.returncode == -signal.SIGKILL, load.output[-500:]
        load.forget_output()
    last = stage.load(events=10)
    assert last.process.wait(60) == 0, last.output[-500:]
    stage.settle(90)
    assert not stage.spooled_folders(), "expected every spool to be settled and gone"


def test_fault_22_killed_once_with_nobody_to_follow_but_a_start(stage: Scene) -> None:
    """Killed with events that no broker has: a start that logs nothing at all sends them."""
    load = stage.load(stage.offline(), events=200, rate=0)
    load.wait_for(200)
    load.kill()
    stage.worker()
    stage.start_and_end_a_logger()
    stage.settle()


def test_fault_23_broker_away_for_longer_than_the_queue(stage: Scene, cluster: Cluster) -> None:
    """An outage that fills the queue many times over: the spool grows, and drains in order."""
    stack = stack_of(cluster)
    settings = {"producer_queue_events": 100}
    load = stage.load(rate=400, settings=settings)
    load.wait_for(200)
    stack.stop("kafka")
    taken = load.taken
    load.wait_for(taken + int(400 * OUTAGE_SECONDS))
    stack.start("kafka")
    load.end(60)
    stage.worker()
    stage.settle(60)
    assert not stage.spooled_folders(), "expected an empty spool"


@pytest.mark.parametrize("way", FORKS)
def test_fault_25_forks(stage: Scene, way: str) -> None:
    """Parent and children log before and after a fork of each kind: every event arrives once."""
    family = stage.run_producer(
        f"import process_programs\nif __name__ == '__main__': process_programs.fork({way!r})",
        options_of(stage, "fork"),
    )
    assert family.process.wait(60) == 0, family.output[-800:]
    stage.worker()
    stage.start_and_end_a_logger()  # some children leave without a word: a start sends theirs
    view = stage.settle()
    expected = 30 * {"before_first": 4, "after_first": 5}.get(way, 4)
    assert len(view) == expected, f"expected {expected} events, got {len(view)}"


@pytest.mark.parametrize("way", [*DELIVERED_AT_EXIT, *LEFT_IN_THE_SPOOL])
def test_fault_26_exits(stage: Scene, way: str) -> None:
    """An interpreter that ends in order delivers; whatever else ends it leaves the spool to the next start."""
    leaver = stage.run_producer(
        f"import process_programs; process_programs.leave({way!r})", options_of(stage, way)
    )
    leaver.process.wait(60)
    if way in DELIVERED_AT_EXIT:
        assert not stage.spooled_folders(), f"expected all delivered at {way}: {leaver.output}"
    stage.worker()
    stage.start_and_end_a_logger()
    view = stage.settle()
    assert len(view) == 30, f"expected 30 events, got {len(view)}"
