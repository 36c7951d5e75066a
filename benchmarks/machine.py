"""What a figure was measured on: cores, memory, versions, and what else ran."""

import contextlib
import os
import platform
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = ("confluent-kafka", "faust-streaming", "clickhouse-connect", "chdb", "msgspec")
BUSY_SECONDS = 0.05
BUILD = " as the system has it" if sys.base_prefix == "/usr" else ""
"""A distribution builds it with a profile; by hand it is seldom so, and a sixth slower."""


def described() -> dict[str, Any]:
    """Return machine, versions, load, and what else uses the processor, measured over a second."""
    memory_kib = int(Path("/proc/meminfo").read_text().split()[1])
    load, _, _ = os.getloadavg()
    return {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{os.cpu_count()} cores, {memory_kib / 2**20:.0f} GiB, {platform.system()} {platform.machine()}",
        "versions": f"Python {platform.python_version()}{BUILD}, "
        + ", ".join(f"{name} {version(name)}" for name in PACKAGES),
        "load": load,
        "others": _others(),
    }


def _others() -> str:
    before = _cpu_by_pid()
    time.sleep(1.0)
    busy = {
        _name(pid): seconds - before.get(pid, seconds)
        for pid, seconds in _cpu_by_pid().items()
        if pid != os.getpid() and seconds - before.get(pid, seconds) >= BUSY_SECONDS
    }
    return ", ".join(f"{name} ({share:.0%} of a core)" for name, share in busy.items()) or "nothing"


def _cpu_by_pid() -> dict[int, float]:
    found: dict[int, float] = {}
    for path in Path("/proc").iterdir():
        if path.name.isdecimal():
            with contextlib.suppress(OSError):
                found[int(path.name)] = cpu_seconds(int(path.name))
    return found


def _name(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return str(pid)


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that process *pid* has used, all threads, ended ones too, user and system.

    Raises:
        OSError: There is no such process.
    """
    # The kernel's own clock of a process, in nanoseconds: /proc/PID/stat counts ticks of 10 ms, more than what an idle
    # process uses in a second. See CPUCLOCK_SCHED in linux/posix-timers.h.
    return time.clock_gettime((~pid << 3) | 2)


def cpu_percents(pids: Sequence[int], seconds: float) -> tuple[list[float], float]:
    """Return what each of *pids* uses over *seconds*, in % of a core, and how long it really took."""
    before, began = [cpu_seconds(pid) for pid in pids], time.monotonic()
    time.sleep(seconds)
    after, took = [cpu_seconds(pid) for pid in pids], time.monotonic() - began
    return [(now - then) / took * 100 for now, then in zip(after, before, strict=True)], took


def peak_resident_mb(pid: int) -> float:
    """Return the most memory that process *pid* has held, in MB (10^6 bytes)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    [peak] = [line for line in lines if line.startswith("VmHWM:")]
    return int(peak.split()[1]) * 1_024 / 1e6
