"""`trailhouse doctor capture`: this environment, or a program that it runs."""

import json
import sys
from pathlib import Path

import pytest

from trailhouse.cli.examined import python_words
from trailhouse.cli.main import main
from trailhouse.schemas import ConfigError

WITHOUT_A_SESSION = (
    "from trailhouse.producer.testing import InMemoryAuditLogger\n"
    "InMemoryAuditLogger().recorder.open_run(source='test').end()\n"
)


def test_the_environment(capsys: pytest.CaptureFixture[str]) -> None:
    """By itself it says what is installed, which is no problem."""
    assert main(["doctor", "capture", "--format", "json"]) == 0
    report = json.loads(capsys.readouterr().out)

    assert report["looked_at"] == "environment"
    assert "mcp" in [each["name"] for each in report["frameworks"]]
    assert {each["imported"] for each in report["frameworks"]} == {None}


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    """For people it is a table, a line a framework."""
    assert main(["doctor", "capture"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()

    assert header.split()[:3] == ["framework", "package", "version"]
    assert any(row.startswith("mcp ") for row in rows)


def test_a_program_with_a_problem(capfd: pytest.CaptureFixture[str]) -> None:
    """What it finds in a program makes the exit code 1; the program's own output is beside the report."""
    code = WITHOUT_A_SESSION + "print('hello')"
    assert main(["doctor", "capture", "--format", "json", "--", "python", "-c", code]) == 1
    shown = capfd.readouterr()

    assert [each["kind"] for each in json.loads(shown.out)["findings"]] == ["session_missing"]
    assert "hello" in shown.err


def test_a_program_without_one(capfd: pytest.CaptureFixture[str]) -> None:
    """A program whose own exit code is another is told of, and does not make it ours."""
    assert main(["doctor", "capture", "--", "python", "-c", "raise SystemExit(5)"]) == 0
    assert "the program ended with 5" in capfd.readouterr().err


def test_a_module(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module of the folder that one is in is imported in a process of its own."""
    (tmp_path / "agents_of_mine.py").write_text(WITHOUT_A_SESSION)
    monkeypatch.chdir(tmp_path)

    assert main(["doctor", "capture", "--import", "agents_of_mine"]) == 1
    assert "session_missing" in capfd.readouterr().out
    assert "agents_of_mine" not in sys.modules


def test_a_program_that_leaves_no_report(capfd: pytest.CaptureFixture[str]) -> None:
    """One that is left without its exit hooks is an error, with the way out; never a clean bill."""
    code = "import os; os._exit(0)"
    assert main(["doctor", "capture", "--", "python", "-c", code]) == 1
    assert "doctor.report()" in capfd.readouterr().err


def test_how_a_program_is_run(tmp_path: Path) -> None:
    """`python` is the interpreter that has Trailhouse; a script is run by the one it names; others are refused."""
    script = tmp_path / "serve"
    script.write_text("#!/opt/app/bin/python3\n")

    assert python_words(["python", "-X", "dev", "app.py", "-v"]) == (
        [sys.executable, "-X", "dev"],
        ["app.py", "-v"],
    )
    assert python_words(["/opt/app/bin/python", "-m", "app"]) == (
        ["/opt/app/bin/python"],
        ["-m", "app"],
    )
    assert python_words([str(script), "--port", "1"]) == (
        ["/opt/app/bin/python3"],
        [str(script), "--port", "1"],
    )
    for program in (["ls"], ["python"], ["no-such-program"]):
        with pytest.raises(ConfigError):
            python_words(program)
