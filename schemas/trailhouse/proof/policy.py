"""The policy: whose keys count, for what, and from when to when; numbered, and signed by its owner's offline key. Pure.

A note (see `note`) under the name ``<log name>/owner``. Its text is a line `FORMAT` and a line of JSON: the fields of
`Policy`, sorted (see `policy_form`).
"""

from trailhouse.proof.note import Verify, parse_note, signers
from trailhouse.proof.policy_form import (
    ANYBODY,
    BEFORE_PROOF,
    FORMAT,
    Accepted,
    Authority,
    LogKey,
    OperatorKey,
    Policy,
    ServiceKey,
    owner_name,
    read_policy_text,
)
from trailhouse.proof.policy_rules import check_follows, check_policy, keys_of
from trailhouse.schemas.errors import ProofError

__all__ = [
    "ANYBODY",
    "BEFORE_PROOF",
    "FORMAT",
    "MAX_POLICY_BYTES",
    "Accepted",
    "Authority",
    "LogKey",
    "OperatorKey",
    "Policy",
    "ServiceKey",
    "check_follows",
    "check_policy",
    "keys_of",
    "owner_name",
    "parse_policy",
    "read_policy_text",
]

MAX_POLICY_BYTES = 4 * 1024 * 1024


def parse_policy(content: str | bytes, owner_key: bytes, verify: Verify) -> Policy:
    """Return the policy that *content* holds, which the owner's key has signed and `check_policy` finds no fault with.

    Raises:
        ProofError: It is malformed, contradicts itself, or is not signed by *owner_key*. Permanent.
    """
    if len(content) > MAX_POLICY_BYTES:
        raise ProofError("policy: is too large")
    note = parse_note(content, "policy")
    policy = read_policy_text(note.text)
    owner = owner_name(policy.log_name)
    if owner not in signers(note, {owner: owner_key}, verify):
        raise ProofError("policy: is not signed by the owner's key that is pinned")
    check_policy(policy)
    if owner_key in keys_of(policy):
        raise ProofError("policy: the owner's key has another part in it too")
    return policy
