"""What users test with: assertions that say what was there, and a plugin that costs nothing until it is used."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from trailhouse.producer import ProducerConfig
from trailhouse.producer.testing import InMemoryAuditLogger
from trailhouse.schemas import Actor
from trailhouse.schemas.errors import InvalidEventError, SpoolFullError


@pytest.fixture
def logged(audit_log: InMemoryAuditLogger) -> InMemoryAuditLogger:
    """Return the plugin's logger with three events."""
    with audit_log.bind(session="s", run="r1", tenant_id="acme"):
        audit_log.log("run_started", actor={"type": "user", "id": "u"})
        audit_log.log("tool_call_started", data={"tool_name": "search", "arguments": {"q": 1}})
        audit_log.log(
            "tool_call_started", run_id="r2", data={"tool_name": "refund"}, metadata={"k": 1}
        )
    return audit_log


def test_an_event_is_found_by_what_it_has(logged: InMemoryAuditLogger) -> None:
    """Type, fields and keys of data and metadata find an event; other keys do not hide it."""
    assert logged.assert_logged("run_started", actor={"type": "user", "id": "u"}).run_id == "r1"
    assert logged.assert_logged(actor=Actor(type="user", id="u")).type == "run_started"
    assert logged.only("tool_call_started", data={"tool_name": "search"}).run_id == "r1"
    assert logged.only(data={"arguments": {"q": 1}}).type == "tool_call_started"
    assert logged.only(metadata={"k": 1}, parent_run_id="r1").run_id == "r2"
    assert len(logged.events) == len(logged.records) == 3
    logged.assert_not_logged("tool_call_started", tenant_id="other")
    logged.clear()
    assert logged.events == []


def test_a_failure_says_what_was_there(logged: InMemoryAuditLogger) -> None:
    """Each failed assertion lists what was logged, and how each event differs from what was asked."""
    with pytest.raises(AssertionError) as failed:
        logged.assert_logged("tool_call_started", run_id="r3", data={"tool_name": "x", "y": 1})
    assert str(failed.value).splitlines() == [
        "expected an event, got none with type='tool_call_started', run_id='r3', data.tool_name='x', data.y=1;"
        " logged were 3:",
        "  0. run_started: type is 'run_started', not 'tool_call_started'; run_id is 'r1', not 'r3';"
        " data has no 'tool_name'; data has no 'y'",
        "  1. tool_call_started: run_id is 'r1', not 'r3'; data.tool_name is 'search', not 'x'; data has no 'y'",
        "  2. tool_call_started: run_id is 'r2', not 'r3'; data.tool_name is 'refund', not 'x'; data has no 'y'",
    ]
    with pytest.raises(AssertionError, match="expected one event, got 2"):
        logged.only("tool_call_started")
    with pytest.raises(
        AssertionError, match=r"expected no event, got 1 with type='run_started'.*\n.*matches"
    ):
        logged.assert_not_logged("run_started")
    with pytest.raises(InvalidEventError, match="runid"):
        logged.assert_not_logged(runid="r1")


def test_a_program_can_be_tested_with_failures(audit_log: InMemoryAuditLogger) -> None:
    """What a full spool raises is raised at will, by each way of logging, and nothing is logged."""
    audit_log.fail_with(SpoolFullError("full"))
    with pytest.raises(SpoolFullError):
        audit_log.log("a", session_id="s")
    with pytest.raises(SpoolFullError):
        audit_log.log_run_started("r", "s")
    audit_log.fail_with(None)
    audit_log.log("b", session_id="s")
    assert audit_log.only().type == "b"


def test_neither_environment_nor_disk_matters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A logger for tests is on whatever the environment says, makes no file and no thread."""
    monkeypatch.setenv("TRAILHOUSE_PRODUCER_ENABLED", "false")
    monkeypatch.setenv("TRAILHOUSE_PRODUCER_SPOOL_DIR", str(tmp_path / "spool"))
    with InMemoryAuditLogger() as audit:
        audit.log("a", session_id="s", wait=True)
    assert audit.only("a").session_id == "s"
    assert list(tmp_path.iterdir()) == []
    off = InMemoryAuditLogger(ProducerConfig(enabled=False))
    assert off.is_enabled is False


TEST_FILE = """
import sys
BEFORE = sorted(name for name in sys.modules if name.startswith(("trailhouse", "confluent", "msgspec")))

def test_nothing_is_imported_before_the_fixture_is_used():
    assert BEFORE in (["trailhouse", "trailhouse.pytest_plugin"], ["trailhouse.pytest_plugin"]), BEFORE

def test_the_fixture_is_there(audit_log):
    audit_log.log("a", session_id="s")
    audit_log.assert_logged("a")

def test_each_test_has_its_own(audit_log):
    assert audit_log.events == []
"""


def run_pytest(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in *folder* as a user would."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", *arguments],
        cwd=folder,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.long
def test_pytest_finds_the_fixture_and_imports_nothing_for_it(tmp_path: Path) -> None:
    """Where trailhouse is installed the fixture is there, named or not; a run without it imports nothing."""
    (tmp_path / "test_it.py").write_text(TEST_FILE)
    ran = run_pytest(tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "3 passed" in ran.stdout
    named = run_pytest(tmp_path, "-p", "trailhouse.pytest_plugin")
    assert named.returncode == 0, named.stdout + named.stderr
    without = run_pytest(tmp_path, "-p", "no:trailhouse.pytest_plugin")
    assert without.returncode == 1
    assert "fixture 'audit_log' not found" in without.stdout


def test_the_plugin_costs_nearly_nothing() -> None:
    """Importing the plugin imports pytest, which is there, and nothing of ours but itself."""
    code = (
        "import json, sys, pytest; before = set(sys.modules); import trailhouse.pytest_plugin;"
        " print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert set(json.loads(ran.stdout)) <= {"trailhouse", "trailhouse.pytest_plugin"}


def test_without_pytest_the_producer_and_its_fake_work() -> None:
    """The in-memory logger needs no pytest."""
    code = (
        "import sys; sys.modules['pytest'] = None; from trailhouse.producer.testing import InMemoryAuditLogger;"
        " a = InMemoryAuditLogger(); a.log('a', session_id='s'); a.assert_logged('a')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
