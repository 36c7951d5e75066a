"""A logger that one thread closes while another is in the middle of recording: each start has its end."""

import threading
from collections.abc import Callable

import pytest

from capture_rules import TOOL_STARTED, check_runs
from trailhouse.producer.recording import open_calls, recorder
from trailhouse.producer.recording.open_calls import OpenCalls
from trailhouse.producer.recording.recorder import Recorder
from trailhouse.producer.testing import InMemoryAuditLogger
from trailhouse.schemas.draft import EventDraft

LET_CLOSE_SECONDS = 0.3
"""So long a thread stands still while it logs: enough to close a logger that does not wait for it, as it must."""


def closed_while_logging(
    audit: InMemoryAuditLogger, type: str, work: Callable[[], object]
) -> list[str]:
    """Close *audit* while another thread, which does *work*, logs *type*; return what the first run has by then."""
    log, is_logging, is_closed = audit.recorder.log, threading.Event(), threading.Event()

    def slowly(draft: EventDraft, **options: bool) -> None:
        if draft.type == type and not is_logging.is_set():
            is_logging.set()
            is_closed.wait(LET_CLOSE_SECONDS)
        log(draft, **options)

    audit.recorder.log = slowly
    worker = threading.Thread(target=work)
    worker.start()
    assert is_logging.wait(60)
    audit.close()
    is_closed.set()
    first, *_ = check_runs(audit.events)
    worker.join()
    assert audit.stats().unlogged_total == 0
    return first.types


def test_closing_waits_for_a_tool_calls_end(audit_log: InMemoryAuditLogger) -> None:
    """A tool call whose end another thread is logging as the logger is closed has that end."""
    run = audit_log.recorder.open_run("s-1", source="test")
    call = run.tool_call("search").start()
    types = closed_while_logging(audit_log, "tool_call_completed", call.complete)
    assert types == ["run_started", "tool_call_started", "tool_call_completed", "run_abandoned"]


def test_closing_waits_for_a_late_tool_calls_end(audit_log: InMemoryAuditLogger) -> None:
    """The same holds of a call whose run has ended before."""
    with audit_log.run("s-1") as run:
        call = run.tool_call("search").start()
    types = closed_while_logging(audit_log, "tool_call_failed", lambda: call.fail("stopped"))
    assert types == ["run_started", "tool_call_started", "run_completed", "tool_call_failed"]


def test_closing_waits_for_a_tool_calls_start(audit_log: InMemoryAuditLogger) -> None:
    """A tool call whose start another thread is logging as the logger is closed has an end after it."""
    run = audit_log.recorder.open_run("s-1", source="test")
    types = closed_while_logging(audit_log, TOOL_STARTED, run.tool_call("search").start)
    assert types == ["run_started", "tool_call_started", "tool_call_failed", "run_abandoned"]


@pytest.mark.parametrize("type", ["run_started", "run_completed"])
def test_closing_waits_for_a_runs_start_and_end(audit_log: InMemoryAuditLogger, type: str) -> None:
    """A run whose start or end another thread is logging as the logger is closed has both."""
    run = audit_log.recorder.open_run("s-1", source="test", is_deferred=True, begins_alone=False)
    work = run.begin if type == "run_started" else run.end
    ending = "run_abandoned" if type == "run_started" else "run_completed"
    assert closed_while_logging(audit_log, type, work) == ["run_started", ending]


def test_closing_waits_for_the_end_of_a_run_that_pauses(audit_log: InMemoryAuditLogger) -> None:
    """A run that another thread pauses as the logger is closed is paused, and its approval asked for."""
    run = audit_log.recorder.open_run("s-1", source="test")
    run.ask_approval("refund", {}, policy_name="limits")
    types = closed_while_logging(audit_log, "run_completed", run.pause)
    assert types == ["run_started", "tool_approval_requested", "run_completed"]


def test_closing_waits_for_the_end_of_a_run_too_many(
    audit_log: InMemoryAuditLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is abandoned for being one too many, as the logger is closed, has that end."""
    monkeypatch.setattr(recorder, "MAX_OPEN_RUNS", 1)
    audit_log.recorder.open_run("s-1", source="test")

    def open_another() -> None:
        audit_log.recorder.open_run("s-2", source="test")

    types = closed_while_logging(audit_log, "run_abandoned", open_another)
    assert types == ["run_started", "run_abandoned"]


def test_closing_waits_for_the_end_of_a_call_too_many(
    audit_log: InMemoryAuditLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tool call that is given up for being one too many, as the logger is closed, has that end."""
    monkeypatch.setattr(open_calls, "MAX_OPEN_CALLS", 1)
    with audit_log.run("s-1") as run:
        run.tool_call("search").start()
    types = closed_while_logging(audit_log, "tool_call_failed", run.tool_call("read").start)
    assert sorted(types) == sorted([
        "run_started", "run_completed", *["tool_call_started", "tool_call_failed"] * 2,
    ])  # fmt: skip


def test_a_call_that_begins_while_runs_are_abandoned_has_no_start(
    audit_log: InMemoryAuditLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tool call that begins as the logger has given up all calls is a loss: nobody would log its end."""
    run = audit_log.recorder.open_run("s-1", source="test")
    given_up = OpenCalls.give_up_all

    def beginning(calls: OpenCalls) -> None:
        given_up(calls)
        run.tool_call("search").start()

    monkeypatch.setattr(OpenCalls, "give_up_all", beginning)
    audit_log.close()
    assert check_runs(audit_log.events)[0].types == ["run_started", "run_abandoned"]
    assert audit_log.stats().unlogged_total == 1


def test_a_model_call_that_begins_while_runs_are_abandoned_holds_up_no_end(
    audit_log: InMemoryAuditLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run does not wait for a model call that began as the logger had given up all calls."""
    run = audit_log.recorder.open_run("s-1", source="test")
    given_up = OpenCalls.give_up_all

    def beginning(calls: OpenCalls) -> None:
        given_up(calls)
        run.model_call()

    monkeypatch.setattr(OpenCalls, "give_up_all", beginning)
    audit_log.close()
    assert check_runs(audit_log.events)[0].types == ["run_started", "run_abandoned"]


def test_a_call_that_ends_as_its_run_is_ended_leaves_the_run_its_end(
    audit_log: InMemoryAuditLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that ends in one thread as its last model call is given up by the close in another has its end."""
    run = audit_log.recorder.open_run("s-1", source="test")
    run.model_call()
    is_ending, is_closed = threading.Event(), threading.Event()
    now_ns = audit_log.recorder.now_ns

    def slowly(_: Recorder, *given: object) -> int:
        if threading.current_thread() is worker and not is_ending.is_set():
            is_ending.set()
            is_closed.wait(LET_CLOSE_SECONDS)
        return now_ns()

    monkeypatch.setattr(Recorder, "now_ns", slowly)
    worker = threading.Thread(target=run.end)
    worker.start()
    assert is_ending.wait(60)
    audit_log.close()
    is_closed.set()
    types = check_runs(audit_log.events)[0].types
    worker.join()
    assert types == ["run_started", "model_call_failed", "run_completed"]
