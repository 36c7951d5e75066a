"""How a log gets its first policy: its owner's key, its own key, version 1."""

import json
from pathlib import Path

import msgspec

from trailhouse.operate.proof_keys.in_force import signed_policy, write_whole
from trailhouse.operate.proof_keys.signers import key_of_file, public_key_of
from trailhouse.proof.keys import fingerprint
from trailhouse.proof.policy_changes import first_policy, key_text
from trailhouse.schemas.errors import ConfigError


class FirstPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What `begin` made: fingerprints to compare, files, and the lines of a settings file."""

    log_name: str
    owner_fingerprint: str
    owner_public_key: str
    owner_key_file: str
    log_fingerprint: str
    log_public_key: str
    log_key_file: str
    policy_file: str
    settings: tuple[str, ...]


def begin(
    log_name: str,
    *,
    owner_key_file: Path,
    log_key_file: Path | None,
    log_public_key: str = "",
    policy_file: Path,
    anchor_seconds: int = 60,
) -> FirstPolicy:
    """Make the keys that are not there yet, and version 1 of the policy in *policy_file*, signed by its owner.

    On return all of it is on the disk. No file that is there is written to.

    Raises:
        ConfigError: The policy's file is there already, or a name, key or number is wrong. Permanent.
        ProofError: The policy would contradict itself. Permanent.
        SigningError: A key's file cannot be made or read, or is open to others. Retriable once mended.
    """
    if policy_file.exists():
        raise ConfigError(f"{policy_file} is there already: a log has one first policy")
    # Before any key is made: a name that cannot be one leaves nothing behind.
    first_policy(log_name, bytes(32), anchor_seconds)
    log_key = _log_key(log_key_file, log_public_key)
    owner, _ = key_of_file(owner_key_file)
    if owner.public_key == log_key:
        raise ConfigError("the owner's key and the log's must be two")
    write_whole(policy_file, signed_policy(first_policy(log_name, log_key, anchor_seconds), owner))
    owner_text = key_text(owner.public_key)
    lines = _settings(
        log_name=log_name,
        key_file="" if log_key_file is None else str(log_key_file.absolute()),
        public_key=log_public_key,
        owner_key=owner_text,
        policy_file=str(policy_file.absolute()),
    )
    return FirstPolicy(
        log_name=log_name,
        owner_fingerprint=fingerprint(owner.public_key),
        owner_public_key=owner_text,
        owner_key_file=str(owner_key_file),
        log_fingerprint=fingerprint(log_key),
        log_public_key=key_text(log_key),
        log_key_file="" if log_key_file is None else str(log_key_file),
        policy_file=str(policy_file),
        settings=lines,
    )


def _log_key(key_file: Path | None, public_key: str) -> bytes:
    if key_file is None:
        return public_key_of(None, public_key)
    return key_of_file(key_file)[0].public_key


def _settings(**settings: str) -> tuple[str, ...]:
    lines = [f"{name} = {json.dumps(text)}" for name, text in settings.items() if text]
    if not settings["key_file"]:
        lines.append('sign_command = "the command that signs what is on its input"')
    return ("[proof]", *lines)
