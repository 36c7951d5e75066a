"""How far a log is signed and anchored, and by which policy: what `trailhouse status` shows of it."""

import datetime as dt

import msgspec

from trailhouse.operate.proof_keys.covered import last_anchor, newest_checkpoints
from trailhouse.proof.config import ProofConfig
from trailhouse.proof.keys import fingerprint
from trailhouse.schemas.errors import StorageRejectedError
from trailhouse.schemas.json_form import rfc3339
from trailhouse.store.clickhouse import ClickHouse
from trailhouse.store.config import ClickHouseConfig
from trailhouse.store.policies import pinned_owner, stored_policies

_NOT_GRANTED = "not told to this user: ask as the auditor of docs/cluster.md"


class ProofState(msgspec.Struct, frozen=True, kw_only=True):
    """How far what is stored can be proven.

    Attributes:
        log_name: The log's name; "" where the settings name none, and nothing is signed.
        owner_fingerprint: Of the pinned owner; "" where none is pinned.
        policy_version: Of the policy in force; 0 where there is none.
        signed_leaves: By origin, the size of the newest checkpoint that a key of the policy has signed.
        last_anchor: Its number; 0 where there is none.
        last_anchored_at: When it was made, by its own word, RFC 3339; None where there is none.
        warnings: What is wrong with stored policies.
        unknown: Why nothing of these is told though an owner is pinned: this user may not read it; "" where he may.
    """

    log_name: str
    owner_fingerprint: str = ""
    policy_version: int = 0
    signed_leaves: dict[str, int] = {}
    last_anchor: int = 0
    last_anchored_at: str | None = None
    warnings: tuple[str, ...] = ()
    unknown: str = ""


def proof_state(clickhouse: ClickHouseConfig, config: ProofConfig) -> ProofState:
    """Ask ClickHouse what of the log of *config* is signed and anchored.

    Raises:
        ConfigError: A key of the settings is malformed. Permanent.
        StorageError: ClickHouse does not answer (retriable) or refuses (permanent).
    """
    if not config.log_name or not config.owner_key:
        return ProofState(log_name=config.log_name)
    owner = fingerprint(pinned_owner(config))
    try:
        return _read_state(clickhouse, config, owner)
    except StorageRejectedError as error:
        if error.name != "ACCESS_DENIED":
            raise
        # A reader's grants, as docs/cluster.md has them, are on views: the state of proof is an auditor's.
        return ProofState(log_name=config.log_name, owner_fingerprint=owner, unknown=_NOT_GRANTED)


def _read_state(clickhouse: ClickHouseConfig, config: ProofConfig, owner: str) -> ProofState:
    with ClickHouse(clickhouse) as storage:
        chain = stored_policies(storage, config)
        policy = chain.current
        if policy is None:
            return ProofState(
                log_name=config.log_name, owner_fingerprint=owner, warnings=chain.faults
            )
        newest, anchor = newest_checkpoints(storage, policy), last_anchor(storage, policy)
    return ProofState(
        log_name=config.log_name,
        owner_fingerprint=owner,
        policy_version=policy.version,
        signed_leaves={each.checkpoint.origin: each.checkpoint.size for each in newest},
        last_anchor=anchor.number if anchor else 0,
        last_anchored_at=_text(anchor.at_ms) if anchor else None,
        warnings=chain.faults,
    )


def _text(at_ms: int) -> str:
    return rfc3339(dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=at_ms))
