"""The policy after a key was rotated or revoked: what it still counts for is what was signed and anchored."""

from trailhouse.operate.proof_keys.covered import (
    SignedCheckpoint,
    last_anchor,
    newest_checkpoints,
    store_cosigned,
)
from trailhouse.proof.checkpoint import checkpoint_of
from trailhouse.proof.keys import Signer
from trailhouse.proof.note import Note
from trailhouse.proof.origin import parse_origin
from trailhouse.proof.policy import Policy
from trailhouse.proof.policy_changes import (
    with_closed,
    with_revoked_log_key,
    with_rotated_log_key,
)
from trailhouse.store.clickhouse import ClickHouse


def rotated(storage: ClickHouse, policy: Policy, signer: Signer, overlap_anchors: int) -> Policy:
    """Return the version in which *signer*'s key follows; the checkpoint that both sign of each log is stored.

    Raises:
        ProofError: The key has a part in the policy already. Permanent; nothing was stored.
        SigningError: The key cannot be used. Retriable.
        StorageError: ClickHouse does not answer (retriable) or refuses (permanent).
    """
    newest = newest_checkpoints(storage, policy)
    anchor = last_anchor(storage, policy)
    sizes = {each.checkpoint.origin: each.checkpoint.size for each in newest}
    made = with_rotated_log_key(
        policy, signer.public_key, sizes, (anchor.number if anchor else 0) + overlap_anchors
    )
    begins = made.log_keys[-1].first_sizes
    store_cosigned(
        storage,
        [each for each in newest if begins[each.checkpoint.origin] == each.checkpoint.size],
        signer,
    )
    return made


def revoked_log_key(
    storage: ClickHouse, policy: Policy, signer: Signer, number: int | None
) -> Policy:
    """Return the version in which of the log's key only what is anchored up to *number*, or up to now, counts.

    *signer*'s key follows, and signs the checkpoints that this anchor holds.

    Raises:
        QueryError: There is no such anchor. Permanent; nothing was stored.
        ProofError: The key has a part in the policy already. Permanent; nothing was stored.
        SigningError: The key cannot be used. Retriable.
        StorageError: ClickHouse does not answer (retriable) or refuses (permanent).
    """
    anchor = last_anchor(storage, policy, number)
    anchored = anchor.checkpoints if anchor else ()
    made = with_revoked_log_key(
        policy,
        signer.public_key,
        {each.origin: each.size for each in anchored},
        anchor.number if anchor else 0,
    )
    begins = made.log_keys[-1].first_sizes
    wanted = {each.text for each in anchored if begins[each.origin] == each.size}
    store_cosigned(storage, _stored(storage, wanted), signer)
    return made


def revoked_member(
    storage: ClickHouse,
    policy: Policy,
    number: int | None,
    *,
    service: str,
    operator: str,
    authority: str,
) -> Policy:
    """Return the version in which *service*, *operator* or *authority* counts up to anchor *number*, or up to now.

    Raises:
        QueryError: There is no such anchor. Permanent.
        ProofError: None of that name has a key in use. Permanent.
        StorageError: ClickHouse does not answer (retriable) or refuses (permanent).
    """
    anchor = last_anchor(storage, policy, number)
    last = anchor.number if anchor else 0
    return with_closed(policy, last, service=service, operator=operator, authority=authority)


def _stored(storage: ClickHouse, texts: set[str]) -> list[SignedCheckpoint]:
    """Return the rows of checkpoints whose text is one of *texts*, one each: their roots are needed again."""
    found: dict[str, SignedCheckpoint] = {}
    for text in sorted(texts):
        origin_text, size, _ = text.split("\n", 2)
        origin = parse_origin(origin_text)
        rows = storage.query(
            """SELECT kafka_cluster, kafka_topic, kafka_topic_id, kafka_partition, generation, size, roots
            FROM log_checkpoints WHERE kafka_topic_id = {topic_id:String} AND kafka_topic = {topic:String}
            AND kafka_partition = {partition:UInt16} AND generation = {generation:String} AND size = {size:UInt64}
            AND startsWith(checkpoint, {text:String}) LIMIT 1""",
            {**origin._asdict(), "size": int(size), "text": text},
        ).rows
        for row in rows:
            # Without the signature that the row has: that of a key which counts no longer.
            found[text] = SignedCheckpoint(checkpoint_of(text), Note(text, ()), tuple(row))
    return list(found.values())
