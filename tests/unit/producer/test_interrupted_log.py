"""A signal handler at every line of a call: what `log` returned is in the spool, once, in order, without holes.

Python runs a handler between any two instructions of the main thread, past every lock. Here a trace function
takes its place, at each line in turn of all of the producer's modules, and at each instruction for an
ordinary event. What is in the spool then is what the next process finds after kill -9.
"""

import contextlib
import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from interrupted_logger import (
    Interrupt,
    Prepare,
    Scene,
    first,
    full_memory,
    interrupted_at,
    next_segment,
    ordinary,
)
from trailhouse.schemas.errors import DeliveryError, ProducerClosedError

# An interrupt in a finalizer cannot be raised to anybody; Python says so, and goes on.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.long,
]


def walk(
    tmp_path: Path,
    prepare: Prepare,
    action: str,
    call: Callable[[Scene], None],
    kind: str = "line",
    *,
    logs_after: bool = True,
) -> int:
    """Interrupt *call* at each step in turn, each in a spool of its own; return how many there were."""
    for step in itertools.count():
        folder = tmp_path / str(step)
        folder.mkdir()
        scene = prepare(folder)
        try:
            with (
                interrupted_at(step, getattr(scene, action), kind) as where,
                contextlib.suppress(Interrupt, ProducerClosedError),
            ):
                call(scene)
            if not where:  # the call has fewer steps
                return step
            try:
                scene.check()
                if logs_after and not scene.is_closed:
                    scene.log("after")
                    scene.check()
                    queued = scene.audit.stats().queued_events
                    assert len(scene.returned) <= queued <= len(scene.returned) + 1
            except (AssertionError, DeliveryError) as error:
                error.add_note(f"{action} at step {step}: {where[0]}")
                raise
        finally:
            scene.end()
    raise AssertionError


@pytest.mark.parametrize("action", ["logs", "closes", "raises"])
@pytest.mark.parametrize("prepare", [first, ordinary, next_segment, full_memory])
def test_a_handler_at_every_line_of_log(tmp_path: Path, prepare: Prepare, action: str) -> None:
    """Whatever a handler does at whatever line of `log`, nothing is lost, doubled or numbered with a hole."""
    steps = walk(tmp_path, prepare, action, lambda scene: scene.log("main"))

    assert steps > 40, f"expected the lines of a call, walked {steps}"


@pytest.mark.parametrize("action", ["logs", "closes", "raises"])
def test_a_handler_at_every_line_of_close(tmp_path: Path, action: str) -> None:
    """Whatever a handler does at whatever line of `close`, what was logged before stays in the spool."""
    steps = walk(tmp_path, ordinary, action, lambda scene: scene.audit.close(0), logs_after=False)

    assert steps > 40, f"expected the lines of a call, walked {steps}"


@pytest.mark.parametrize("action", ["logs", "closes", "raises"])
def test_a_handler_at_every_instruction_of_log(tmp_path: Path, action: str) -> None:
    """The same at each instruction, for the event that most calls log."""
    steps = walk(tmp_path, ordinary, action, lambda scene: scene.log("main"), "opcode")

    assert steps > 400, f"expected the instructions of a call, walked {steps}"
