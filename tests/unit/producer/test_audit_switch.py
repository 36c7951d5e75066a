"""Auditing off and on: what is written, what is not, and the trace that each switch leaves."""

import asyncio
import concurrent.futures
import contextvars
import logging
import os
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from trailhouse.producer import ProducerConfig, telemetry
from trailhouse.producer.testing import InMemoryAuditLogger
from trailhouse.schemas import Actor, AuditEvent, Run, Session
from trailhouse.schemas.errors import InvalidEventError, SpoolFullError

PERSON = {"type": "user", "id": "u-17"}
OFF = ProducerConfig(enabled=False)


def types(audit: InMemoryAuditLogger) -> list[str]:
    return [event.type for event in audit.events]


def is_on(audit: InMemoryAuditLogger) -> bool:
    return audit.is_enabled


def test_switching_off_says_who_and_why(audit: InMemoryAuditLogger) -> None:
    """Around a block that is off stand audit_disabled and audit_enabled, in the session that is bound."""
    with audit.bind(session=Session("s", tenant_id="acme"), run="r"):
        with audit.disabled(reason="migration", actor=PERSON):
            assert is_on(audit) is False
            assert audit.log("a", data={"x": object()}) is None
            assert audit.log_run_started() is None
            assert audit.emit(AuditEvent(type="a", session_id="s")) is None
        assert is_on(audit) is True
        audit.log("b")

    assert types(audit) == ["audit_disabled", "audit_enabled", "b"]
    for event in audit.events[:2]:
        assert (event.session_id, event.run_id, event.tenant_id) == ("s", "r", "acme")
        assert event.actor == Actor(**PERSON)
        assert event.data == {"reason": "migration", "scope": "context"}
    assert audit.events[2].actor is None


def test_without_a_session_the_first_event_that_is_not_written_has_the_trace(
    audit: InMemoryAuditLogger,
) -> None:
    """Where no session is bound, the switch is told in the session of the first event it decides about."""
    with audit.disabled(reason="test"):
        assert audit.log("a", session_id=7) is None  # type: ignore[arg-type]  # of no session
        assert types(audit) == []
        audit.log(
            "a",
            session_id="s1",
            tenant_id="t",
            data={"x": 1},
            event_id=AuditEvent(type="a", session_id="s").event_id,
        )
        audit.log("a", session_id="s2")
    with audit.disabled():
        pass

    assert types(audit) == ["audit_disabled", "audit_enabled"]
    assert {(event.session_id, event.tenant_id) for event in audit.events} == {("s1", "t")}
    assert audit.events[0].data == {"reason": "test", "scope": "context"}


def test_switches_nest(audit: InMemoryAuditLogger) -> None:
    """A switch that changes nothing leaves nothing; one within another is undone before it."""
    with audit.bind(session="s"):
        with audit.disabled(reason="outer"):
            with audit.disabled(reason="again"):
                audit.log("never")
            with audit.enabled(reason="inner"):
                assert is_on(audit) is True
                audit.log("kept")
            assert is_on(audit) is False
            audit.log("never")
        with audit.enabled():
            audit.log("kept")

    assert [(event.type, event.data.get("reason")) for event in audit.events] == [
        ("audit_disabled", "outer"), ("audit_enabled", "inner"), ("kept", None), ("audit_disabled", "inner"),
        ("audit_enabled", "outer"), ("kept", None),
    ]  # fmt: skip


def test_an_error_in_the_block_switches_on_again(audit: InMemoryAuditLogger) -> None:
    """However the block ends, auditing is on after it, and that is told."""
    for error in (ZeroDivisionError, KeyboardInterrupt, GeneratorExit):
        with pytest.raises(error), audit.bind(session="s"), audit.disabled():
            raise error
        assert is_on(audit) is True
        assert types(audit) == ["audit_disabled", "audit_enabled"]
        audit.clear()


def test_a_token_resets_once_and_its_own_logger_alone(audit: InMemoryAuditLogger) -> None:
    """set_enabled gives a token, as contextvars do, which reset_enabled takes back once."""
    other = InMemoryAuditLogger()
    with audit.bind(session="s"):
        token = audit.set_enabled(False, reason="by hand")
        assert audit.log("a") is None
        with pytest.raises(ValueError, match="another logger"):
            other.reset_enabled(token)
        audit.reset_enabled(token)
        with pytest.raises(RuntimeError, match="used"):
            audit.reset_enabled(token)
    assert is_on(audit) is True
    assert types(audit) == ["audit_disabled", "audit_enabled"]


def test_a_switch_that_cannot_be_told_is_not_made(audit: InMemoryAuditLogger) -> None:
    """Auditing goes on where its end could not be logged; where its return could not, that is logged."""
    with audit.bind(session="s"):
        audit.fail_with(SpoolFullError("full"))
        with pytest.raises(SpoolFullError), audit.disabled():
            pytest.fail("the block must not run")
        assert is_on(audit) is True
        audit.fail_with(None)
        with pytest.raises(InvalidEventError, match="actor"):
            audit.set_enabled(False, actor={"type": "user"})
        with pytest.raises(InvalidEventError, match="reason"):
            audit.set_enabled(False, reason=object())  # type: ignore[arg-type]  # a wrong type on purpose
        assert is_on(audit) is True
    assert types(audit) == []


@pytest.mark.parametrize("reason", [7, b"why", ["why"], "\udc80"])
def test_a_reason_is_text(audit: InMemoryAuditLogger, reason: Any) -> None:
    """A reason that cannot be told is refused at once, where no session is bound yet, too."""
    with pytest.raises(InvalidEventError, match="reason: must be"), audit.disabled(reason=reason):
        pytest.fail("the block must not run")
    assert is_on(audit) is True


def test_a_return_that_cannot_be_logged_is_no_error_of_the_block(
    audit: InMemoryAuditLogger, caplog: pytest.LogCaptureFixture
) -> None:
    """Leaving a block raises nothing of ours: auditing is on again, and a line of the log says what is missing."""
    with audit.bind(session="s"), audit.disabled():
        audit.fail_with(SpoolFullError("full"))
    assert is_on(audit) is True
    assert caplog.messages == ["auditing is switched on again, which could not be logged: full"]


def test_off_by_settings_leaves_one_trace_a_process(caplog: pytest.LogCaptureFixture) -> None:
    """A process that is off writes one audit_disabled, in the first session it would have written of."""
    audit = InMemoryAuditLogger(OFF, tenant_id="acme", actor=PERSON)
    assert is_on(audit) is False
    assert audit.log("a") is None  # of no session
    assert audit.log_run_started(Run("r", "s"), None) is None
    assert audit.log("a", session_id="s2") is None
    assert audit.emit(AuditEvent(type="a", session_id="s3")) is None

    event = audit.only()
    assert (event.type, event.session_id, event.run_id, event.tenant_id) == (
        "audit_disabled",
        "s",
        "r",
        "acme",
    )
    assert event.data == {"reason": "TRAILHOUSE_PRODUCER_ENABLED", "scope": "process"}
    assert event.actor == Actor(**PERSON)


def test_off_by_settings_never_raises(caplog: pytest.LogCaptureFixture) -> None:
    """Where even the trace cannot be written, a program that is off goes on, and one line says so."""
    audit = InMemoryAuditLogger(OFF)
    audit.fail_with(SpoolFullError("full"))
    for _ in range(3):
        assert audit.log("a", session_id="s") is None
    assert caplog.messages == ["auditing is switched off here, which could not be logged: full"]


def test_on_for_a_block_where_the_settings_say_off() -> None:
    """In a process that is off, enabled() writes what is in its block, and says so around it."""
    audit = InMemoryAuditLogger(OFF)
    with audit.enabled(reason="a case for the auditors"):
        audit.log("a", session_id="s")
        audit.log("b", session_id="s")
    assert audit.log("c", session_id="s") is None

    assert types(audit) == ["audit_enabled", "a", "b", "audit_disabled"]
    assert audit.events[0].data == {"scope": "context", "reason": "a case for the auditors"}


def test_a_forked_child_leaves_a_trace_of_its_own() -> None:
    """Each process that is off by its settings writes one audit_disabled, a forked one too."""
    audit = InMemoryAuditLogger(OFF)
    audit.log("a", session_id="s")
    if (child := os.fork()) == 0:
        audit.log("a", session_id="child")
        audit.log("a", session_id="child")
        os._exit(0 if [event.session_id for event in audit.events] == ["s", "child"] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_other_threads_go_on(audit: InMemoryAuditLogger) -> None:
    """A switch is for its context: other threads and copies of it are as they were."""
    before = contextvars.copy_context()
    with audit.bind(session="s"), audit.disabled():
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            assert pool.submit(lambda: is_on(audit)).result(120) is True
        assert before.run(lambda: is_on(audit)) is True
        assert contextvars.copy_context().run(lambda: is_on(audit)) is False


def test_tasks_are_off_for_as_long_as_the_block(audit: InMemoryAuditLogger) -> None:
    """A task begun in a block that is off is off until the block ends: none is so unseen and for ever."""

    async def work(go: asyncio.Event) -> None:
        assert audit.log("early") is None
        await go.wait()
        audit.log("late")

    async def main() -> None:
        go = asyncio.Event()
        with audit.bind(session="s"):
            with audit.disabled():
                task = asyncio.create_task(work(go))
                await asyncio.sleep(0)
            go.set()
            await task

    asyncio.run(main())
    assert types(audit) == ["audit_disabled", "audit_enabled", "late"]


def test_an_abandoned_generator_leaves_nothing_off(audit: InMemoryAuditLogger) -> None:
    """A block that is left in another context than it was entered in is over in both."""

    async def stream() -> AsyncIterator[int]:
        with audit.disabled():
            yield 1

    async def main() -> None:
        with audit.bind(session="s"):
            generator = stream()
            async for _ in generator:
                break
            assert is_on(audit) is False
            await asyncio.create_task(generator.aclose())  # type: ignore[attr-defined]
            assert is_on(audit) is True

    asyncio.run(main())
    assert types(audit) == ["audit_disabled", "audit_enabled"]


def test_a_switch_is_entered_once(audit: InMemoryAuditLogger) -> None:
    """Entering the same switch again is an error that says what to do."""
    switch = audit.disabled()
    with switch, pytest.raises(RuntimeError, match="make another"):
        switch.__enter__()
    assert is_on(audit) is True


def test_threads_that_come_at_once_leave_one_trace() -> None:
    """However many threads find a process off at once, one tells it."""
    audit = InMemoryAuditLogger(OFF)
    together = threading.Barrier(8)

    def work(name: str) -> None:
        together.wait(120)
        audit.log("a", session_id=name)

    threads = [threading.Thread(target=work, args=(f"s{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert types(audit) == ["audit_disabled"]


def test_a_handler_that_logs_in_a_block_that_is_off_writes_nothing(
    audit: InMemoryAuditLogger,
) -> None:
    """Neither telemetry nor a handler of the program's own log gets past the switch."""

    class Auditing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            audit.log("log_line")

    handler = Auditing()
    logging.getLogger().addHandler(handler)
    audit.attach_telemetry_handlers()
    try:
        with audit.bind(session="s"), audit.disabled():
            logging.getLogger("app").error("x")
            with telemetry.span("r", None):
                telemetry.emit_usage_metrics(None, {"input_tokens": 1})
    finally:
        logging.getLogger().removeHandler(handler)
        audit.close()
    assert types(audit) == ["audit_disabled", "audit_enabled"]


@pytest.mark.parametrize("enabled", [True, False])
def test_telemetry_gives_a_token_too(enabled: bool) -> None:
    """Telemetry's set_enabled returns a token with which its state before is set again."""

    def switch() -> None:
        first = telemetry.set_enabled(not enabled)
        second: Any = telemetry.set_enabled(enabled)
        assert telemetry.is_enabled() is enabled
        telemetry.reset_enabled(second)
        assert telemetry.is_enabled() is not enabled
        telemetry.reset_enabled(first)
        assert telemetry.is_enabled() is True
        with pytest.raises(RuntimeError):
            telemetry.reset_enabled(first)

    contextvars.copy_context().run(switch)


@pytest.fixture
def audit() -> InMemoryAuditLogger:
    """Return a logger that keeps what it logs in memory."""
    return InMemoryAuditLogger()
