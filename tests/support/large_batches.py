"""Batches that are large once they are opened, and what it takes to read them."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from confluent_kafka import Producer

from trailhouse.schemas import AuditEvent
from waiting import DEADLINE_SECONDS, eventually
from worker_process import Worker, WorkerSite

MB = 1_000_000
READ_AS_ANYBODY = """
import sys
from confluent_kafka import Consumer, TopicPartition
consumer = Consumer({"bootstrap.servers": sys.argv[1], "group.id": "bare", "enable.auto.commit": False})
consumer.assign([TopicPartition(sys.argv[2], int(sys.argv[3]), 0)])
left = int(sys.argv[4])
while left:
    message = consumer.poll(1)
    if message is not None and message.error() is None:
        left -= 1
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def send_one_batch(
    here: WorkerSite, records: Sequence[bytes], codec: str, partition: int = 0
) -> None:
    """Put *records* into one compressed batch, acknowledged on return."""
    producer = Producer(
        here.kafka.client_options()
        | {
            "compression.type": codec,
            "compression.level": 9 if codec == "gzip" else -1,
            "message.max.bytes": 1_000 * MB,
            "batch.size": 1_000 * MB,
            "queue.buffering.max.kbytes": 2_000_000,
            "linger.ms": 5_000,
        }
    )
    for record in records:
        producer.produce(here.kafka.topic, record, b"k", partition)
    assert producer.flush(DEADLINE_SECONDS) == 0


def peak_bytes(worker: Worker) -> int:
    """Return the most memory that *worker* ever had."""
    status = Path(f"/proc/{worker.process.pid}/status").read_text(encoding="ascii")
    return next(int(ln.split()[1]) for ln in status.splitlines() if ln.startswith("VmHWM")) * 1_024


def bare_peak_bytes(here: WorkerSite, partition: int, records: int) -> int:
    """Return what a consumer takes that reads the partition and does nothing else."""
    arguments = (here.kafka.bootstrap_servers, here.kafka.topic, str(partition), str(records))
    done = subprocess.run(
        [sys.executable, "-c", READ_AS_ANYBODY, *arguments],
        check=True, capture_output=True, text=True, timeout=DEADLINE_SECONDS,
    )  # fmt: skip
    return int(done.stdout) * 1_024


def goes_on(here: WorkerSite, worker: Worker) -> None:
    """Wait until all is committed, and a new event is stored by the same worker."""
    eventually(
        lambda: all(worker.series()[f"lag_records/{number}"] == 0 for number in range(4)),
        f"no lag, log: {worker.log}",
    )
    before = here.count()
    here.send([AuditEvent(type="x", session_id="after").record])
    eventually(lambda: here.count() == before + 1, f"the event after, log: {worker.log}")
    assert worker.process.poll() is None
