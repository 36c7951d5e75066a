"""Threads: what a call costs where eight threads make it without a pause, ours beside the least that Python can do.

Examples::

    python -m benchmarks.threads
    python -m benchmarks.threads --calls 40000

No broker is needed. A call that keeps Python's lock from its beginning to its end waits once in a slice of Python's,
5 ms; one that gives it away in between may wait there, each time, until others have had theirs. The switches
are the kernel's count of how often a thread of the process gave its core away, so they tell on a busy machine too.
"""

import argparse
import contextlib
import itertools
import json
import logging
import os
import resource
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.machine import described
from benchmarks.records import recorded_fields
from trailhouse.producer import AuditLogger, ProducerConfig
from trailhouse.redaction.config import RedactionConfig
from trailhouse.schemas import KafkaConfig

THREADS = 8
WARM_CALLS = 2_000
ROUNDS = 3
NOWHERE = KafkaConfig(bootstrap_servers="127.0.0.1:1")
Call = Callable[[dict[str, object]], object]


class Cost(NamedTuple):
    """What calls took, each a median over the rounds."""

    mean_us: float
    p50_us: float
    p99_us: float
    cpu_us: float
    switches: float


def contestants(folder: str, held: contextlib.ExitStack) -> dict[str, Call]:
    """Return what is called, the floors first, then ours; *held* closes what they have open."""
    file = os.open(Path(folder) / "floor", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    held.callback(os.close, file)
    record, lock, counted = json.dumps(recorded_fields()[0]).encode(), threading.Lock(), [0]

    def count(_fields: dict[str, object]) -> None:
        with lock:
            counted[0] += 1

    return {
        "a counter under a lock": count,
        "json.dumps, three times": lambda fields: [json.dumps(fields) for _ in range(3)],
        "os.write of ready bytes": lambda _fields: os.write(file, record),
        "json.dumps and os.write": lambda fields: os.write(file, json.dumps(fields).encode()),
        "ours, nothing redacted": _ours(folder, held, is_redacted=False),
        "ours": _ours(folder, held, is_redacted=True),
    }


def _ours(folder: str, held: contextlib.ExitStack, *, is_redacted: bool) -> Call:
    """Return `log` of a logger without a broker."""
    config = ProducerConfig(
        kafka=NOWHERE,
        spool_dir=tempfile.mkdtemp(dir=folder),
        service="bench",
        close_timeout_seconds=0.0,
        redaction=RedactionConfig(enabled=is_redacted),
    )
    audit = held.enter_context(AuditLogger(config))
    return lambda fields: audit.log(**fields)  # type: ignore[arg-type]  # as recorded, which is as `log` takes them


def measured(call: Call, threads: int, calls: int) -> Cost:
    """Have *threads* make *calls* in all, without a pause, and return what they took."""
    events, parts, gate = recorded_fields(), list[list[int]](), threading.Barrier(threads)

    def run(times_ns: list[int]) -> None:
        clock = time.perf_counter_ns
        gate.wait()
        for fields in itertools.islice(itertools.cycle(events), calls // threads):
            began = clock()
            call(fields)
            times_ns.append(clock() - began)

    running = list[threading.Thread]()
    for _ in range(threads):
        parts.append([])
        running.append(threading.Thread(target=run, args=(parts[-1],)))
    before, cpu, began = (
        resource.getrusage(resource.RUSAGE_SELF),
        time.process_time(),
        time.perf_counter(),
    )
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    after = resource.getrusage(resource.RUSAGE_SELF)
    ordered = sorted(each for part in parts for each in part)
    return Cost(
        took / calls * 1e6,
        ordered[len(ordered) // 2] / 1e3,
        ordered[len(ordered) * 99 // 100] / 1e3,
        cpu / calls * 1e6,
        (after.ru_nvcsw - before.ru_nvcsw) / calls,
    )


def _median(costs: list[Cost]) -> Cost:
    return Cost(*(median(values) for values in zip(*costs, strict=True)))


def main() -> None:
    """Measure all in turns, and print a Markdown table."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.threads", description=__doc__)
    options.add_argument("--calls", type=int, default=16_000, help="of each (default 16000)")
    calls = options.parse_args().calls
    print("; ".join(f"{name}: {value}" for name, value in described().items()), flush=True)
    logging.getLogger("trailhouse").setLevel(logging.CRITICAL)  # that no broker answers is meant
    with (
        tempfile.TemporaryDirectory(prefix="trailhouse-threads-") as folder,
        contextlib.ExitStack() as held,
    ):
        called = contestants(folder, held)
        ones: dict[str, list[Cost]] = {name: [] for name in called}
        many: dict[str, list[Cost]] = {name: [] for name in called}
        for call in called.values():
            measured(call, 1, WARM_CALLS)
        for _ in range(ROUNDS):
            for name, call in called.items():
                ones[name].append(measured(call, 1, calls))
                many[name].append(measured(call, THREADS, calls))
    print(
        f"| {THREADS} threads, without a pause | p50, p99, mean µs | mean over one's | CPU µs | switches a call |"
    )
    print("|---|---|---|---|---|")
    for name in called:
        one, cost = _median(ones[name]), _median(many[name])
        print(
            f"| {name} | {cost.p50_us:.1f}, {cost.p99_us:.1f}, {cost.mean_us:.1f} | {cost.mean_us / one.mean_us:.2f} ×"
            f" | {cost.cpu_us:.1f} | {cost.switches:.3f} |"
        )


if __name__ == "__main__":
    main()
