"""The recorder: one start and one end a run, calls once each, and nothing of it reaches the application."""

import asyncio
from decimal import Decimal

import pytest

from trailhouse.producer.recording.endings import ending_of
from trailhouse.producer.recording.usage import Usage
from trailhouse.producer.testing import InMemoryAuditLogger
from trailhouse.schemas.errors import SpoolFullError
from trailhouse.schemas.event_type import EventType

CALL = Usage(input_tokens=10, output_tokens=2, cost_usd="0.001", model="m-1")


def types(audit: InMemoryAuditLogger) -> list[str]:
    return [event.type for event in audit.events]


def test_a_block_records_one_start_and_one_end(audit_log: InMemoryAuditLogger) -> None:
    """A run's block logs its start and its end, with the agent, in its session."""
    with audit_log.run("s-1", agent_id="bot") as run:
        run.end(ValueError("late"))
        run.end()
    assert types(audit_log) == ["run_started", "run_failed"]
    assert {(event.session_id, event.run_id, event.agent_id) for event in audit_log.events} == {
        ("s-1", run.id, "bot")
    }


@pytest.mark.parametrize(
    ("error", "type"),
    [
        (None, EventType.RUN_COMPLETED),
        (ValueError(), EventType.RUN_FAILED),
        (TimeoutError(), EventType.RUN_TIMEOUT),
        (asyncio.CancelledError(), EventType.RUN_CANCELLED),
        (KeyboardInterrupt(), EventType.RUN_CANCELLED),
        (SystemExit(), EventType.RUN_CANCELLED),
        (GeneratorExit(), EventType.RUN_CANCELLED),
    ],
)
def test_an_end_is_what_happened(error: BaseException | None, type: EventType) -> None:
    """What a run raised says how it ended."""
    assert ending_of(error) is type


def test_a_child_has_its_parents_session(audit_log: InMemoryAuditLogger) -> None:
    """A run inside another is its child and in its session; a session of its own goes to the metadata."""
    with audit_log.run("s-1") as parent, audit_log.run("s-2", agent_id="child") as child:
        pass
    started = audit_log.only("run_started", run_id=child.id)
    assert (started.session_id, started.parent_run_id) == ("s-1", parent.id)
    assert started.metadata["framework_session_id"] == "s-2"


def test_a_late_tool_keeps_run_and_session(audit_log: InMemoryAuditLogger) -> None:
    """A tool call that ends after its run is logged in that run and session."""
    with audit_log.run("s-1") as run:
        call = run.tool_call("search", {"q": "x"}, call_id="c-1").start()
    call.complete({"hits": 1})
    done = audit_log.events[-1]
    assert (done.type, done.run_id, done.session_id) == ("tool_call_completed", run.id, "s-1")
    assert done.data["tool_call_id"] == "c-1"


def test_a_tool_that_raises_has_failed(audit_log: InMemoryAuditLogger) -> None:
    """A block of a tool call that raises logs the failure, and the error goes on."""
    with (
        pytest.raises(LookupError),
        audit_log.run("s-1") as run,
        run.tool_call("search"),
    ):
        raise LookupError("none")
    assert types(audit_log) == [
        "run_started",
        "tool_call_started",
        "tool_call_failed",
        "run_failed",
    ]


def test_totals_are_the_runs_own_calls(audit_log: InMemoryAuditLogger) -> None:
    """A run's totals are the sums of its own calls, once each, without its children's."""
    with audit_log.run("s-1") as run:
        run.use(CALL, call_id="r-1")
        run.use(CALL, call_id="r-1")
        run.use(CALL)
        with audit_log.run() as child:
            child.use(CALL, call_id="r-2")
    end = audit_log.only("run_completed", run_id=run.id)
    assert end.data["token_usage"] == {"input_tokens": 20, "output_tokens": 4}
    assert Decimal(end.data["cost_usd"]) == Decimal("0.002")


def test_unknown_usage_is_said(audit_log: InMemoryAuditLogger) -> None:
    """A call without usage has no numbers and says so, and so do the totals."""
    with audit_log.run("s-1") as run:
        run.use(Usage(model="m-1"))
    assert audit_log.only("token_usage_updated").data == {"model": "m-1", "usage_missing": True}
    assert audit_log.only("run_completed").data["token_usage"] == {"usage_missing": True}


def test_a_deferred_start_has_the_session_that_came_late(audit_log: InMemoryAuditLogger) -> None:
    """A run whose session becomes known after it was opened has it in its start too."""
    run = audit_log.recorder.open_run(source="otel", trace_id="t-1", is_deferred=True)
    assert types(audit_log) == []
    run.name(session_id="s-1")
    run.tool_call("search").start().complete()
    run.end()
    assert {event.session_id for event in audit_log.events} == {"s-1"}
    assert types(audit_log)[0] == "run_started"


def test_a_deferred_run_has_its_own_agent_if_that_becomes_known(
    audit_log: InMemoryAuditLogger,
) -> None:
    """A child whose agent is not known as it is opened is its parent's only if nobody names another until it begins."""
    with audit_log.run("s-1", agent_id="outer"):
        named = audit_log.recorder.open_run(source="sdk", is_deferred=True)
        unnamed = audit_log.recorder.open_run(source="sdk", is_deferred=True)
        named.name(agent_id="inner")
        named.end()
        unnamed.end()
    agents = [event.agent_id for event in audit_log.events if event.type == "run_started"]
    assert agents == ["outer", "inner", "outer"]


def test_a_run_without_a_session_is_kept_under_its_trace(audit_log: InMemoryAuditLogger) -> None:
    """A run that nobody gives a session is recorded under its trace id, and says so."""
    audit_log.recorder.open_run(source="otel", trace_id="t-1").end()
    started = audit_log.only("run_started")
    assert (started.session_id, started.metadata["session_missing"]) == ("t-1", True)
    assert audit_log.recorder.sessions_missing_total == 1


def test_what_is_open_at_close_is_ended(audit_log: InMemoryAuditLogger) -> None:
    """At close an open tool call fails for want of an end, and an open run is abandoned."""
    run = audit_log.recorder.open_run("s-1", source="test")
    run.tool_call("search").start()
    audit_log.close()
    assert types(audit_log)[2:] == ["tool_call_failed", "run_abandoned"]


def test_a_full_spool_changes_nothing_for_the_application(
    audit_log: InMemoryAuditLogger, caplog: pytest.LogCaptureFixture
) -> None:
    """What cannot be logged is counted and told once, and the block's outcome is its own."""
    audit_log.fail_with(SpoolFullError("full"))
    with audit_log.run("s-1") as run:
        run.tool_call("search").start().complete()
    assert audit_log.stats().unlogged_total == 4
    assert len(caplog.records) == 1


def test_a_run_is_not_recorded_where_auditing_is_off(audit_log: InMemoryAuditLogger) -> None:
    """A run that is opened where auditing is switched off logs nothing, later and elsewhere too."""
    with audit_log.disabled():
        run = audit_log.recorder.open_run("s-1", source="test")
    run.tool_call("search").start().complete()
    run.end()
    assert "run_started" not in types(audit_log)
    assert "tool_call_started" not in types(audit_log)


def test_an_adapters_own_ids_are_not_held_against_it(audit_log: InMemoryAuditLogger) -> None:
    """Who tells each model call once may give two the same id; another's call under that id is still told once."""
    with audit_log.run("s-1") as run:
        run.use(CALL, call_id="r-1", source="sdk")
        run.use(CALL, call_id="r-1", source="sdk")
        run.use(CALL, call_id="r-1")
        run.use(CALL, call_id="r-1", source="other")
    assert types(audit_log).count("token_usage_updated") == 2


def test_a_trace_that_comes_before_the_start_names_the_session(
    audit_log: InMemoryAuditLogger,
) -> None:
    """A deferred run that nobody gives a session is kept under the trace that it is told of before it begins."""
    run = audit_log.recorder.open_run(source="sdk", is_deferred=True)
    run.name(trace_id="trace-1")
    run.begin()
    run.name(trace_id="trace-2")
    run.end()
    assert {(event.session_id, event.trace_id) for event in audit_log.events} == {
        ("trace-1", "trace-1")
    }
