"""The checker that the adapters' tests stand on finds what breaks a rule."""

from collections.abc import Callable

import pytest

from capture_rules import check_runs, check_same_outcome, outcome_of
from trailhouse.producer.recording.usage import Usage
from trailhouse.producer.testing import InMemoryAuditLogger


def no_end(audit: InMemoryAuditLogger) -> None:
    audit.recorder.open_run("s-1", source="test")


def two_ends(audit: InMemoryAuditLogger) -> None:
    with audit.run("s-1", run_id="r-1"):
        pass
    audit.log("run_failed", session_id="s-1", run_id="r-1")


def late_start(audit: InMemoryAuditLogger) -> None:
    audit.log("error_occurred", session_id="s-1", run_id="r-1")
    with audit.run("s-1", run_id="r-1"):
        pass


def tool_without_end(audit: InMemoryAuditLogger) -> None:
    with audit.run("s-1") as run:
        run.tool_call("search").start()


def tool_without_start(audit: InMemoryAuditLogger) -> None:
    with audit.run("s-1") as run:
        run.log("tool_call_completed", {"tool_name": "search", "tool_call_id": "c-1"})


def two_sessions(audit: InMemoryAuditLogger) -> None:
    with audit.run("s-1", run_id="r-1"):
        audit.log("error_occurred", session_id="s-2", run_id="r-1")


def child_elsewhere(audit: InMemoryAuditLogger) -> None:
    with audit.run("s-1", run_id="r-1"):
        pass
    audit.log("run_started", session_id="s-2", run_id="r-2", parent_run_id="r-1")
    audit.log("run_failed", session_id="s-2", run_id="r-2", parent_run_id="r-1")


def wrong_totals(audit: InMemoryAuditLogger) -> None:
    with audit.run("s-1") as run:
        run.use(Usage(input_tokens=2))
        run.result = {"token_usage": {"input_tokens": 3}}


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (no_end, "0 ends"),
        (two_ends, "2 ends"),
        (late_start, "before its start"),
        (tool_without_end, "has no end"),
        (tool_without_start, "an end without a start"),
        (two_sessions, "2 sessions"),
        (child_elsewhere, "session of its parent"),
        (wrong_totals, "sum up to"),
    ],
)
def test_what_breaks_a_rule_is_found(
    audit_log: InMemoryAuditLogger, broken: Callable[[InMemoryAuditLogger], None], said: str
) -> None:
    """Each rule that is broken is named."""
    broken(audit_log)
    with pytest.raises(AssertionError, match=said):
        check_runs(audit_log.events)


def test_a_planted_secret_is_found(audit_log: InMemoryAuditLogger) -> None:
    """A secret is found in any byte, also where JSON writes it otherwise."""
    secret = 'quo"te'
    with audit_log.run("s-1", metadata={"note": f"it is {secret}."}):
        pass
    with pytest.raises(AssertionError, match="secret number 0"):
        check_runs(audit_log.events, secrets=[secret])


def test_what_the_application_sees_is_compared() -> None:
    """An application that sees something else with us than without is found, and one that does not is not."""
    ours: list[int] = []

    def install() -> Callable[[], object]:
        ours.append(1)
        return ours.clear

    def fail() -> None:
        raise LookupError(len(ours))

    assert check_same_outcome(lambda: 1, install).result == 1
    with pytest.raises(AssertionError, match="the application saw"):
        check_same_outcome(fail, install)
    assert outcome_of(fail).error is LookupError
