"""Model calls whose ends are told late, or never."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from capture_rules import check_runs
from trailhouse.producer.recording import model_call
from trailhouse.producer.recording.open_calls import OpenCalls
from trailhouse.producer.recording.run import Run
from trailhouse.producer.recording.usage import Usage
from trailhouse.producer.testing import InMemoryAuditLogger
from waiting import DEADLINE_SECONDS

USED = Usage(input_tokens=3, output_tokens=2)


@pytest.fixture
def audit() -> Iterator[InMemoryAuditLogger]:
    with InMemoryAuditLogger() as audit:
        yield audit


def test_a_run_waits_for_its_model_call_and_counts_it(audit: InMemoryAuditLogger) -> None:
    """An end that is told from another thread, after the run's block, is in the totals all the same."""
    with audit.run("s-1") as run:
        call = run.model_call()
    assert not run.is_open
    assert [e for e in audit.events if e.type == "run_completed"] == []

    teller = threading.Thread(target=call.complete, args=(USED,))
    teller.start()
    teller.join()

    (recorded,) = check_runs(audit.events)
    assert recorded.types == ["run_started", "token_usage_updated", "run_completed"]
    assert recorded.end.data["token_usage"] == {"input_tokens": 3, "output_tokens": 2}
    assert recorded.end.occurred_at <= recorded.events[1].occurred_at


def test_a_call_whose_end_is_not_told_in_time_has_failed(
    audit: InMemoryAuditLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run does not wait for ever: the call failed for want of an end, and the run ends as it did."""
    monkeypatch.setattr(model_call, "END_AWAITED_SECONDS", 0.01)
    with audit.run("s-1") as run:
        run.model_call()
    for timer in threading.enumerate():
        if isinstance(timer, threading.Timer):
            timer.join(DEADLINE_SECONDS)

    (recorded,) = check_runs(audit.events)
    assert recorded.types == ["run_started", "model_call_failed", "run_completed"]
    assert recorded.events[1].data["error_code"] == "no_end"


def test_closing_the_logger_waits_for_nothing() -> None:
    """As the logger is closed, calls without an end have failed, and the ends that waited are logged."""
    with InMemoryAuditLogger() as audit, audit.run("s-1") as run:
        run.model_call()

    assert check_runs(audit.events)[0].types == [
        "run_started",
        "model_call_failed",
        "run_completed",
    ]


def test_closing_waits_for_an_end_that_is_being_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call whose end another thread is telling as the logger is closed has that end, and so has its run."""
    is_telling, is_closing = threading.Event(), threading.Event()
    use, give_up_all = Run.use, OpenCalls.give_up_all

    def slowly(run: Run, usage: Usage, **more: Any) -> None:
        is_telling.set()
        is_closing.wait(DEADLINE_SECONDS)
        use(run, usage, **more)

    def closing(calls: OpenCalls) -> None:
        is_closing.set()
        give_up_all(calls)

    monkeypatch.setattr(Run, "use", slowly)
    monkeypatch.setattr(OpenCalls, "give_up_all", closing)
    with InMemoryAuditLogger() as audit:
        with audit.run("s-1") as run:
            call = run.model_call()
        teller = threading.Thread(target=call.complete, args=(USED,))
        teller.start()
        is_telling.wait(DEADLINE_SECONDS)
    recorded = check_runs(audit.events)  # as the logger was closed, and not a moment later
    teller.join()

    assert recorded[0].types == ["run_started", "token_usage_updated", "run_completed"]


def test_the_first_end_of_a_call_counts(audit: InMemoryAuditLogger) -> None:
    """A call that is told twice is recorded once, and one that another has recorded not at all."""
    with audit.run("s-1") as run:
        call = run.model_call()
        call.fail(ValueError("no"))
        call.complete(USED)
        run.model_call().drop()

    assert check_runs(audit.events)[0].types == [
        "run_started",
        "model_call_failed",
        "run_completed",
    ]
