"""The command line as a whole: exit codes, one-line errors, help."""

import subprocess
import sys
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from command_line import PROGRAM, environment
from trailhouse.cli import init as init_command
from trailhouse.cli import version as version_command
from trailhouse.cli.app import app
from trailhouse.cli.demo.demonstration import outcomes
from trailhouse.cli.demo.runs import SHOWN_SESSION_ID, recorded_events
from trailhouse.cli.main import main, split_verbose
from trailhouse.cli.missing_extras import way_out
from trailhouse.cli.reference import commands, render, render_settings
from trailhouse.schemas.errors import ConfigError
from trailhouse.schemas.settings import PROCESS_VARIABLES, setting_variables

COMMANDS = dict(commands())
EXPECTED = {
    *("init", "emit", "worker", "log", "skip", "status", "dev", "demo", "version", "spool"),
    *("replay", "reconcile", "account", "quarantine", "sessions", "token", "sql", "rebuild"),
    *("search", "show", "runs", "usage", "timeline", "compare", "approvals", "anomalies"),
    *("serve", "mcp", "follow", "export", "import", "redact", "doctor", "proof", "verify"),
    *("erase", "hold", "witness", "prove"),
}
BELOW = {
    *("dev status", "dev stop", "dev start"),
    *("spool status", "spool drain", "spool inspect", "spool discard"),
    *("quarantine list", "quarantine show", "quarantine requeue"),
    *("token create", "token list", "token revoke"),
    "doctor capture",
    *("proof init", "proof key", "proof enroll", "proof operator", "proof witness"),
    *("proof require", "proof rotate", "proof revoke", "proof sign", "proof publish"),
    *("proof show", "proof anchor", "proof authority", "proof accept"),
    *("proof manifest", "proof seals"),
}


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        ("version >&-", 0, ""),
        ("version 2>&-", 0, ""),
        ("version >/dev/full", 1, "error: No space left on device\n"),
        (
            "emit - <&-",
            2,
            "error: standard input is closed; see `trailhouse emit --help`\n",
        ),
    ],
)
def test_closed_and_full_streams_are_no_riddle(line: str, code: int, told: str) -> None:
    """A stream that the caller closed is not written to; one that fails is one plain line."""
    shell = ["/bin/sh", "-c", f'"$0" -m trailhouse.cli {line}', sys.executable]
    ended = subprocess.run(
        shell, env=environment(), capture_output=True, text=True, timeout=60, check=False
    )

    assert (ended.returncode, ended.stderr) == (code, told)


def test_every_command_is_there() -> None:
    """The commands of the pipeline are those, and the ones below a group."""
    names = {path.removeprefix("trailhouse ") for path in COMMANDS}
    assert names == EXPECTED | BELOW


@pytest.mark.parametrize("path", COMMANDS)
def test_every_help_has_an_example(path: str) -> None:
    """`--help` of each command explains it and shows how it is called."""
    arguments = path.split()[1:]
    result = CliRunner().invoke(app, [*arguments, "--help"], env={"COLUMNS": "100"})
    assert result.exit_code == 0, result.output
    assert "Example" in result.output
    example = result.output.partition("Example")[2]
    assert f"trailhouse {arguments[0]}" in " ".join(example.split())


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["bogus"], "bogus"),
        (["log"], "missing argument 'SESSION_ID'"),
        (["log", "s", "--nope"], "--nope"),
        (["log", "s", "--limit", "0"], "--limit: must be at least 1"),
        (["log", "s", "--limit", "many"], "--limit: must be a whole number"),
        (
            ["log", "s", "--format", "xml"],
            "--format: must be one of 'table', 'json', 'jsonl', 'csv'",
        ),
        (["log", "s", "--since", "soon"], "--since: 'soon' is not a time such as 2h, yesterday"),
        (["log", "a", "b"], "got unexpected extra argument"),
        (["dev", "stop", "x"], "part: must be one of 'kafka', 'clickhouse', 'worker'"),
        (["dev", "--kafka-port", "99999999"], "--kafka-port: must be at most 65535"),
        (["replay", "--partition", "x"], "--partition: must be a whole number"),
        (["emit", "/no/such/file"], "there is no file"),
        (["emit", "/"], "is a folder"),
        (["emit", "--timeout-seconds", "0"], "--timeout-seconds: must be at least 0.1"),
        (["emit", "--timeout-seconds", "nan"], "--timeout-seconds: must be"),
        (["emit", "--timeout-seconds", "x"], "--timeout-seconds: must be a number"),
        (["init", "now"], "now"),
        (["\x1b[31m"], "\\x1b[31m"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wrong use names what is wrong and where help is, in one line; nothing is done."""
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.startswith("error: ")
    assert reason in line
    assert line.endswith("--help`")
    for word in ("Input should", "Value error", "pydantic", "msgspec", "Typer", "Invalid value"):
        assert word not in line


def test_every_command_that_reports_takes_a_format() -> None:
    """`--format` is everywhere but where nothing is reported, or where the exact bytes are the result."""
    without = {path for path, command in COMMANDS.items() if not has_option(command, "--format")}
    assert {path.removeprefix("trailhouse ") for path in without} <= {
        *(
            "demo",
            "worker",
            "witness",
            "dev",
            "dev stop",
            "dev start",
            "spool",
            "spool discard",
            "spool inspect",
        ),
        *("quarantine", "quarantine show", "quarantine requeue", "skip"),
        *("serve", "mcp", "token", "token create", "token revoke", "doctor"),
        *(
            "proof",
            "erase",
            "hold",
            "proof enroll",
            "proof operator",
            "proof witness",
            "proof authority",
            "proof require",
        ),
        *("proof rotate", "proof revoke", "proof sign", "proof publish"),
    }
    assert not any(has_option(command, "--json") for command in COMMANDS.values())


def has_option(command: Any, name: str) -> bool:
    """Tell whether *command* takes this option."""
    return any(name in option.opts for option in command.params)


@pytest.mark.parametrize("path", ["trailhouse", *COMMANDS])
def test_help_is_short_too(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`-h` is `--help`, for every command."""
    arguments = path.split()[1:]
    assert main([*arguments, "-h"]) == 0
    short = capsys.readouterr().out
    assert main([*arguments, "--help"]) == 0
    assert short == capsys.readouterr().out
    assert "Usage" in short


def test_the_version_is_an_option_too(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` prints the program's name and version, and nothing else."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"trailhouse {version_command.installed('trailhouse')}\n"


def test_a_shell_completes_commands_and_options(tmp_path: Path) -> None:
    """What the script of `--show-completion` asks is answered; nothing is written unless installing is asked for."""

    def completed(line: str) -> list[str]:
        asked = {
            "HOME": str(tmp_path), "_TRAILHOUSE_COMPLETE": "complete_bash", "COMP_WORDS": line,
            "COMP_CWORD": str(line.count(" ")),
        }  # fmt: skip
        ended = subprocess.run(
            PROGRAM, env=environment(asked), capture_output=True, text=True, timeout=60, check=True
        )
        return ended.stdout.split()

    assert completed("trailhouse sp") == ["spool"]
    assert set(completed("trailhouse spool ")) >= {"status", "drain", "inspect"}
    assert "--since" in completed("trailhouse log --si")
    assert list(tmp_path.iterdir()) == []


def test_no_command_prints_help_and_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    """Called without a command, the program says which there are."""
    assert main([]) == 2
    assert set(capsys.readouterr().out.split()) >= EXPECTED


@pytest.mark.parametrize("command", ["init", "emit", "status", "log"])
def test_an_unknown_setting_is_a_failure_in_one_line(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A misspelt variable ends every command before any I/O, by name."""
    name = "TRAILHOUSE_CLICKHOUSE_YRL" if command == "log" else "TRAILHOUSE_KAFKA_TOPICS"
    monkeypatch.setenv(name, "x")
    assert main([command, *(["s"] if command == "log" else [])]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: unknown setting {name}")


@pytest.mark.parametrize(
    "arguments", [["--verbose", "init"], ["init", "--verbose"]], ids=["before", "behind"]
)
def test_verbose_shows_the_traceback(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--verbose` adds the traceback, wherever it stands; the last line stays the error."""
    monkeypatch.setenv("TRAILHOUSE_KAFKA_TOPICS", "x")
    assert main(arguments) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Traceback")
    assert lines[-1].startswith("error: unknown setting TRAILHOUSE_KAFKA_TOPICS")


def test_verbose_behind_two_dashes_is_not_ours() -> None:
    """What follows ``--`` belongs to the user's own command."""
    assert split_verbose(["dev", "--", "pytest", "--verbose"]) == (
        False,
        ["dev", "--", "pytest", "--verbose"],
    )
    assert split_verbose(["dev", "--verbose", "--", "x"]) == (True, ["dev", "--", "x"])


def raising(error: BaseException) -> Callable[[], dict[str, str]]:
    """Return a function that raises *error*."""

    def fail() -> dict[str, str]:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "code", "expected"),
    [
        (ConfigError("no\n  way"), 1, "error: no way\n"),
        (ConfigError("a \x1b[2J b"), 1, "error: a \\x1b[2J b\n"),
        (ModuleNotFoundError("gone", name="chdb.session"), 1,
         "error: this command needs the package chdb: pip install 'trailhouse[devstack]'\n"),
        (RuntimeError("odd"), 1,
         "error: unexpected RuntimeError: odd; run again with --verbose and report it\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)  # fmt: skip
def test_every_failure_is_one_line_and_a_code(
    error: BaseException,
    code: int,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One of ours, a missing package, a defect, Ctrl-C: one line at most, and no traceback."""
    monkeypatch.setattr(version_command, "versions", raising(error))
    assert (main(["version"]), capsys.readouterr().err) == (code, expected)


def test_only_third_party_packages_have_an_extra() -> None:
    """A module of ours or of the standard library that is missing is a defect, not an extra."""
    assert way_out(ImportError("x", name="trailhouse.nope")) is None
    assert way_out(ImportError("x")) is None


def test_without_typer_the_script_says_what_to_install() -> None:
    """The script is installed with the base package too, where it can only point to its extra."""
    program = (
        "import sys; sys.modules['typer'] = None; from trailhouse.cli.main import main;"
        "sys.exit(main(['version']))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [
        "error: this command needs the package typer: pip install 'trailhouse[cli]'"
    ]


def test_starting_needs_no_heavy_package() -> None:
    """Commands import what they need themselves, so that `--help` is quick."""
    heavy = "{'confluent_kafka', 'clickhouse_connect', 'faust', 'chdb', 'numpy', 'msgspec'}"
    program = f"import sys, trailhouse.cli.app; print(sorted({heavy} & set(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_a_reader_that_leaves_is_no_error() -> None:
    """`trailhouse … | head` ends without a word when the reader has seen enough."""
    with subprocess.Popen(
        [*PROGRAM, "version"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


def test_a_reader_that_leaves_does_not_change_a_failure() -> None:
    """The exit code of a command that failed is 1, whether or not its output was read."""
    with subprocess.Popen(
        [*PROGRAM, "status"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(
            {
                "TRAILHOUSE_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
                "TRAILHOUSE_CLICKHOUSE_URL": "http://127.0.0.1:1",
            }
        ),
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(60) == 1


def test_versions_name_what_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """`version` tells Trailhouse's version and those of the parts it runs on."""
    assert main(["version"]) == 0
    lines = dict(line.split(" ", 1) for line in capsys.readouterr().out.splitlines())
    assert lines["trailhouse"] == version_command.installed("trailhouse")
    assert {
        "python",
        "librdkafka",
        "confluent-kafka",
        "clickhouse-connect",
        "faust-streaming",
    } <= set(lines)
    assert version_command.installed("no-such-package-of-ours") == "not installed"


def test_the_reference_names_every_command_and_option() -> None:
    """The README's command list holds a row for each command, with its options."""
    text = render()
    for path in COMMANDS:
        assert f"`{path}" in text
    assert "`trailhouse log SESSION_ID`" in text
    assert "`--since`, `--until`" in text
    assert "`trailhouse emit [FILE|-]`".replace("|", "\\|") in text
    rows = text.splitlines()
    assert len(rows) == 2 + len(COMMANDS)


def test_the_settings_table_names_every_setting_and_no_secret() -> None:
    """The README's table of settings holds each variable once."""
    text = render_settings()
    for name in [*setting_variables(), *PROCESS_VARIABLES]:
        assert text.count(f"`{name}`") == 1, name


def test_the_recorded_runs_are_whole_and_new_each_time() -> None:
    """The runs that ship are complete, some solved and some not, and get fresh ids."""
    events = recorded_events()
    starts = [event.run_id for event in events if event.type == "run_started"]
    ends: dict[str, Any] = {
        str(event.run_id): event.type
        for event in events
        if event.type in {"run_completed", "run_failed"}
    }
    assert sorted(map(str, starts)) == sorted(ends)
    assert sum(outcomes(events).values()) == len(ends)
    assert set(ends.values()) == {"run_completed", "run_failed"}
    assert SHOWN_SESSION_ID in {event.session_id for event in events}
    assert {event.event_id for event in events}.isdisjoint(
        event.event_id for event in recorded_events()
    )


def test_the_recorded_runs_name_their_source() -> None:
    """Whoever finds the file learns where it comes from."""
    note = resources.files("trailhouse.cli.demo").joinpath("runs.md").read_text(encoding="utf-8")
    assert "sierra-research/tau-bench" in note
    assert "MIT" in note


def test_examples_stand_with_their_command() -> None:
    """An example of a command calls that command."""
    assert all(example.startswith("trailhouse init") for example in init_command.EXAMPLES)
