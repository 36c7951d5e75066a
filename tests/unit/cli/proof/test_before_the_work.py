"""What commands of proof refuse before they do anything: nothing of this needs a pipeline."""

from pathlib import Path

import pytest

from trailhouse.cli.main import main
from trailhouse.cli.missing_extras import way_out
from trailhouse.operate.verify import scope
from trailhouse.proof.config import ProofConfig
from trailhouse.schemas.errors import ConfigError
from trailhouse.store.policies import pinned_owner


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ConfigError("proof.x: is odd"), "error: proof.x: is odd\n"),
        (OSError(28, "No space left on device"), "error: No space left on device\n"),
        (
            ImportError("x", name="cryptography"),
            "error: this command needs the package cryptography: pip install 'trailhouse[proof]'\n",
        ),
        (
            RuntimeError("odd"),
            "error: unexpected RuntimeError: odd; run again with --verbose and report it\n",
        ),
    ],
)
def test_a_failure_of_verify_is_no_finding(
    error: Exception,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whatever ends it, its exit code is 2, since 1 says that something was found."""

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(scope, "Scope", fail)
    assert (main(["verify"]), capsys.readouterr().err) == (2, told)


def test_a_stamps_package_has_its_extra() -> None:
    """What is missing for time stamps is said by the extra that brings it."""
    line = way_out(ImportError("x", name="rfc3161_client.errors"))
    assert line is not None
    assert line.endswith("pip install 'trailhouse[timestamp]'")


@pytest.mark.parametrize(
    "line", [["prove", "--session", "s", "--to"], ["export", "session:s", "--bundle"]]
)
def test_a_bundle_takes_no_files_place(
    line: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that is there is told before anything is asked of ClickHouse, and left as it is."""
    path = tmp_path / "bundle.zip"
    path.write_text("mine")
    assert main([*line, str(path)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert path.read_text() == "mine"


def test_a_hold_on_what_is_no_event_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """An id that is none would hold nothing, and nobody would notice."""
    assert main(["hold", "--event", "order-4711", "--reason", "case 7"]) == 2
    assert "must be an event's id, a UUID" in capsys.readouterr().err


def test_a_missing_file_is_not_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is not said that something is wrong with it."""
    assert main(["export", "--check", str(tmp_path / "none.zip")]) == 2
    assert "none.zip is not there" in capsys.readouterr().err


def test_a_group_alone_shows_its_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """And no error that says nothing."""
    assert main(["proof"]) == 2
    assert "error" not in capsys.readouterr().err


def test_without_a_pin_the_way_to_one_is_told() -> None:
    """Nobody is told that a setting is malformed which he has not made."""
    with pytest.raises(ConfigError, match="is not set: `trailhouse proof init`"):
        pinned_owner(ProofConfig())
