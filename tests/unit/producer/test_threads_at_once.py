"""Threads that log at once: none waits for another that was switched out in the middle of its call."""

import contextlib
import itertools
import threading
from functools import partial
from pathlib import Path

import pytest

from interrupted_logger import Prepare, Scene, full_memory, interrupted_at, next_segment, ordinary
from trailhouse.producer import ProducerConfig
from trailhouse.producer.delivery.dispatcher import Dispatcher
from trailhouse.schemas import KafkaConfig
from trailhouse.schemas.codec import decode
from trailhouse.schemas.draft import EventDraft
from trailhouse.schemas.errors import DeliveryError

DEADLINE_SECONDS = 30.0
STRIDE = 3


def log_in_another_thread(scene: Scene) -> None:
    """Log by another thread, while this one stands still."""
    thread = threading.Thread(target=scene.log, args=("other",), daemon=True)
    thread.start()
    thread.join(DEADLINE_SECONDS)
    assert not thread.is_alive(), "expected the other thread not to wait for this one"


@pytest.mark.parametrize("prepare", [ordinary, next_segment, full_memory])
def test_a_thread_that_is_switched_out_holds_up_no_other(tmp_path: Path, prepare: Prepare) -> None:
    """Wherever in `log` a thread is switched out, another logs meanwhile; both events are there, once, in order."""
    step = 0
    for step in itertools.count(0, STRIDE):
        folder = tmp_path / str(step)
        folder.mkdir()
        scene, where = prepare(folder), [""]
        try:
            with interrupted_at(step, partial(log_in_another_thread, scene), "line") as where:
                scene.log("main")
            if not where:
                break
            scene.log("after")
            scene.check()
        except BaseException as error:
            error.add_note(f"at step {step}: {where}")
            raise
        finally:
            scene.end()

    assert step > 40, f"expected the lines of a call, walked {step}"


def test_numbers_have_no_holes_whoever_encodes_first(tmp_path: Path) -> None:
    """An event that was encoded with a number that another thread has taken gets the next, wherever it stands."""
    scene = ordinary(tmp_path)

    def log_three() -> None:
        for _ in range(3):
            log_in_another_thread(scene)

    try:
        for step in range(0, 200, 5):
            with interrupted_at(step, log_three, "line"):
                scene.log("main")
        scene.check()
    finally:
        scene.end()


@pytest.mark.parametrize("mode", ["durable", "memory"])
def test_many_threads_log_at_once(tmp_path: Path, mode: str) -> None:
    """Of eight threads that log as fast as they can, every event is queued once, each thread's in its order."""
    config = ProducerConfig(
        kafka=KafkaConfig(bootstrap_servers="127.0.0.1:1"),
        mode=mode,
        spool_dir=str(tmp_path / "spool"),
        fsync="never",
        close_timeout_seconds=0,
    )
    dispatcher = Dispatcher(config)
    threads, each = 8, 1_000
    begun = threading.Barrier(threads)

    def log_many(number: int) -> None:
        begun.wait(DEADLINE_SECONDS)
        for turn in range(each):
            draft = EventDraft(type="event", session_id=f"s{number}", data={"turn": turn, "seq": 1})
            dispatcher.log(draft)

    running = [threading.Thread(target=log_many, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(DEADLINE_SECONDS)
    queue = dispatcher.queue
    try:
        with queue.lock:
            queue.admit()
            events = [decode(queued.record) for queued in (*queue.sent, *queue.waiting)]
        assert len(events) == threads * each
        assert [event.source and event.source.seq for event in events] == list(range(len(events)))
        for number in range(threads):
            turns = [event.data["turn"] for event in events if event.session_id == f"s{number}"]
            assert turns == list(range(each))
    finally:
        with contextlib.suppress(DeliveryError):
            dispatcher.close(0)
