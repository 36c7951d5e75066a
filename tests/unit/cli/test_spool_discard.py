"""`trailhouse spool discard`: drop what nobody wants to be sent, and keep it in a file."""

import contextlib
import os
import subprocess
from pathlib import Path

import pytest

from command_line import PROGRAM, environment
from trailhouse.cli.main import main
from trailhouse.producer import AuditLogger, ProducerConfig
from trailhouse.producer.spool.status import spools_status
from trailhouse.schemas import AuditEvent, KafkaConfig
from trailhouse.schemas.errors import DeliveryError

NOWHERE = KafkaConfig(bootstrap_servers="127.0.0.1:1", topic="old-topic")


def leave(folder: Path, events: int) -> list[bytes]:
    """Leave a spool of a logger that is gone; return its records."""
    config = ProducerConfig(kafka=NOWHERE, spool_dir=str(folder))
    audit = AuditLogger(config)
    records = []
    for number in range(events):
        event = AuditEvent(type="a", session_id="s", data={"n": number})
        audit.emit(event)
        records.append(event.record)
    with contextlib.suppress(DeliveryError):
        audit.close(0)
    return records


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of the spools."""
    return tmp_path / "spool"


def waiting(folder: Path) -> dict[str, int]:
    """Return the events of each spool."""
    return {each.spool: each.events for each in spools_status(folder).spools}


def test_what_is_dropped_is_in_the_file(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The records of the spools that were named are in the file to the byte, and those spools alone are gone."""
    records = leave(folder, 3)
    [first] = waiting(folder)
    # Made by hand, since a second logger would adopt the first one's spool.
    kept = leave(tmp_path / "other", 2)
    [(second, _)] = waiting(tmp_path / "other").items()
    (tmp_path / "other" / second).rename(folder / second)
    output = tmp_path / "dropped.jsonl"
    assert (
        main(
            [
                "spool",
                "discard",
                first,
                "--output",
                str(output),
                "--yes",
                "--spool-dir",
                str(folder),
            ]
        )
        == 0
    )
    assert capsys.readouterr().out == f"3 events written to {output}, 1 spool removed\n"
    assert output.read_bytes().splitlines() == records
    assert output.stat().st_mode & 0o777 == 0o600
    assert waiting(folder) == {second: len(kept)}


def test_all_means_every_spool_that_nobody_holds(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --all the spool of a running logger is left alone; with nothing to drop no file is made."""
    leave(folder, 2)
    output = tmp_path / "dropped.jsonl"
    arguments = ["spool", "discard", "--all", "--yes", "--spool-dir", str(folder), "--output"]
    assert main([*arguments, str(output)]) == 0
    config = ProducerConfig(kafka=NOWHERE, spool_dir=str(folder))
    with contextlib.suppress(DeliveryError), AuditLogger(config) as running:
        running.log("a", session_id="s")
        [name] = waiting(folder)
        second = tmp_path / "second.jsonl"
        assert main([*arguments, str(second)]) == 0
        assert "no spool to drop" in capsys.readouterr().err
        assert not second.exists()
        named = [
            "spool",
            "discard",
            name,
            "--yes",
            "--spool-dir",
            str(folder),
            "--output",
            str(second),
        ]
        assert main(named) == 2
        assert "is running" in capsys.readouterr().err
        assert waiting(folder) == {name: 1}
        running.close(0)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "name spools, or give --all"),
        (["x", "--all"], "name spools, or give --all"),
        (["x", "--yes"], "there is no spool 'x'"),
        (["--all"], "standard input is not a terminal, so nobody can be asked: add --yes"),
    ],
)
def test_wrong_use_drops_nothing(
    folder: Path, tmp_path: Path, arguments: list[str], told: str
) -> None:
    """What is not clear, or cannot be asked, is refused, and every spool stays."""
    leave(folder, 2)
    output = tmp_path / "dropped.jsonl"
    ended = subprocess.run(
        [*PROGRAM, "spool", "discard", *arguments, "--spool-dir", str(folder), "--output", str(output)],
        env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout) == (2, "")
    assert told in ended.stderr
    assert list(waiting(folder).values()) == [2]
    assert not output.exists()


def test_a_file_that_is_there_is_left(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No file is written over: nothing is dropped then."""
    leave(folder, 2)
    output = tmp_path / "dropped.jsonl"
    output.write_text("mine")
    assert (
        main(
            [
                "spool",
                "discard",
                "--all",
                "--yes",
                "--spool-dir",
                str(folder),
                "--output",
                str(output),
            ]
        )
        == 2
    )
    assert "there is a file" in capsys.readouterr().err
    assert output.read_text() == "mine"
    assert list(waiting(folder).values()) == [2]


@pytest.mark.parametrize(
    ("answer", "code", "left"), [(b"y\n", 0, []), (b"n\n", 1, [2]), (b"\n", 1, [2])]
)
def test_on_a_terminal_it_asks_first(
    folder: Path, tmp_path: Path, answer: bytes, code: int, left: list[int]
) -> None:
    """It says what and for where, and only a yes drops it."""
    leave(folder, 2)
    output = tmp_path / "dropped.jsonl"
    ours, theirs = os.openpty()
    try:
        with subprocess.Popen(
            [*PROGRAM, "spool", "discard", "--all", "--spool-dir", str(folder), "--output", str(output)],
            env=environment(), stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as process:  # fmt: skip
            os.write(ours, answer)
            _, told = process.communicate(timeout=60)
    finally:
        os.close(ours)
        os.close(theirs)
    assert process.returncode == code
    assert b"2 events of " in told
    assert b"for old-topic at 127.0.0.1:1" in told
    assert b"and never send them?" in told
    assert list(waiting(folder).values()) == left
    assert output.exists() == (not left)


def test_the_status_shows_where_events_go(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`spool status` names the brokers and the topic of each spool."""
    leave(folder, 2)
    assert main(["spool", "status", "--spool-dir", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert "127.0.0.1:1" in shown
    assert "old-topic" in shown
