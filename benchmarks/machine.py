"""What a figure was measured on: cores, memory, versions, and what else ran."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("confluent-kafka", "faust-streaming", "clickhouse-connect", "chdb", "msgspec")


def describe() -> str:
    """Return the machine and the versions, one line each."""
    memory_kib = int(Path("/proc/meminfo").read_text().split()[1])
    load, _, _ = os.getloadavg()
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"machine: {os.cpu_count()} cores, {memory_kib / 2**20:.0f} GiB, {platform.machine()},"
        f" load {load:.1f} at the start\n"
        f"versions: Python {platform.python_version()}, {versions}"
    )


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that process *pid* has used, all threads, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_resident_mb(pid: int) -> float:
    """Return the most memory that process *pid* has held, in MB (10^6 bytes)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    [peak] = [line for line in lines if line.startswith("VmHWM:")]
    return int(peak.split()[1]) * 1_024 / 1e6
