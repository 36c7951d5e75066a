"""Telemetry that holds what cannot be written: never lost for one value, and never in silence."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from trailhouse.producer import ProducerConfig, telemetry
from trailhouse.producer.testing import InMemoryAuditLogger
from trailhouse.schemas import Run, Session
from trailhouse.schemas.errors import InvalidEventError

RUN, SESSION = Run("r", "s"), Session("s")


class Foreign:
    """What no record can hold."""

    def __repr__(self) -> str:
        return "a secret"


class Result:
    """A result of somebody else's, one part of which raises."""

    stop_reason = "end_turn"

    @property
    def token_usage(self) -> object:
        raise RuntimeError("a secret")


@pytest.fixture
def audit() -> Iterator[InMemoryAuditLogger]:
    """A logger that listens to telemetry."""
    with InMemoryAuditLogger() as logger:
        logger.attach_telemetry_handlers()
        yield logger


def test_a_value_that_cannot_be_written_is_marked(audit: InMemoryAuditLogger) -> None:
    """One value out of order costs its own place, not the event; the caller sees nothing of it."""
    metrics = {"input_tokens": 3, "output_tokens": 1, "raw": Foreign()}
    telemetry.emit_usage_metrics(SESSION, metrics, run_id="r")

    [event] = audit.events
    assert event.data == metrics | {"raw": "[UNENCODABLE:Foreign]"}
    assert event.metadata == {"_replaced": 1}
    assert audit.stats().unlogged_total == 0


def test_what_raises_when_it_is_read_is_marked(audit: InMemoryAuditLogger) -> None:
    """A result whose property raises is logged all the same, and the block around it goes on."""
    with telemetry.span(RUN, SESSION) as span:
        span.result = Result()

    assert [event.type for event in audit.events] == ["run_started", "run_completed"]
    assert audit.events[1].data["token_usage"] == "[UNENCODABLE:Unreadable]"
    assert audit.events[1].data["stop_reason"] == "end_turn"


@pytest.mark.parametrize("run_id", [7, "r" * 300, "\udc80", Foreign()])
def test_an_odd_id_loses_no_event(audit: InMemoryAuditLogger, run_id: Any) -> None:
    """A run whose id breaks a rule is logged under what comes nearest to it, the same at start and end."""
    with telemetry.span({"id": run_id}, SESSION):
        pass

    started, completed = audit.events
    assert started.run_id == completed.run_id != ""
    assert started.metadata["_replaced"] >= 1


@pytest.mark.parametrize("name", ["Odd Name!", None, Foreign()])
def test_an_adapter_event_of_no_type_is_an_unknown_event(
    audit: InMemoryAuditLogger, name: Any
) -> None:
    """A type that is no type is kept as unknown_event, beside what it was called."""
    telemetry.emit_adapter_event(RUN, SESSION, {"type": name, "data": {"a": 1}})

    [event] = audit.events
    assert (event.type, event.data) == ("unknown_event", {"a": 1})
    assert event.metadata["_type"] in ("Odd Name!", "NoneType", "Foreign")


def test_an_event_of_no_session_is_told_and_counted(
    audit: InMemoryAuditLogger, caplog: pytest.LogCaptureFixture
) -> None:
    """What cannot be logged at all is named by event, run and session, and counted; the caller goes on."""
    with caplog.at_level(logging.ERROR):
        telemetry.emit_run_start(Run("r-7\n", ""), Session(""))
        telemetry.emit_usage_metrics({"id": Foreign()}, {}, run_id="r-8")

    assert audit.events == []
    assert audit.stats().unlogged_total == 2
    first, second = caplog.messages
    assert "run.start of run 'r-7\\n' in session '' is not audited: session_id: is missing" in first
    assert (
        "usage.report of run 'r-8' in session <Foreign> is not audited: session_id: must" in second
    )
    assert "secret" not in caplog.text


def test_with_raise_the_event_is_refused_and_told(caplog: pytest.LogCaptureFixture) -> None:
    """on_unencodable=raise keeps out of the log what is not as it was; that is told and counted, too."""
    with InMemoryAuditLogger(ProducerConfig(on_unencodable="raise")) as audit:
        audit.attach_telemetry_handlers()
        with caplog.at_level(logging.ERROR):
            telemetry.emit_usage_metrics(SESSION, {"raw": Foreign()}, run_id="r")

    assert audit.events == []
    assert audit.stats().unlogged_total == 1
    assert "usage.report of run 'r' in session 's' is not audited: data.raw: must" in caplog.text


def test_log_stays_strict(audit: InMemoryAuditLogger) -> None:
    """Whoever calls log can mend what it holds: there the value is refused, by path and rule."""
    with pytest.raises(InvalidEventError, match=r"data\.raw: must .* got Foreign"):
        audit.log("t", session_id="s", data={"raw": Foreign()})


class Unreadable(Mapping[str, Any]):
    """A mapping of somebody else's, such as a lazy one whose connection is gone."""

    def __getitem__(self, key: str) -> Any:
        raise RuntimeError("a secret")

    def __iter__(self) -> Iterator[str]:
        return iter(["input_tokens"])

    def __len__(self) -> int:
        return 1


class Textless:
    """What cannot even say what it is."""

    def __repr__(self) -> str:
        raise RuntimeError("a secret")


class Array:
    """What has no truth, as an array has none."""

    def __bool__(self) -> bool:
        raise ValueError("ambiguous")


@pytest.mark.parametrize("odd", [Unreadable(), Textless(), Array(), 10**5000, ["x"]], ids=type)
def test_a_report_never_raises_and_loses_nothing(audit: InMemoryAuditLogger, odd: Any) -> None:
    """Whatever somebody else's object does when it is read, its reporter goes on and the event is logged."""
    telemetry.emit_adapter_event(RUN, SESSION, {"type": odd})
    telemetry.emit_adapter_event(
        {"id": "r", "agent_id": odd, "provider": odd}, SESSION, {"type": "t"}
    )
    telemetry.emit_usage_metrics(SESSION, odd)
    telemetry.emit_run_end(RUN, SESSION, odd)
    with telemetry.span(RUN, SESSION) as span:
        span.result = odd

    assert [event.type for event in audit.events] == [
        "unknown_event",
        "t",
        "token_usage_updated",
        "run_completed",
        "run_started",
        "run_completed",
    ]
    assert audit.stats().unlogged_total == 0
    assert b"secret" not in b"".join(audit.records)


def test_a_type_whose_class_raises_is_refused(audit: InMemoryAuditLogger) -> None:
    """`log` refuses a type that is none by its rule, whatever it does when it is asked what it is."""

    def fail(_: object) -> Any:
        raise RuntimeError("secret")

    odd: Any = type("Odd", (), {"__class__": property(fail)})()
    with pytest.raises(InvalidEventError, match="type: must be a known type"):
        audit.log(odd, session_id="s")
