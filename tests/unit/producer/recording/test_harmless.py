"""Whatever it is given, and wherever it is called, the recorder raises nothing; in strict mode it does."""

import contextvars
import signal
import threading
import time
import uuid
from types import SimpleNamespace
from typing import Any

import pytest

from capture_rules import check_runs
from spooling import NOWHERE
from trailhouse.producer import AuditLogger, ProducerConfig
from trailhouse.producer.recording import open_calls, recorder
from trailhouse.producer.recording.usage import Usage
from trailhouse.producer.testing import InMemoryAuditLogger
from trailhouse.schemas import KafkaConfig
from trailhouse.schemas.errors import (
    DeliveryError,
    InvalidEventError,
    QueueFullError,
    SpoolFullError,
)


class Hostile:
    """An object all of whose answers raise."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __str__(self) -> str:
        raise RuntimeError

    def __bool__(self) -> bool:
        raise RuntimeError

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    __hash__ = None  # type: ignore[assignment]


class HidesItsClass(Hostile):
    """One that not even `isinstance` can be asked of."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


def test_an_id_of_a_call_that_raises_harms_nobody(audit_log: InMemoryAuditLogger) -> None:
    """A call's id that cannot be looked at is marked like any other value."""
    hostile: Any = HidesItsClass()
    with audit_log.run("s-1") as run, run.tool_call("search", call_id=hostile) as call:
        call.result = 1

    assert [each.type for each in audit_log.events][-1] == "run_completed"


WRONG: list[Any] = [Hostile(), object(), 7, b"x", [], "x" * 300, "\udc80", "", uuid.uuid4(), 1.5]


@pytest.mark.parametrize("wrong", WRONG, ids=range(len(WRONG)))
def test_wrong_arguments_are_marked(audit_log: InMemoryAuditLogger, wrong: Any) -> None:
    """A run whose every argument is wrong is recorded all the same, whole, and its block is not harmed."""
    with audit_log.run(
        wrong, agent_id=wrong, run_id=wrong, tenant_id=wrong, actor=wrong, provider=wrong,
        correlation_id=wrong, metadata=wrong,
    ) as run:  # fmt: skip
        with run.tool_call(wrong, wrong, call_id="c-1") as call:
            call.result = wrong
        run.result = wrong
        run.message(wrong, role=wrong, message_id=wrong, at=wrong)
        run.error_occurred(wrong)
        run.name(session_id=wrong, agent_id=wrong)
        run.log(wrong, wrong, metadata=wrong)
        run.ask_approval(wrong, wrong, call_id=wrong, policy_name=wrong)
        audit_log.log("note")
        with audit_log.run(wrong):
            pass
    first, _ = check_runs(audit_log.events, has_right_values=False)
    assert first.end.type == "run_completed"
    assert "tool_call_completed" in first.types


@pytest.mark.parametrize("session", [SimpleNamespace(id="s-1"), {"session_id": "s-1"}, "s-1"])
def test_a_session_is_given_in_any_form(audit_log: InMemoryAuditLogger, session: object) -> None:
    """A session is an id, a mapping, or an object that has one."""
    with audit_log.run(session):
        pass
    assert audit_log.only("run_started").session_id == "s-1"


def test_a_run_without_a_session_is_kept_under_its_id(audit_log: InMemoryAuditLogger) -> None:
    """A run in a bare thread, without a session, is recorded under its own id, and counted."""

    def work() -> None:
        with audit_log.run(agent_id="bot"):
            audit_log.log("note")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    (run,) = check_runs(audit_log.events)
    assert {event.session_id for event in run.events} == {run.run_id}
    assert run.start.metadata["session_missing"] is True
    assert audit_log.stats().sessions_missing_total == 1


def test_strict_arguments_are_refused(audit_log: InMemoryAuditLogger) -> None:
    """In strict mode a run with a wrong argument raises before its block is entered."""
    with pytest.raises(InvalidEventError, match="run_id"):
        audit_log.run("s-1", run_id="x" * 300, strict=True).__enter__()
    assert audit_log.events == []
    assert audit_log.stats().open_runs == 0


def test_a_strict_block_is_not_entered_unrecorded(audit_log: InMemoryAuditLogger) -> None:
    """In strict mode the start, a tool's start and the end raise; a block's own error goes on, with a note."""
    full = SpoolFullError("full")
    audit_log.fail_with(full)
    with pytest.raises(SpoolFullError):
        audit_log.run("s-1", strict=True).__enter__()
    ran: list[str] = []
    with pytest.raises(SpoolFullError):
        call_a_tool_that_cannot_start(audit_log, ran)
    with pytest.raises(LookupError) as raised:
        fail_in_a_run_that_cannot_end(audit_log)
    assert "full" in raised.value.__notes__[0]
    assert ran == []
    assert audit_log.stats().open_runs == 0


def call_a_tool_that_cannot_start(audit: InMemoryAuditLogger, ran: list[str]) -> None:
    """Enter a tool's block within a strict run, where its start cannot be logged."""
    audit.fail_with(None)
    with audit.run("s-1", strict=True) as run:
        audit.fail_with(SpoolFullError("full"))
        with run.tool_call("search"):
            ran.append("tool")


def fail_in_a_run_that_cannot_end(audit: InMemoryAuditLogger) -> None:
    """Raise within a strict run whose end cannot be logged."""
    audit.fail_with(None)
    with audit.run("s-1", strict=True):
        audit.fail_with(SpoolFullError("full"))
        raise LookupError


def test_nothing_of_the_ending_context_is_in_an_event(audit_log: InMemoryAuditLogger) -> None:
    """A run that is ended, and a tool that ends, where something else is bound have nothing of it."""
    run = audit_log.recorder.open_run("s-1", source="test")
    call = run.tool_call("search").start()

    def end() -> None:
        with audit_log.bind(session="s-2", agent_id="other", tenant_id="t", correlation_id="c"):
            call.complete()
            run.end()

    thread = threading.Thread(target=end)
    thread.start()
    thread.join()
    (recorded,) = check_runs(audit_log.events)
    for event in recorded.events:
        assert (event.agent_id, event.tenant_id, event.correlation_id) == (None, None, None)


def test_a_named_parent_gives_its_own_and_not_what_is_bound(audit_log: InMemoryAuditLogger) -> None:
    """A child of a named parent has that one's session, tenant and agent; with no parent it has none."""
    parent = audit_log.recorder.open_run("s-1", source="test", agent_id="a", tenant_id="t-1")
    with audit_log.run("s-2", agent_id="b", tenant_id="t-2", correlation_id="c-2"):
        child = audit_log.recorder.open_run(source="test", parent=parent)
        alone = audit_log.recorder.open_run("s-3", source="test", parent=None)
        bound = audit_log.recorder.open_run("s-4", source="test")
    started = {event.run_id: event for event in audit_log.events if event.type == "run_started"}
    of_parent = started[child.id]
    assert (of_parent.session_id, of_parent.tenant_id, of_parent.parent_run_id) == (
        "s-1", "t-1", parent.id,
    )  # fmt: skip
    assert (of_parent.agent_id, of_parent.correlation_id) == ("a", None)
    assert (started[alone.id].parent_run_id, started[alone.id].session_id) == (None, "s-3")
    assert (started[bound.id].session_id, started[bound.id].agent_id) == ("s-2", "b")
    assert started[bound.id].metadata["framework_session_id"] == "s-4"


def test_a_run_that_is_bound_and_not_recorded_is_a_parent(audit_log: InMemoryAuditLogger) -> None:
    """Within a bind of a run that somebody else records, a run is that one's child, in its session."""
    with audit_log.bind(session="s-1", run="r-1"), audit_log.run("s-2"):
        pass
    started = audit_log.only("run_started")
    assert (started.parent_run_id, started.session_id) == ("r-1", "s-1")


def test_what_was_begun_is_ended_where_auditing_is_off(audit_log: InMemoryAuditLogger) -> None:
    """A run and a tool that began where auditing was on have their ends, and those that began off have nothing."""
    with audit_log.run("s-1") as run:
        call = run.tool_call("search").start()
        with audit_log.disabled():
            call.complete()
            with run.tool_call("unseen") as unseen:
                pass
            run.message("unseen", role="user")
            run.end()
    assert unseen.is_open is False
    (recorded,) = check_runs([e for e in audit_log.events if not e.type.startswith("audit_")])
    assert recorded.types == [
        "run_started",
        "tool_call_started",
        "tool_call_completed",
        "run_completed",
    ]


def test_a_process_that_is_off_records_nothing() -> None:
    """Where auditing is off by its settings, runs, tools and traced functions are as without."""
    audit = InMemoryAuditLogger(ProducerConfig(enabled=False))
    with audit.run("s-1") as run, run.tool_call("search"):
        run.use(Usage(input_tokens=1))
    assert [event.type for event in audit.events if event.type != "audit_disabled"] == []


def test_a_full_queue_holds_nobody_up() -> None:
    """Without room an event is a loss at once, however long `log` would wait for room; in strict mode it waits."""
    config = ProducerConfig(
        enabled=True,
        mode="memory",
        queue_events=1,
        queue_timeout_seconds=0.5,
        kafka=KafkaConfig(bootstrap_servers=NOWHERE),
    )
    audit = AuditLogger(config)
    audit.log("note", session_id="s-1")
    began = time.monotonic()
    for _ in range(200):
        with audit.run("s-1") as run, run.tool_call("search"):
            pass
    assert audit.stats().unlogged_total == 800
    assert time.monotonic() - began < 800 * config.queue_timeout_seconds / 4
    began = time.monotonic()
    with pytest.raises(QueueFullError):
        audit.run("s-1", strict=True).__enter__()
    assert time.monotonic() - began >= config.queue_timeout_seconds
    with pytest.raises(DeliveryError):
        audit.close(0)


def test_a_signal_handler_records_after_the_start(
    audit_log: InMemoryAuditLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a signal handler records while a run's start is being logged comes after it."""
    log = audit_log.recorder.log
    signals = [signal.SIGUSR1]

    def interrupted(fields: Any, **options: bool) -> None:
        if signals:
            signal.raise_signal(signals.pop())
        log(fields, **options)

    run = audit_log.recorder.open_run("s-1", source="test", is_deferred=True)
    before = signal.signal(signal.SIGUSR1, lambda *_: run.message("interrupted", role="user"))
    monkeypatch.setattr(audit_log.recorder, "log", interrupted)
    try:
        run.begin()
    finally:
        signal.signal(signal.SIGUSR1, before)
    run.end()
    assert check_runs(audit_log.events)[0].types == [
        "run_started",
        "message_received",
        "run_completed",
    ]


def test_what_two_adapters_see_is_recorded_once(audit_log: InMemoryAuditLogger) -> None:
    """Of threads that claim the same call at once exactly one gets it."""
    begun = threading.Barrier(8)
    won: list[int] = []

    def claim(number: int) -> None:
        begun.wait()
        claims = audit_log.recorder.claims
        won.extend(number for key in range(300) if claims("model_call", str(key)))

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 300


def test_a_call_has_one_end_whoever_reports_it(audit_log: InMemoryAuditLogger) -> None:
    """Of threads that start and end the same call and run at once, one start and one end are logged."""
    begun = threading.Barrier(6)
    run = audit_log.recorder.open_run("s-1", source="test", is_deferred=True)
    calls = [run.tool_call("search", call_id=str(number)) for number in range(40)]

    def work() -> None:
        begun.wait()
        for call in calls:
            call.start()
            call.complete()
            call.fail("late")

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run.end()
    check_runs(audit_log.events)
    assert len(audit_log.events) == 82


def test_calls_left_open_are_given_up(
    audit_log: InMemoryAuditLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that is open when its run has ended fails for want of an end, when some minutes have gone."""
    monkeypatch.setattr(open_calls, "AFTER_ITS_RUN_SECONDS", 0.0)
    run = audit_log.recorder.open_run("s-1", source="test")
    call = run.tool_call("search").start()
    run.end()
    late = run.tool_call("late").start()
    with audit_log.run("s-2"):
        assert (call.is_open, late.is_open) == (False, False)
    assert {e.data["error_code"] for e in audit_log.events if e.type == "tool_call_failed"} == {
        "no_end"
    }
    check_runs(audit_log.events)


def test_what_is_open_is_bounded(
    audit_log: InMemoryAuditLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Above the limits the oldest open run is abandoned, the oldest call given up, the oldest claim forgotten."""
    monkeypatch.setattr(recorder, "MAX_OPEN_RUNS", 2)
    monkeypatch.setattr(recorder, "MAX_CLAIMS", 2)
    monkeypatch.setattr(open_calls, "MAX_OPEN_CALLS", 2)
    runs = [audit_log.recorder.open_run(f"s-{number}", source="test") for number in range(4)]
    calls = [runs[3].tool_call("search").start() for _ in range(4)]
    assert [run.is_open for run in runs] == [False, False, True, True]
    assert [call.is_open for call in calls] == [False, False, True, True]
    assert audit_log.stats().open_runs == 2
    assert audit_log.stats().abandoned_runs_total == 2
    claims = audit_log.recorder.claims
    assert [claims("k", key) for key in ("a", "b", "c", "c", "a")] == [
        True,
        True,
        True,
        False,
        True,
    ]
    audit_log.close()
    check_runs(audit_log.events)


def test_a_copied_context_keeps_the_run(audit_log: InMemoryAuditLogger) -> None:
    """A thread in a copied context records in the run, and a child there is its child."""
    with audit_log.run("s-1") as run:
        context = contextvars.copy_context()

        def work() -> None:
            with audit_log.run(agent_id="child"):
                audit_log.log("note")

        thread = threading.Thread(target=context.run, args=(work,))
        thread.start()
        thread.join()
    _, child = check_runs(audit_log.events)
    assert child.start.parent_run_id == run.id
    assert audit_log.only("note").run_id == child.run_id
