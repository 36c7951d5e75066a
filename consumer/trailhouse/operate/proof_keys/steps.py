"""What `trailhouse init` does for proof: the log's key made where it is not there, and the policy stored."""

from pathlib import Path

from trailhouse.operate.proof_keys.signers import key_of_file
from trailhouse.operate.setup import Step
from trailhouse.proof.config import ProofConfig
from trailhouse.proof.keys import fingerprint, parse_public_key, read_key_file
from trailhouse.proof.policy import Policy
from trailhouse.proof.policy_changes import key_text
from trailhouse.schemas.errors import ConfigError, ProofError
from trailhouse.store.clickhouse import ClickHouse
from trailhouse.store.config import ClickHouseConfig
from trailhouse.store.policies import PolicyFound, find_policies, store_policy


def plan_proof(clickhouse: ClickHouseConfig, config: ProofConfig) -> tuple[Step, ...]:
    """Return what `apply_proof` would do; nothing is changed.

    Raises:
        ConfigError, SigningError, StorageError: As `apply_proof`.
    """
    return _steps(clickhouse, config, is_dry_run=True)


def apply_proof(clickhouse: ClickHouseConfig, config: ProofConfig) -> tuple[Step, ...]:
    """Make the log's key where the settings name a file that is not there, and store the policy of their file.

    Nothing is done where the settings name no log. No key is ever overwritten.

    Raises:
        ConfigError: A public key of the settings is malformed, or the policy's file cannot be read. Permanent.
        SigningError: The key's file cannot be made or read, or is open to others. Retriable once mended.
        StorageError: ClickHouse does not answer (retriable) or refuses (permanent).
    """
    return _steps(clickhouse, config, is_dry_run=False)


def _steps(
    clickhouse: ClickHouseConfig, config: ProofConfig, *, is_dry_run: bool
) -> tuple[Step, ...]:
    if not config.log_name:
        return ()
    key_step, public_key = _key(config, is_dry_run=is_dry_run)
    return key_step, _policy(clickhouse, config, public_key, is_dry_run=is_dry_run)


def _key(config: ProofConfig, *, is_dry_run: bool) -> tuple[Step, bytes | None]:
    subject = f"key of the log {config.log_name}"
    if config.sign_command:
        try:
            public_key = parse_public_key(config.public_key)
        except ProofError:
            raise ConfigError("proof.public_key: must be 32 bytes in base64") from None
        detail = f"a command signs, {fingerprint(public_key)}"
        return Step(subject=subject, action="keep", detail=detail), public_key
    if not config.key_file:
        detail = "proof.key_file is not set: checkpoints stay unsigned"
        return Step(subject=subject, action="differs", detail=detail), None
    path = Path(config.key_file)
    if is_dry_run:
        if not path.exists():
            return Step(subject=subject, action="create", detail=f"in {path}"), None
        signer, is_made = read_key_file(path), False
    else:
        signer, is_made = key_of_file(path)
    named = f"{fingerprint(signer.public_key)} in {path}"
    if is_made:
        return Step(
            subject=subject, action="create", detail=f"{named}: back it up"
        ), signer.public_key
    return Step(subject=subject, action="keep", detail=named), signer.public_key


def _policy(
    clickhouse: ClickHouseConfig, config: ProofConfig, public_key: bytes | None, *, is_dry_run: bool
) -> Step:
    subject = f"policy of the log {config.log_name}"
    if not config.owner_key:
        detail = "proof.owner_key is not set: `trailhouse proof init` makes an owner, and a policy"
        return Step(subject=subject, action="differs", detail=detail)
    with ClickHouse(clickhouse) as storage:
        found = find_policies(storage, config)
        policy = found.chain.current
        if policy is None:
            detail = "none that the owner has signed: `trailhouse proof init` makes one"
            return Step(subject=subject, action="differs", detail=detail)
        missing = _not_stored(found)
        for each in () if is_dry_run else missing:
            store_policy(storage, each, found.chain.contents[each.version])
    if public_key is not None and policy.log_keys[-1].public_key != key_text(public_key):
        detail = "the log's key is not the one in use by it: `trailhouse proof rotate`"
        return Step(subject=subject, action="differs", detail=detail)
    return Step(
        subject=subject,
        action="create" if missing else "keep",
        detail=f"version {policy.version}, {policy.sha256[:16]}…",
    )


def _not_stored(found: PolicyFound) -> list[Policy]:
    return [
        policy
        for version, policy in found.chain.policies.items()
        if found.chain.contents[version].encode() not in found.stored
    ]
