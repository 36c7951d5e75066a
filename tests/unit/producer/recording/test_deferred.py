"""Deferred starts: logged after a moment, with what became known by then, by a thread that does not stay."""

import threading
import time

import pytest

from trailhouse.producer.recording.deferred import DEFERRED_STARTS, DELAY_SECONDS, THREAD_NAME
from trailhouse.producer.testing import InMemoryAuditLogger
from waiting import eventually


def is_waiting() -> bool:
    """Return whether the thread of deferred starts is there."""
    return any(thread.name == THREAD_NAME for thread in threading.enumerate())


def test_a_deferred_start_is_logged_after_a_moment(audit_log: InMemoryAuditLogger) -> None:
    """A run of which nothing is heard has its start within a moment, at the time when it was opened."""
    opened = time.monotonic()
    runs = [audit_log.recorder.open_run(source="test", is_deferred=True) for _ in range(3)]
    runs[0].name(session_id="s-1", agent_id="late")
    assert audit_log.events == []
    eventually(lambda: len(audit_log.events) == 3, "three starts")
    assert time.monotonic() - opened >= DELAY_SECONDS
    first = audit_log.events[0]
    assert (first.session_id, first.agent_id) == ("s-1", "late")
    eventually(lambda: not is_waiting(), "the end of the thread")
    for run in runs:
        run.end()
    assert audit_log.stats().open_runs == 0


def test_no_thread_waits_for_what_has_begun(audit_log: InMemoryAuditLogger) -> None:
    """The thread ends, and keeps no run, when nothing is to be done; an ordinary run starts none."""
    with audit_log.run("s-1"):
        assert not is_waiting()
    audit_log.recorder.open_run("s-1", source="test", is_deferred=True).end()
    eventually(lambda: not is_waiting(), "the end of the thread")
    assert [str(event.type) for event in audit_log.events][2:] == ["run_started", "run_completed"]


def test_runs_that_begin_at_once_share_a_thread(audit_log: InMemoryAuditLogger) -> None:
    """The thread stays for 250 ms though its run has ended: one for each run would cost more than all else of it."""
    eventually(lambda: not is_waiting(), "the end of the thread of other tests")
    run = audit_log.recorder.open_run("s-1", source="test")
    opened = time.monotonic()
    DEFERRED_STARTS.add(run)  # it has begun by then
    threads = [each for each in threading.enumerate() if each.name == THREAD_NAME]
    assert len(threads) == 1
    threads[0].join(DELAY_SECONDS / 2)
    assert threads[0].is_alive() or time.monotonic() - opened >= DELAY_SECONDS
    run.end()


def test_a_child_has_its_deferred_parent_begin(audit_log: InMemoryAuditLogger) -> None:
    """The start of a deferred run is logged before that of its first child, which is in its session."""
    parent = audit_log.recorder.open_run(source="test", trace_id="t-1", is_deferred=True)
    child = audit_log.recorder.open_run("own", source="test", parent=parent)
    assert [event.run_id for event in audit_log.events] == [parent.id, child.id]
    assert {event.session_id for event in audit_log.events} == {"t-1"}


def test_where_no_thread_can_start_the_run_begins_at_once(
    audit_log: InMemoryAuditLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the interpreter's exit, where no thread can be started, a deferred run begins at once."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    eventually(lambda: not is_waiting(), "the end of the thread of other tests")
    monkeypatch.setattr(threading.Thread, "start", refuse)
    audit_log.recorder.open_run("s-1", source="test", is_deferred=True)
    assert [str(event.type) for event in audit_log.events] == ["run_started"]


def test_a_deferred_run_that_is_bound_begins_with_the_first_event(
    audit_log: InMemoryAuditLogger,
) -> None:
    """Within the block of a run whose session is not known yet an event is in that session, after the start."""
    run = audit_log.recorder.open_run(source="test", is_deferred=True)
    with run.bound():
        assert audit_log.events == []
        run.name(session_id="s-1")
        audit_log.log("note")
        with audit_log.bind(agent_id="bot"):
            audit_log.log("note")
    run.end()
    types = [str(event.type) for event in audit_log.events]
    assert types == ["run_started", "note", "note", "run_completed"]
    assert {event.session_id for event in audit_log.events} == {"s-1"}
