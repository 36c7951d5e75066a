"""CrewAI's adapter beside its application: a handler of ours that raises, another version, a bare thread."""

import contextvars
import threading

import pytest
from crewai.events.event_bus import CrewAIEventsBus
from tests.capture.crewai.scripted import CALL, agent, crew_of, look_up, model

from capture_rules import check_runs, check_same_outcome
from trailhouse.capture.crewai import install
from trailhouse.capture.installation import is_installed
from trailhouse.producer.testing import InMemoryAuditLogger
from trailhouse.schemas.errors import ConfigError


@pytest.mark.parametrize("name", ["Kickoffs.start", "Kickoffs.finish", "Kickoffs.broke_off"])
def test_a_crew_goes_on_without_a_handler_of_ours(
    audit: InMemoryAuditLogger, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """What goes wrong as an event or a kickoff is recorded reaches nobody, and is counted."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("broken")

    def answers() -> str:
        return str(crew_of(agent(model([CALL], "the answer"), tools=[look_up])).kickoff())

    def fails() -> str:
        return str(crew_of(agent(model(broken))).kickoff())

    install(audit)()
    monkeypatch.setattr(f"trailhouse.capture.crewai.kickoffs.{name}", broken)
    for application in (answers, fails):
        check_same_outcome(application, lambda: install(audit))
    assert audit.stats().unlogged_total > 0


@pytest.mark.parametrize("missing", ["emit"])
def test_a_version_that_has_not_what_we_stand_on_is_refused(
    audit: InMemoryAuditLogger, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    """It is named with the version that was tried, and nothing is installed by half."""
    install(audit)()
    monkeypatch.delattr(CrewAIEventsBus, missing)

    with pytest.raises(ConfigError, match=r"crewai .* has not what .* it was tried with \d"):
        install(audit)
    assert not is_installed("crewai")


def test_a_crew_in_a_bare_thread_is_seen(audit: InMemoryAuditLogger) -> None:
    """It has a run of its own in a session of its own, which says that none was named."""
    with audit.run("s-1"):
        crew = crew_of(agent(model("a")))
        worker = threading.Thread(target=contextvars.Context().run, args=(crew.kickoff,))
        worker.start()
        worker.join()

    outer, inner = sorted(check_runs(audit.events), key=lambda run: run.start.session_id != "s-1")
    assert outer.types == ["run_started", "run_completed"]
    assert inner.end.type == "run_completed"
    assert inner.start.session_id == inner.run_id
    assert inner.start.metadata["session_missing"] is True
    assert inner.start.parent_run_id is None
