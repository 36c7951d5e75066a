"""The clock that the producer's parts are given: nothing asks the system beside it, and a test may turn it."""

import ast
from pathlib import Path

import pytest

import trailhouse.producer
from trailhouse.producer import AuditLogger, ProducerConfig
from trailhouse.producer.clock import Clock
from trailhouse.producer.delivery.backpressure import wait_for_disk
from trailhouse.producer.delivery.send_queue import SendQueue
from trailhouse.producer.spool.folder import UNFINISHED_SECONDS, remove_unfinished
from trailhouse.producer.spool.metadata import Destination
from trailhouse.producer.spool.orphans import TURN_SECONDS
from trailhouse.producer.spool.queue import SpoolQueue
from trailhouse.producer.spool.root import acquire_adoption_lease
from trailhouse.producer.telemetry.span import Span
from trailhouse.schemas import KafkaConfig
from trailhouse.schemas.uuid7 import uuid7

ROOM = Path(next(iter(trailhouse.producer.__path__)))
ASKS = {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"}


class TurnedClock:
    """A clock that stands until it is turned."""

    def __init__(self) -> None:
        self.seconds = 1_000.0
        self.clock = Clock(lambda: self.seconds, lambda: round(self.seconds * 1_000_000_000))


def asks_of(source: str) -> set[str]:
    """Return which of the system's clocks *source* asks, however it imports them."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == "time":
                found |= {node.attr} & ASKS
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            found |= {name.name for name in node.names} & ASKS
    return found


def test_one_module_asks_the_system_what_time_it_is() -> None:
    """Every other module of the producer is given its clock."""
    asking = {path.name: asks for path in ROOM.rglob("*.py") if (asks := asks_of(path.read_text()))}
    assert asking == {"clock.py": {"monotonic", "time_ns"}}


def test_a_call_gives_up_a_full_disk_at_its_deadline() -> None:
    """Whoever waits for space on the disk waits until the clock says that it is enough, and no longer."""
    turned = TurnedClock()
    queue = SendQueue(10, 1_000, clock=turned.clock)
    with queue.lock:
        assert wait_for_disk(queue, turned.seconds + 0.001)
        turned.seconds += 0.001
        assert not wait_for_disk(queue, turned.seconds)


def test_a_span_measures_by_its_clock() -> None:
    """A run's duration is what passed on the clock."""
    turned, results = TurnedClock(), list[object]()
    span = Span(
        None, None, lambda *_: None, lambda *each: results.append(each[2]), lambda *_: None,
        lambda: (), turned.clock,
    )  # fmt: skip
    with span:
        turned.seconds += 1.5
    assert results == [{"duration_ms": 1500.0}]


def test_another_process_that_hangs_while_it_adopts_is_not_waited_for_for_ever(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """While another adopts we wait; when that has lasted too long we go on, and say so."""
    turned = TurnedClock()
    config = ProducerConfig(
        kafka=KafkaConfig(bootstrap_servers="127.0.0.1:1"),
        spool_dir=str(tmp_path),
        close_timeout_seconds=0,
    )
    audit = AuditLogger(config)
    audit.log("tick", session_id="s")
    audit.close(0)
    orphans = SpoolQueue(config, "test", turned.clock).orphans
    servers, topic = config.kafka.bootstrap_servers, config.kafka.topic
    other = acquire_adoption_lease(tmp_path, Destination(bootstrap_servers=servers, topic=topic))
    assert other is not None
    found = orphans.find(min_age_seconds=0.0, any_destination=False)
    try:
        assert orphans.line_up(found)
        assert orphans.read() is None
        turned.seconds += TURN_SECONDS - 1
        assert orphans.read() is None
        turned.seconds += 1
        orphans.read()
    finally:
        other.close()
        orphans.let_go()
    assert "another process has been adopting spools" in caplog.text


def test_what_is_being_made_now_is_not_taken_for_what_was_left(tmp_path: Path) -> None:
    """A hidden folder is removed once it is old by the clock, which its owner's death alone explains."""
    path = tmp_path / f".{0:010d}-{uuid7()}"
    path.mkdir(mode=0o700)
    turned = TurnedClock()
    turned.seconds = path.stat().st_mtime + UNFINISHED_SECONDS - 0.5
    remove_unfinished(tmp_path, turned.clock)
    assert path.exists()
    turned.seconds += 1.0
    remove_unfinished(tmp_path, turned.clock)
    assert not path.exists()
