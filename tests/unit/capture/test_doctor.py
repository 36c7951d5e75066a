"""What the examination of a process says, where it says nothing, and what a program run by it sees."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from trailhouse.capture import doctor, installation
from trailhouse.capture.doctor import frameworks
from trailhouse.capture.doctor.spans import found_in_environment
from trailhouse.producer.testing import InMemoryAuditLogger

FRAMEWORK = "pytest"  # which is surely installed


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Know one framework more, which is installed and imported, and an adapter of it."""
    framework = frameworks.Known(FRAMEWORK, "framework_under_test", "0.0.1", makes_spans=False)
    monkeypatch.setitem(frameworks.KNOWN, FRAMEWORK, framework)
    adapter = installation.Framework(FRAMEWORK, FRAMEWORK, "0.0.1")
    monkeypatch.setitem(installation.FRAMEWORKS, FRAMEWORK, adapter)
    monkeypatch.setitem(sys.modules, "framework_under_test", ModuleType("framework_under_test"))


def kinds(report: doctor.CaptureReport) -> list[tuple[str, str]]:
    return [(finding.kind, finding.severity) for finding in report.findings]


@pytest.mark.usefixtures("known")
def test_a_framework_that_nobody_records(audit_log: InMemoryAuditLogger) -> None:
    """A framework that is imported, and has no adapter, is a problem; with one it is none."""
    before = doctor.report()
    undo = installation.install_once(FRAMEWORK, audit_log, lambda: lambda: None)
    after = doctor.report()
    undo()

    assert ("seen_by_nobody", "problem") in kinds(before)
    assert kinds(after) == [("version_untried", "note")]
    assert before.has_problems
    assert not after.has_problems
    [state] = [each for each in after.frameworks if each.name == FRAMEWORK]
    assert (state.imported, state.recorded_by) == (True, ["adapter"])


@pytest.mark.usefixtures("known")
def test_an_adapter_that_was_taken_out_has_recorded(audit_log: InMemoryAuditLogger) -> None:
    """A report at the end of a process says what was recorded, and not what is left."""
    installation.install_once(FRAMEWORK, audit_log, lambda: lambda: None)()

    assert "seen_by_nobody" not in [kind for kind, _ in kinds(doctor.report())]


def test_runs_without_a_session_are_told(audit_log: InMemoryAuditLogger) -> None:
    """A run that nobody gave a session is a problem, with the way out."""
    audit_log.recorder.open_run(source="test").end()
    report = doctor.report(audit_log)

    assert report.sessions_missing == 1
    [finding] = [each for each in report.findings if each.kind == "session_missing"]
    assert "copy_context" in finding.way_out


def test_what_could_not_be_logged_is_told(audit_log: InMemoryAuditLogger) -> None:
    """Events that were lost are a problem."""
    audit_log.recorder.note_loss("test", ValueError("no"))

    assert ("unlogged", "problem") in kinds(doctor.report(audit_log))


def test_auditing_that_is_switched_off_is_told(audit_log: InMemoryAuditLogger) -> None:
    """A process that writes nothing is a problem."""
    with audit_log.disabled():
        assert ("auditing_off", "problem") in kinds(doctor.report(audit_log))
    assert ("auditing_off", "problem") not in kinds(doctor.report(audit_log))


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"OTEL_SDK_DISABLED": "true"}, ["tracing_off"]),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, ["sampled_away"]),
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_off"}, ["sampled_away"]),
        (
            {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.1"},
            ["sampled_away"],
        ),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "1.0"}, []),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "x"}, []),
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_on"}, []),
        ({"OPENAI_AGENTS_DISABLE_TRACING": "1"}, ["tracing_off"]),
        ({"OPENAI_AGENTS_DISABLE_TRACING": "false"}, []),
    ],
)
def test_variables_that_switch_spans_off(environment: dict[str, str], expected: list[str]) -> None:
    """Each is named; what is on is not."""
    assert [finding.kind for finding in found_in_environment(environment)] == expected


def test_it_imports_no_framework() -> None:
    """Looking changes nothing: what was not imported is not afterwards."""
    code = (
        "import sys; from trailhouse.capture.doctor import report; report();"
        " assert not [m for m in sys.modules if m.startswith(('opentelemetry.sdk', 'mcp', 'agents'))]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


PROGRAM = """
import sys, atexit
from trailhouse.producer.testing import InMemoryAuditLogger
audit = InMemoryAuditLogger()
atexit.register(lambda: audit.recorder.open_run(source="late").end())
print(__name__, sys.argv[1:], __file__ == sys.argv[0])
sys.exit(3)
"""


def test_a_program_runs_as_it_does_by_itself(tmp_path: Path) -> None:
    """The same name, arguments, output and exit code; and its report counts its exit hooks too."""
    script, place = tmp_path / "app.py", tmp_path / "report.json"
    script.write_text(PROGRAM)
    alone = [sys.executable, str(script), "a", "-b"]
    watched = [sys.executable, "-m", "trailhouse.capture.doctor.running", str(place), *alone[1:]]
    first, second = (
        subprocess.run(command, capture_output=True, text=True, check=False)
        for command in (alone, watched)
    )

    assert second.stdout == first.stdout == "__main__ ['a', '-b'] True\n"
    assert (second.returncode, second.stderr) == (first.returncode, first.stderr) == (3, "")
    report = msgspec.json.decode(place.read_bytes(), type=doctor.CaptureReport)
    assert (report.looked_at, report.sessions_missing) == ("application", 1)
