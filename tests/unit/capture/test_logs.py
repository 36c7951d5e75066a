"""What is logged as an error within a run is an event of that run, and nothing goes in a circle."""

import logging
import threading
from collections.abc import Iterator

import pytest

from capture_rules import check_runs
from trailhouse.capture.logs import AuditHandler
from trailhouse.producer.testing import InMemoryAuditLogger
from trailhouse.schemas.errors import SpoolFullError

log = logging.getLogger("shop.orders")
ARGUMENT = "argument of " + "ours"


@pytest.fixture
def handler(audit_log: InMemoryAuditLogger) -> Iterator[AuditHandler]:
    """Install a handler at the root logger."""
    handler = AuditHandler(audit_log)
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)


@pytest.mark.usefixtures("handler")
def test_an_error_within_a_run_is_an_event_of_it(audit_log: InMemoryAuditLogger) -> None:
    """A record of level ERROR within a run is `error_occurred`; one of a lower level, or outside, is not."""
    orders: dict[str, int] = {}
    log.error("outside")
    with audit_log.run("s-1", agent_id="bot") as run:
        log.warning("below")
        try:
            orders["no such order"]
        except KeyError:
            log.exception("order %s failed", 7, extra={"secret": ARGUMENT})
        log.error("plain %s", "text")
    first, second = (event for event in audit_log.events if event.type == "error_occurred")
    assert first.data == {"error_code": "KeyError", "error_message": "'no such order'"}
    assert first.metadata == {
        "logger": "shop.orders",
        "level": "ERROR",
        "log_message": "order 7 failed",
    }
    assert (first.run_id, first.session_id, first.agent_id) == (run.id, "s-1", "bot")
    assert second.data == {"error_message": "plain text"}
    check_runs(audit_log.events, secrets=[ARGUMENT])


def test_what_is_outside_of_a_run_is_recorded_when_asked(audit_log: InMemoryAuditLogger) -> None:
    """Asked for, an error outside of runs is in the session that is bound; a run that is bound has its own anyway."""
    outside, inside = AuditHandler(audit_log, outside_runs=True), AuditHandler(audit_log)
    record = log.makeRecord(log.name, logging.ERROR, __file__, 1, "lost", (), None)
    with audit_log.bind(session="s-1"):
        inside.handle(record)
        assert audit_log.events == []
        outside.handle(record)
        with audit_log.bind(run="r-1"):
            inside.handle(record)
    first, second = audit_log.events
    assert (first.session_id, first.run_id) == ("s-1", None)
    assert (second.session_id, second.run_id) == ("s-1", "r-1")


@pytest.mark.usefixtures("handler")
def test_nothing_goes_in_a_circle(
    audit_log: InMemoryAuditLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is logged while a record is handled, and what our own loggers and the client's say, is not recorded."""
    for name in ("trailhouse.producer.delivery.sender", "trailhouse", "confluent_kafka.x"):
        with audit_log.run("s-1"):
            logging.getLogger(name).error("the broker is away")
    write = audit_log.recorder.log

    def write_and_log(*args: object, **kwargs: object) -> None:
        log.error("from within")
        write(*args, **kwargs)  # type: ignore[arg-type]

    with audit_log.run("s-1"):
        monkeypatch.setattr(audit_log.recorder, "log", write_and_log)
        log.error("once")
        monkeypatch.undo()
    errors = [event for event in audit_log.events if event.type == "error_occurred"]
    assert [event.data["error_message"] for event in errors] == ["once"]


def test_a_full_spool_harms_no_logging_call(audit_log: InMemoryAuditLogger) -> None:
    """A record that cannot be recorded is counted, and neither are records that cannot be read raised."""

    class Hostile:
        def __str__(self) -> str:
            raise RuntimeError

    handler = AuditHandler(audit_log)

    def handle(message: object, *arguments: object) -> None:
        handler.handle(log.makeRecord(log.name, logging.ERROR, "", 1, message, arguments, None))

    with audit_log.run("s-1"):
        handle("wrong %s %s", "one")
        handle(Hostile())
        handle("%s", Hostile())
        audit_log.fail_with(SpoolFullError("full"))
        handle("lost")
        audit_log.fail_with(None)
    messages = [e.data["error_message"] for e in audit_log.events if e.type == "error_occurred"]
    assert messages == ["wrong %s %s", "<Hostile>", "%s"]
    assert audit_log.stats().unlogged_total == 1


def test_a_strict_handler_raises(audit_log: InMemoryAuditLogger) -> None:
    """In strict mode a record that cannot be recorded raises out of the call that logged."""
    strict = AuditHandler(audit_log, strict=True)
    record = log.makeRecord(log.name, logging.ERROR, __file__, 1, "lost", (), None)
    with audit_log.run("s-1"):
        audit_log.fail_with(SpoolFullError("full"))
        with pytest.raises(SpoolFullError):
            strict.handle(record)
        audit_log.fail_with(None)


@pytest.mark.usefixtures("handler")
def test_a_thread_that_logs_while_another_holds_a_run_does_not_hang(
    audit_log: InMemoryAuditLogger,
) -> None:
    """A thread that logs within a run waits for no handler's lock, which another thread that waits for the run has."""
    run = audit_log.recorder.open_run("s-1", source="test", is_deferred=True)

    def log_in_the_run() -> None:
        with run.bound():
            log.error("waits for the start")

    thread = threading.Thread(target=log_in_the_run)
    with run.lock:
        thread.start()
        log.error("outside of it")
    thread.join(60)
    assert not thread.is_alive()
    run.end()
