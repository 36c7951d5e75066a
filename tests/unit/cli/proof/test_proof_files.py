"""`trailhouse proof`: keys and policies as files; nothing of this needs a pipeline."""

import json
import os
import stat
from pathlib import Path

import pytest

from trailhouse.cli.main import main
from trailhouse.proof.keys import fingerprint, is_signed_by, parse_public_key, read_key_file
from trailhouse.proof.policy import parse_policy
from trailhouse.proof.policy_changes import next_version

LOG = "log.example.org/agents"


@pytest.fixture
def begun(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Return what `proof init` says of the files that it made in *tmp_path*."""
    files = [f"--{name}={tmp_path / name}" for name in ("owner-key", "key", "policy")]
    assert main(["proof", "init", LOG, *files, "--format", "json"]) == 0
    answer: dict[str, str] = json.loads(capsys.readouterr().out)
    return answer


def test_init_makes_two_closed_keys_and_a_signed_policy(
    begun: dict[str, str], tmp_path: Path
) -> None:
    """The keys are closed to others, the policy names the log's and is signed by the owner's, who is pinned."""
    owner, log = (read_key_file(tmp_path / name) for name in ("owner-key", "key"))
    for name in ("owner-key", "key"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    policy = parse_policy((tmp_path / "policy").read_bytes(), owner.public_key, is_signed_by)
    assert parse_public_key(policy.log_keys[0].public_key) == log.public_key
    assert (policy.log_name, policy.version) == (LOG, 1)
    assert begun["owner_fingerprint"] == fingerprint(owner.public_key)
    assert begun["log_fingerprint"] == fingerprint(log.public_key)


def test_the_settings_that_init_prints_are_settings(
    begun: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A settings file of those lines names the log, its key, the pinned owner and the policy."""
    from trailhouse.proof.config import ProofConfig

    file = tmp_path / "trailhouse.toml"
    file.write_text("\n".join(begun["settings"]))
    monkeypatch.setenv("TRAILHOUSE_CONFIG_FILE", str(file))
    config = ProofConfig()
    assert config.log_name == LOG
    assert config.key_file == str(tmp_path / "key")
    assert config.owner_key == begun["owner_public_key"]
    assert config.policy_file == str(tmp_path / "policy")


def test_no_private_key_is_ever_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What stands on the terminal is public: fingerprints, public keys, names of files."""
    files = [f"--{name}={tmp_path / name}" for name in ("owner-key", "key", "policy")]
    assert main(["proof", "init", LOG, *files]) == 0
    shown = capsys.readouterr()
    for name in ("owner-key", "key"):
        secret = (tmp_path / name).read_text().splitlines()[1]
        assert secret not in shown.out + shown.err
    assert "away from this machine" in shown.err


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda folder: (folder / "policy").write_text(""), "is there already"),
        (lambda folder: (folder / "key").write_text("nothing"), "open to others"),
        (lambda folder: os.close(os.open(folder / "key", os.O_CREAT, 0o600)), "no private key"),
        (lambda folder: (folder / "owner-key").mkdir(), "owner-key"),
    ],
)
def test_init_overwrites_nothing(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    damage: "object",
    told: str,
) -> None:
    """A policy that is there stays, a key file that is there is used or refused, and never written to."""
    assert callable(damage)
    damage(tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir() if file.is_file()}
    files = [f"--{name}={tmp_path / name}" for name in ("owner-key", "key", "policy")]
    assert main(["proof", "init", LOG, *files]) == 1
    assert told in capsys.readouterr().err
    for name, content in before.items():
        assert (tmp_path / name).read_bytes() == content


@pytest.mark.parametrize("name", ["a name", "a+b", ""])
def test_init_refuses_a_name_before_it_makes_a_key(name: str, tmp_path: Path) -> None:
    """What cannot be a log's name leaves no key behind."""
    files = [f"--{kind}={tmp_path / kind}" for kind in ("owner-key", "key", "policy")]
    assert main(["proof", "init", name, *files]) == 1
    assert list(tmp_path.iterdir()) == []


def test_without_a_terminal_the_owner_key_is_demanded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script is not asked for a file: it is told what to give."""
    monkeypatch.chdir(tmp_path)
    assert main(["proof", "init", LOG]) == 2
    assert "--owner-key" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_key_makes_a_key_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output is the public key alone, the same when asked again."""
    file = tmp_path / "billing.pem"
    assert main(["proof", "key", str(file)]) == 0
    first = capsys.readouterr().out
    assert main(["proof", "key", str(file)]) == 0
    assert capsys.readouterr().out == first
    assert parse_public_key(first.strip()) == read_key_file(file).public_key


def test_an_owner_signs_a_draft_elsewhere(
    begun: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`proof sign` shows the draft and signs it, with no settings; what is no draft is refused."""
    owner = read_key_file(tmp_path / "owner-key")
    first = parse_policy((tmp_path / "policy").read_bytes(), owner.public_key, is_signed_by)
    draft = tmp_path / "draft"
    draft.write_text(next_version(first, anchor_seconds=30).text)
    key = str(tmp_path / "owner-key")
    assert main(["proof", "sign", str(draft), "--owner-key", key]) == 0
    shown = capsys.readouterr()
    assert "an anchor every 30 s" in shown.err
    signed = (tmp_path / "draft.signed").read_bytes()
    assert parse_policy(signed, owner.public_key, is_signed_by).version == 2
    draft.write_text(draft.read_text().replace(":30,", ":0,"))
    assert main(["proof", "sign", str(draft), "--owner-key", key]) == 1
    assert "anchor_seconds" in capsys.readouterr().err
