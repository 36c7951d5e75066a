"""A policy signed, put into force and stored: in the table, and in the file of the settings."""

import os
from pathlib import Path

from trailhouse.proof.config import ProofConfig
from trailhouse.proof.keys import Signer, is_signed_by, note_signed
from trailhouse.proof.policy import (
    Policy,
    check_follows,
    owner_name,
    parse_policy,
    read_policy_text,
)
from trailhouse.proof.policy_rules import check_policy
from trailhouse.schemas.errors import ConfigError, ProofError, SigningError
from trailhouse.store.clickhouse import ClickHouse
from trailhouse.store.policies import current_policy, pinned_owner, store_policy, stored_policies


def policy_in_force(storage: ClickHouse, config: ProofConfig) -> Policy:
    """Return the policy in force.

    Raises:
        ConfigError: No owner is pinned, or he has signed none: `trailhouse proof init` comes first. Permanent.
        StorageError: ClickHouse does not answer (retriable) or refuses (permanent).
    """
    policy = current_policy(storage, config)
    if policy is None:
        what = "no policy is in force" if config.owner_key else "proof.owner_key is not set"
        raise ConfigError(f"{what}: `trailhouse proof init` makes the first")
    return policy


def signed_policy(policy: Policy, owner: Signer) -> str:
    """Return *policy* as a note signed by *owner*.

    Raises:
        SigningError: The key cannot be used. Retriable.
    """
    return note_signed(policy.text, owner, owner_name(policy.log_name))


def signed_draft(content: str, owner: Signer) -> tuple[Policy, str]:
    """Return the policy of a draft, the text that an owner signs where his key is, and it signed.

    Raises:
        ProofError: It is malformed, or contradicts itself. Permanent.
        SigningError: The key cannot be used. Retriable.
    """
    policy = read_policy_text(content)
    check_policy(policy)
    return policy, signed_policy(policy, owner)


def put_into_force(storage: ClickHouse, config: ProofConfig, content: str) -> Policy:
    """Store *content*, a signed policy, and write it to the file of the settings; return it. May be repeated.

    Raises:
        ProofError: It is not signed by the pinned owner, or is not the version after the one in force. Permanent.
        ConfigError: No owner is pinned, or the file cannot be written. Permanent.
        StorageError: ClickHouse does not answer (retriable: it may be stored, so repeat) or refuses (permanent).
    """
    policy = parse_policy(content, pinned_owner(config), is_signed_by)
    if config.log_name and policy.log_name != config.log_name:
        raise ProofError("policy: is of another log than proof.log_name")
    chain = stored_policies(storage, config)
    before = chain.current
    if before is not None and before.sha256 != policy.sha256:
        known = chain.policies.get(policy.version)
        if known is None or known.sha256 != policy.sha256:
            check_follows(policy, before)
    store_policy(storage, policy, content)
    if config.policy_file and (before is None or policy.version >= before.version):
        write_whole(Path(config.policy_file), content)
    return policy


def write_whole(path: Path, content: str) -> None:
    """Write *content* to *path*, which holds it or what it held before, also when the power fails.

    Raises:
        ConfigError: It cannot be written. Permanent until mended.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise ConfigError(f"{path} cannot be written ({error.strerror})") from None


def read_signed(path: Path) -> str:
    """Return the text of a policy's file.

    Raises:
        SigningError: It cannot be read. Retriable once mended.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise SigningError(f"{path} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise SigningError(f"{path} is not a policy's text") from None
