"""Whose signature under a stored checkpoint a worker believes: its own, and those of whom the policy says so. Pure."""

from collections.abc import Callable

from trailhouse.proof.checkpoint import Checkpoint
from trailhouse.proof.keys import is_signed_by, parse_public_key
from trailhouse.proof.note import Note, signers
from trailhouse.proof.policy import Policy
from trailhouse.proof.policy_changes import key_text
from trailhouse.schemas.errors import ProofError

IsSigned = Callable[[Checkpoint, Note], bool]
"""Whether a key that is believed has signed it."""


def believed_keys(own: bytes | None, policy: Policy | None) -> IsSigned | None:
    """Return what tells checkpoints that are believed from others; None where no key is known, so that nothing can.

    After a rotation the keys before count for the sizes that the policy says. One that was revoked counts for none: its
    successor has signed what is left. A policy that does not know the own key is older than it, or another's, and says
    nothing.

    Args:
        own: The key that signs now; None where it cannot be read.
        policy: The one in force; None where no owner is pinned.
    """
    if policy is not None:
        known = {key.public_key for key in policy.log_keys}
        if own is None or key_text(own) in known:
            return lambda checkpoint, note: _by_policy(policy, checkpoint, note)
    if own is None:
        return None
    return lambda checkpoint, note: _bears(note, checkpoint.origin, own)


def _by_policy(policy: Policy, checkpoint: Checkpoint, note: Note) -> bool:
    keys = policy.checkpoint_keys(checkpoint.origin, checkpoint.size)
    try:
        return any(
            _bears(note, checkpoint.origin, parse_public_key(key.public_key))
            for key in keys
            if not key.is_revoked
        )
    except ProofError:
        return False


def _bears(note: Note, origin: str, public_key: bytes) -> bool:
    return origin in signers(note, {origin: public_key}, is_signed_by)
