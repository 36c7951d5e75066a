"""What sealing costs: who logs, and all threads, by CPU time. ``python -m benchmarks.sealing``

Loggers with a key and without take turns over the recorded events. The caller is timed in its own thread, while the
broker is away; what the sender does besides is timed by itself, seals made, signed, encoded and logged included, since
in the whole process's time a microsecond an event drowns.
"""

import gc
import logging
import statistics
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

from benchmarks.records import recorded_fields
from trailhouse.producer import AuditLogger, ProducerConfig
from trailhouse.producer.clock import SYSTEM_CLOCK
from trailhouse.producer.delivery.send_queue import SendQueue
from trailhouse.producer.sealing.sealer import Sealer
from trailhouse.producer.testing import InMemoryAuditLogger
from trailhouse.proof.keys import create_key_file, read_key_file
from trailhouse.schemas import KafkaConfig
from trailhouse.schemas.uuid7 import uuid7

EVENTS = 20_000
ROUNDS = 9
TURN_EVENTS = 4_096
"""What the sender takes at once when a caller logs as fast as it can."""
AWAY = KafkaConfig(bootstrap_servers="127.0.0.1:1")


def caller_us(key_file: str, folder: Path) -> float:
    """Return what one call of `log` takes, µs of its thread."""
    config = ProducerConfig(
        enabled=True, kafka=AWAY, spool_dir=str(folder), seal_key_file=key_file, service="agents"
    )
    audit = AuditLogger(config)
    fields = list(islice(cycle(recorded_fields()), EVENTS))
    gc.collect()
    began = time.thread_time_ns()
    for each in fields:
        audit.log(**each)  # type: ignore[arg-type]
    took = time.thread_time_ns() - began
    audit.close(0.0)
    return took / EVENTS / 1_000


def sealing_us(key_file: Path) -> tuple[float, float]:
    """Return what the sender does for an event to be sealed, µs, and how many bytes of seals that makes."""
    config = ProducerConfig(enabled=True, service="agents", mode="memory", queue_events=1_000_000)
    producer_id = uuid7()
    sealer = Sealer(read_key_file(key_file), "agents", producer_id, config)
    queue = SendQueue(1_000_000, 1 << 40, None, SYSTEM_CLOCK)
    records = _records(producer_id)
    took = size_bytes = 0
    for begin in range(0, EVENTS, TURN_EVENTS):
        for number, record in enumerate(records[begin : begin + TURN_EVENTS], begin):
            newest = queue.newest()
            assert queue.log_own(newest, str(number), b"key", record) is not None
        queue.admit()
        fresh = list(queue.waiting)
        queue.waiting.clear()
        gc.collect()
        began = time.thread_time_ns()
        sealer.note(fresh, 0.0)
        sealer.look_after(queue, 0.0)
        took += time.thread_time_ns() - began
        queue.admit()
        size_bytes += sum(len(queued.record) for queued in queue.waiting)
        queue.waiting.clear()
    return took / EVENTS / 1_000, size_bytes / EVENTS


def _records(producer_id: str) -> list[bytes]:
    """Return recorded events as this logger would make them, numbered from 0."""
    with InMemoryAuditLogger(ProducerConfig(enabled=True, service="agents")) as audit:
        for each in islice(cycle(recorded_fields()), EVENTS):
            audit.log(**each)  # type: ignore[arg-type]
    made = audit.events[0].source
    assert made is not None
    assert made.producer_id is not None
    theirs, ours = made.producer_id.encode(), producer_id.encode()
    return [record.replace(theirs, ours) for record in audit.records]


def main() -> None:
    """Print both, and by how much a key makes a call longer."""
    logging.disable()  # that the broker is away
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        key_file = folder / "seal.pem"
        create_key_file(key_file)
        plain, sealed, sender = [], [], []
        size_bytes = 0.0
        for round_number in range(ROUNDS):
            plain.append(caller_us("", folder / f"plain{round_number}"))
            sealed.append(caller_us(str(key_file), folder / f"sealed{round_number}"))
            us, size_bytes = sealing_us(key_file)
            sender.append(us)
    differences = [after - before for before, after in zip(plain, sealed, strict=True)]
    print(
        f"a call of log: {statistics.median(plain):.2f} µs, sealed {statistics.median(sealed):.2f} µs"
    )
    print(f"a call of log, added by a key: {statistics.median(differences):+.2f} µs")
    print(f"sealing, all else: {statistics.median(sender):.2f} µs an event")
    print(f"seals: {size_bytes:.1f} bytes of records an event")


if __name__ == "__main__":
    main()
