"""Policies as they are stored: which is in force, and how one is put into force."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from trailhouse.proof.config import ProofConfig
from trailhouse.proof.keys import is_signed_by, parse_public_key
from trailhouse.proof.policy import MAX_POLICY_BYTES, Policy
from trailhouse.proof.policy_chain import PolicyChain, policy_chain
from trailhouse.schemas.errors import ConfigError, ProofError, StorageRejectedError
from trailhouse.store.clickhouse import ClickHouse
from trailhouse.store.tables import LOG_POLICIES

MAX_ROWS = 10_000
"""Of the table: nobody makes so many versions, but whoever can write there can add rows."""


class PolicyFound(NamedTuple):
    """The policies that count, and the content of each row that is stored, whoever has written it."""

    chain: PolicyChain
    stored: frozenset[bytes]


def current_policy(
    clickhouse: ClickHouse, config: ProofConfig, *, known_version: int = 0
) -> Policy | None:
    """Return the policy in force: the newest that the pinned owner has signed, stored or in the file of the settings.

    Args:
        clickhouse: Where policies are stored.
        config: The settings, of which `owner_key` is the pin; without one there is no policy.
        known_version: The version that the caller has seen: an older one is refused.

    Returns:
        None where no owner is pinned, or none has signed a policy.

    Raises:
        ProofError: The newest that is found is older than *known_version*: a newer one was taken away. Permanent.
        ConfigError: The pin, or the file of the settings, is wrong or cannot be read. Permanent.
        StorageError: ClickHouse does not answer (retriable) or refuses (permanent).
    """
    if not config.owner_key:
        return None
    policy = stored_policies(clickhouse, config).current
    found = policy.version if policy else 0
    if found < known_version:
        raise ProofError(
            f"policy: version {known_version} was in force, and the newest found is {found}: "
            "put the newer one back with `trailhouse proof publish`"
        )
    return policy


def stored_policies(clickhouse: ClickHouse, config: ProofConfig) -> PolicyChain:
    """Return every policy that the pinned owner has signed, of the table and of the file of the settings.

    Raises:
        ConfigError, StorageError: As `current_policy`.
    """
    return find_policies(clickhouse, config).chain


def find_policies(clickhouse: ClickHouse, config: ProofConfig) -> PolicyFound:
    """As `stored_policies`, with what the table holds.

    Raises:
        ConfigError, StorageError: As `current_policy`.
    """
    owner_key = pinned_owner(config)
    numbered, file = _rows(clickhouse), _file(config)
    rows = list(dict.fromkeys(content for _, content in numbered))
    chain = policy_chain([*rows, *file], owner_key, is_signed_by, config.log_name)
    faults = [*chain.faults, *_misnumbered(numbered, chain)]
    if len(numbered) >= MAX_ROWS:
        faults.append(f"policy: more than {MAX_ROWS} rows are stored")
    if config.policy_file and not file:
        faults.append("policy: the file that the settings name is not there")
    return PolicyFound(chain._replace(faults=tuple(faults)), frozenset(rows))


def pinned_owner(config: ProofConfig) -> bytes:
    """Return the owner's public key of the settings.

    Raises:
        ConfigError: There is none, or it is malformed. Permanent.
    """
    if not config.owner_key:
        raise ConfigError(
            "proof.owner_key: is not set: `trailhouse proof init` makes an owner, and prints the settings"
        )
    try:
        return parse_public_key(config.owner_key)
    except ProofError:
        raise ConfigError(
            "proof.owner_key: must be the owner's public key, 32 bytes in base64"
        ) from None


def store_policy(clickhouse: ClickHouse, policy: Policy, content: str) -> None:
    """Store *content*, the signed text of *policy*; on return it is written.

    Raises:
        StorageError: ClickHouse does not answer (retriable: it may be stored, so repeat) or refuses (permanent).
    """
    clickhouse.insert(LOG_POLICIES.block({"version": [policy.version], "policy": [content]}))


def _misnumbered(rows: Iterable[tuple[int, bytes]], chain: PolicyChain) -> Iterator[str]:
    """Yield which rows say another version of a policy that counts than its own text."""
    versions = {content.encode(): version for version, content in chain.contents.items()}
    for number, content in rows:
        if (version := versions.get(content, number)) != number:
            yield f"policy: the row of version {version} says {number}"


def _rows(clickhouse: ClickHouse) -> list[tuple[int, bytes]]:
    # The largest versions first: whoever adds rows cannot hide a newer policy behind many older ones.
    try:
        found = clickhouse.query(
            """SELECT version, policy FROM log_policies WHERE length(policy) <= {longest:UInt32}
            ORDER BY version DESC, policy LIMIT 1 BY version, policy LIMIT {rows:UInt32}""",
            {"longest": MAX_POLICY_BYTES, "rows": MAX_ROWS},
            bytes_columns=("policy",),
        )
    except StorageRejectedError as error:
        if error.name not in {"UNKNOWN_TABLE", "UNKNOWN_DATABASE"}:
            raise
        return []  # before `trailhouse init`
    return [(int(version), content) for version, content in found.rows]


def _file(config: ProofConfig) -> list[bytes]:
    if not config.policy_file:
        return []
    try:
        with Path(config.policy_file).open("rb") as file:
            return [file.read(MAX_POLICY_BYTES + 1)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigError(f"proof.policy_file: cannot be read ({error.strerror})") from None
