"""`trailhouse redact`: what would go out of a file, by line and category, and the file without it."""

import json
from pathlib import Path

import pytest

from trailhouse.cli.emit.lines import Line, Stamp, event_from, this_process
from trailhouse.cli.main import main
from trailhouse.redaction import RedactionConfig
from trailhouse.redaction.redactor import Redactor

PASSWORD = "hunter" + "2Zq"
TEXT = f"first\npassword: {PASSWORD}\n" + json.dumps({
    "type": "message_sent", "session_id": f"password={PASSWORD}", "data": {"in": [{"api_key": PASSWORD}]},
})  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of text and of one event."""
    path = tmp_path / "run.log"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_it_says_where_and_what_and_never_the_value(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each secret has its line, the path in its object and its category; of an event only contents are looked into."""
    assert main(["redact", str(file), "--format", "json"]) == 0

    shown = capsys.readouterr().out
    assert json.loads(shown) == [
        {"line": 2, "path": "", "category": "password"},
        {"line": 3, "path": "data.in[0].api_key", "category": "key"},
    ]
    assert main(["redact", str(file)]) == 0
    table = capsys.readouterr().out
    assert "2 secrets" in table
    assert PASSWORD not in shown + table


def test_it_prints_the_content_without_secrets(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --print all else is as it was."""
    assert main(["redact", str(file), "--print"]) == 0

    first, second, third = capsys.readouterr().out.splitlines()
    assert (first, second) == ("first", "password: [REDACTED:password]")
    assert json.loads(third)["data"] == {"in": [{"api_key": "[REDACTED:key]"}]}
    assert json.loads(third)["session_id"] == f"password={PASSWORD}"


def test_a_check_fails_where_something_would_go(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--check gives 1 where there is a secret, and 0 where there is none."""
    assert main(["redact", str(file), "--check"]) == 1
    file.write_text("nothing here\n")
    assert main(["redact", str(file), "--check"]) == 0
    assert "nothing would be taken out" in capsys.readouterr().out


def test_a_file_that_is_not_there_is_wrong_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line says so, with the exit code of wrong use."""
    assert main(["redact", str(tmp_path / "none")]) == 2
    assert "not a file that can be read" in capsys.readouterr().err


@pytest.mark.parametrize("exported", [False, True])
def test_emit_takes_secrets_out_of_its_lines(exported: bool) -> None:
    """A line's event has no secret, stamped or exported; an exported line without one keeps its bytes."""
    stamp = Stamp(
        this_process("tests"),
        limit_bytes=900_000,
        redactor=Redactor(RedactionConfig(), limit_bytes=900_000),
    )
    fields: dict[str, object] = {"type": "custom.event", "session_id": "s-1"}
    if exported:
        fields |= {
            "event_id": "01a20f56-1bce-7d86-9462-1eafff10d2a5", "occurred_at": "2026-01-31T08:00:00Z",
            "source": {"service": "elsewhere"}, "schema_version": 1,
        }  # fmt: skip
    secret = json.dumps(fields | {"data": {"password": PASSWORD}}).encode()
    plain = json.dumps(fields | {"data": {"b": 1, "a": 2}}).encode()

    event = event_from(Line(1, secret, is_too_long=False), stamp)

    assert event.data == {"password": "[REDACTED:password]"}
    assert event.metadata == {"_redactions": {"password": 1}}
    assert PASSWORD.encode() not in event.record
    if exported:
        assert event_from(Line(1, plain, is_too_long=False), stamp).record == plain
