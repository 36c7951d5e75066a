"""What an anchor covers: after a key was revoked, that alone counts which the named anchor has covered."""

from collections.abc import Mapping
from typing import NamedTuple

from trailhouse.proof.anchor import anchor_name, parse_anchor
from trailhouse.proof.keys import parse_public_key
from trailhouse.proof.note import Verify, signers
from trailhouse.proof.origin import parse_origin
from trailhouse.proof.policy import Policy
from trailhouse.schemas.errors import ProofError
from trailhouse.store.clickhouse import ClickHouse

ANCHORS_A_NUMBER = 100
"""So many rows of one number are looked at: whoever can write there can add more."""


class AnchoredSizes(NamedTuple):
    """How large each partition's log was at the anchors that a revocation names."""

    sizes: Mapping[tuple[int, str, str, int], int]

    def cover(self, number: int, topic: str, topic_id: str, partition: int, offset: int) -> bool:
        """Tell whether the record at *offset* was covered by the anchor of this number."""
        return offset < self.sizes.get((number, topic, topic_id, partition), 0)


def anchored_sizes(clickhouse: ClickHouse, policy: Policy, verify: Verify) -> AnchoredSizes:
    """Return the sizes at each anchor that *policy* names at a revoked key, as a key of the log has signed them.

    An anchor that is not stored, or that nobody signed, covers nothing: then nothing of such a key counts.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    numbers = sorted({key.last_anchor for key in policy.services if key.last_anchor is not None})
    if not numbers:
        return AnchoredSizes({})
    rows = clickhouse.query(
        "SELECT DISTINCT number, anchor FROM log_anchors WHERE number IN {numbers:Array(UInt64)}"
        " ORDER BY number, anchor LIMIT {rows:UInt32} BY number",
        {"numbers": numbers, "rows": ANCHORS_A_NUMBER},
    ).rows
    sizes: dict[tuple[int, str, str, int], int] = {}
    for number, content in rows:
        for place, size in _sizes(content, number, policy, verify).items():
            known = sizes.get((number, *place))
            # Two that are signed and differ are a fork: what both cover counts.
            sizes[number, *place] = size if known is None else min(known, size)
    return AnchoredSizes(sizes)


def _sizes(
    content: str, number: int, policy: Policy, verify: Verify
) -> dict[tuple[str, str, int], int]:
    try:
        anchor, note = parse_anchor(content)
        if (anchor.number, anchor.log_name) != (number, policy.log_name):
            return {}
        name = anchor_name(policy.log_name)
        keys = (parse_public_key(each.public_key) for each in policy.log_keys)
        if not any(signers(note, {name: key}, verify) for key in keys):
            return {}
        origins = [(parse_origin(each.origin), each.size) for each in anchor.checkpoints]
    except ProofError:
        return {}
    found: dict[tuple[str, str, int], int] = {}
    for origin, size in origins:
        place = origin.topic, origin.topic_id, origin.partition
        found[place] = max(size, found.get(place, 0))
    return found
