"""What a process has used."""

import os
import subprocess
import sys
import threading
import time

import pytest
from benchmarks.machine import cpu_seconds


def test_the_time_of_a_process_is_that_of_all_its_threads_in_fractions_of_a_tick() -> None:
    """Of those that have ended too: it is what the process itself is told."""
    thread = threading.Thread(target=lambda: [hash(str(number)) for number in range(100_000)])
    thread.start()
    thread.join()
    before, asked, after = time.process_time(), cpu_seconds(os.getpid()), time.process_time()
    assert before <= asked <= after


def test_a_process_that_sleeps_uses_nothing() -> None:
    """Not the time of whoever asks."""
    command = [sys.executable, "-S", "-c", "print(1, flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        first, own = cpu_seconds(process.pid), time.process_time()
        while time.process_time() < own + 0.2:
            hash(str(own))
        assert 0 < first <= cpu_seconds(process.pid) < first + 0.2


def test_a_process_that_has_gone_is_told_of() -> None:
    """It must not be taken for one that sleeps."""
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait()
    with pytest.raises(OSError, match=r"."):
        cpu_seconds(process.pid)
