"""The keys of a policy as C2SP programs take them: `name+id+key`, under each name that they sign by."""

from trailhouse.operate.proof_keys.covered import newest_checkpoints
from trailhouse.proof.anchor import anchor_name
from trailhouse.proof.keys import parse_public_key
from trailhouse.proof.note import verifier_key
from trailhouse.proof.policy import Policy, owner_name
from trailhouse.store.clickhouse import ClickHouse


def verifier_keys(storage: ClickHouse, policy: Policy, owner_key: bytes) -> tuple[str, ...]:
    """Return the verifier keys of owner, the log as a whole, anchors, each log that has a checkpoint, and witnesses.

    Raises:
        StorageError: ClickHouse does not answer (retriable) or refuses (permanent).
    """
    keys = [parse_public_key(each.public_key) for each in policy.log_keys]
    origins = [each.checkpoint.origin for each in newest_checkpoints(storage, policy)]
    names = [policy.log_name, anchor_name(policy.log_name), *origins]
    return (
        verifier_key(owner_name(policy.log_name), owner_key),
        *(verifier_key(name, key) for name in names for key in keys),
        *policy.witnesses,
    )
