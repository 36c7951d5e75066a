"""What the emitters share: how they are called, from one thread, from eight, and from asyncio, and the tally."""

# mypy: ignore-errors
# pyright: basic

import argparse
import asyncio
import json
import resource
import threading
import time
from pathlib import Path

THREADS = 8
WARM_SECONDS = 2.0


def arguments() -> argparse.Namespace:
    """Return what the harness passes to an emitter."""
    options = argparse.ArgumentParser()
    for name in ("bootstrap", "topic", "folder", "recorded", "mode"):
        options.add_argument(f"--{name}", required=True)
    options.add_argument("--events", type=int, required=True)
    options.add_argument("--rate", type=float, required=True, help="events a second")
    return options.parse_args()


def recorded(given: argparse.Namespace) -> list[dict]:
    """Return the recorded events."""
    return [json.loads(line) for line in Path(given.recorded).read_text().splitlines()]


def resident_mb() -> float:
    """Return the memory that this process holds, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    [size] = [line for line in lines if line.startswith("VmRSS:")]
    return int(size.split()[1]) * 1_024 / 1e6


def run(given, events, make) -> None:
    """Make an emitter, call it for every event, and print what it cost.

    *make* returns ``log(event)`` and ``finish()``, which returns how many events have arrived. Each call is
    timed at the given rate; then all is logged once more flat out, for each call, the mean and the CPU of
    all threads up to the end of ``finish``, less that of the calling loop.
    """
    if given.mode == "paced":
        _run_paced(given, events, make)
        return
    before_mb = resident_mb()
    began = _cpu_seconds()
    _spread(given, events, lambda event: None, 0.0)
    loop_cpu = _cpu_seconds() - began
    log, finish = make()
    log(events[0])
    p50_us, p99_us = _quantiles_us(_spread(given, events, log, given.rate))
    began_cpu, began_at = _cpu_seconds(), time.perf_counter()
    flat_out_ns = _spread(given, events, log, 0.0)
    flat_out_seconds = time.perf_counter() - began_at
    flat_p50_us, flat_p99_us = _quantiles_us(flat_out_ns)
    del flat_out_ns
    peak_mb = resident_mb()
    arrived = finish()
    cpu = _cpu_seconds() - began_cpu - loop_cpu
    expected = 1 + 2 * given.events
    if arrived != expected:
        raise SystemExit(f"expected {expected} events to arrive, got {arrived}")
    tally = {
        "p50_us": p50_us,
        "p99_us": p99_us,
        "flat_p50_us": flat_p50_us,
        "flat_p99_us": flat_p99_us,
        "mean_us": flat_out_seconds / given.events * 1e6,
        "cpu_us_per_event": cpu / given.events * 1e6,
        "extra_mb": peak_mb - before_mb,
    }
    print(json.dumps(tally), flush=True)


def _run_paced(given, events, make) -> None:
    """Log at the given rate and no more, and print what all threads used, beyond a host that only sleeps."""
    host_cpu = _paced_cpu(given, events, lambda event: None)
    log, finish = make()
    warm = argparse.Namespace(mode="one_thread", events=max(1, int(given.rate * WARM_SECONDS)))
    _spread(warm, events, log, given.rate)
    cpu = _paced_cpu(given, events, log)
    arrived, expected = finish(), warm.events + given.events
    if arrived != expected:
        raise SystemExit(f"expected {expected} events to arrive, got {arrived}")
    tally = {
        "cpu_us_per_event": (cpu - host_cpu) / given.events * 1e6,
        "host_us_per_event": host_cpu / given.events * 1e6,
    }
    print(json.dumps(tally), flush=True)


def _paced_cpu(given, events, log) -> float:
    began = _cpu_seconds()
    _spread(given, events, log, given.rate)
    return _cpu_seconds() - began


def _quantiles_us(times_ns) -> tuple[float, float]:
    ordered = sorted(times_ns)
    return ordered[len(ordered) // 2] / 1e3, ordered[len(ordered) * 99 // 100] / 1e3


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _spread(given, events, log, rate) -> list[int]:
    if given.mode == "asyncio":
        return asyncio.run(_tasks(given, events, log, rate))
    threads = THREADS if given.mode == "eight_threads" else 1
    parts = [[] for _ in range(threads)]
    each = given.events // threads
    counts = [each + (given.events % threads if number == 0 else 0) for number in range(threads)]
    running = [
        threading.Thread(target=_calls, args=(events, log, count, rate / threads, part))
        for count, part in zip(counts, parts, strict=True)
    ]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return [each for part in parts for each in part]


def _calls(events, log, count, rate, times_ns) -> None:
    clock, due = time.perf_counter_ns, time.perf_counter_ns()
    for number in range(count):
        if rate:
            due += int(1e9 / rate)
            while (left := due - clock()) > 0:
                time.sleep(left / 1e9)
        event = events[number % len(events)]
        began = clock()
        log(event)
        times_ns.append(clock() - began)


async def _tasks(given, events, log, rate) -> list[int]:
    times_ns: list[int] = []

    async def one(count) -> None:
        clock, due = time.perf_counter_ns, time.perf_counter_ns()
        for number in range(count):
            if rate:
                due += int(1e9 / rate * THREADS)
                await asyncio.sleep(max(0, due - clock()) / 1e9)
            else:
                await asyncio.sleep(0)
            event = events[number % len(events)]
            began = clock()
            log(event)
            times_ns.append(clock() - began)

    each = given.events // THREADS
    counts = [each + (given.events % THREADS if number == 0 else 0) for number in range(THREADS)]
    await asyncio.gather(*(one(count) for count in counts))
    return times_ns
