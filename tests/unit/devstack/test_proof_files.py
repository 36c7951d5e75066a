"""The keys of a stack's log: made once, closed to others, and used again by the next start."""

import stat
from pathlib import Path

import pytest

from trailhouse.devstack.proof_files import LOG_NAME, proof_config, proof_settings
from trailhouse.proof.keys import is_signed_by, parse_public_key, read_key_file
from trailhouse.proof.policy import parse_policy
from trailhouse.schemas.errors import StackError


def test_a_stack_has_one_log_from_its_first_start_on(tmp_path: Path) -> None:
    """The second start has the same keys and policy, which names the log's key and is signed by the owner's."""
    first, second = proof_settings(tmp_path), proof_settings(tmp_path)
    assert first == second
    config = proof_config(first)
    owner = parse_public_key(config.owner_key)
    policy = parse_policy(Path(config.policy_file).read_bytes(), owner, is_signed_by)
    signer = read_key_file(Path(config.key_file))
    assert (policy.log_name, config.log_name) == (LOG_NAME, LOG_NAME)
    assert parse_public_key(policy.log_keys[0].public_key) == signer.public_key
    for path in (tmp_path / "proof").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_the_settings_of_another_log_do_not_reach_the_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log of the user's own, and the key that signs it, stay out of what runs here."""
    monkeypatch.setenv("TRAILHOUSE_PROOF_SIGN_COMMAND", "kms sign")
    monkeypatch.setenv("TRAILHOUSE_PROOF_LOG_NAME", "log.example.org")
    config = proof_config(proof_settings(tmp_path))
    assert (config.log_name, config.sign_command) == (LOG_NAME, "")


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """A stack does not start by a key that somebody else may have."""
    settings = proof_settings(tmp_path)
    Path(str(settings["key_file"])).chmod(0o644)
    with pytest.raises(StackError, match="open to others"):
        proof_settings(tmp_path)
