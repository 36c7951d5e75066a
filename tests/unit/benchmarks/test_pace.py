"""The pace of an emitter: what it costs beyond a host that sleeps."""

import importlib
import json
import time
from types import SimpleNamespace
from typing import Any

import pytest

# What stands among the emitters is run by environments without types.
caller: Any = importlib.import_module("benchmarks.emitters.caller")
BURNT_SECONDS = 0.002


def burn(_event: object) -> None:
    """Use the processor for BURNT_SECONDS."""
    end = time.thread_time() + BURNT_SECONDS
    while time.thread_time() < end:
        pass


def paced(arrived: int) -> None:
    """Have an emitter that burns log 20 events, and say that *arrived* have."""
    given = SimpleNamespace(mode="paced", events=20, rate=1_000.0)
    caller.run(given, [{}], lambda: (burn, lambda: arrived))


def test_an_event_costs_what_its_call_used(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not what the host uses to sleep, nor the events before, by which it got warm."""
    monkeypatch.setattr(caller, "WARM_SECONDS", 0.005)
    paced(25)
    tally = json.loads(capsys.readouterr().out)
    assert tally["cpu_us_per_event"] >= BURNT_SECONDS * 1e6 * 0.8
    assert tally["host_us_per_event"] > 0


def test_an_event_that_did_not_arrive_ends_the_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who loses events is not quicker for it."""
    monkeypatch.setattr(caller, "WARM_SECONDS", 0.005)
    with pytest.raises(SystemExit, match="expected 25 events to arrive, got 24"):
        paced(24)
