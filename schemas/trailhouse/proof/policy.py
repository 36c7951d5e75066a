"""The policy: whose keys count, for what, and from when to when; numbered, and signed by its owner's offline key. Pure.

A note (see `note`) under the name ``<log name>/owner``. Its text is a line `FORMAT` and a line of JSON: the fields
below, sorted. Where a key is valid is told by sizes of logs and by numbers of anchors, never by a clock.
"""

from hashlib import sha256

import msgspec

from trailhouse.proof.note import Verify, parse_note, signers
from trailhouse.schemas.errors import ProofError

FORMAT = "trailhouse-policy/1"
ANYBODY = "*"
"""Stands for every tenant."""


class LogKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key that signs checkpoints and anchors.

    Attributes:
        public_key: Its 32 bytes in base64.
        first_sizes: The least size of each log, by its origin, that it signs; any where a log is not named.
        last_sizes: The largest of each that it signs, and no log that is not named; None while it is in use.
    """

    public_key: str
    first_sizes: dict[str, int] = {}
    last_sizes: dict[str, int] | None = None

    def signs(self, origin: str, size: int) -> bool:
        """Tell whether it counts under a checkpoint of *origin* of *size* leaves."""
        if size < self.first_sizes.get(origin, 0):
            return False
        return self.last_sizes is None or size <= self.last_sizes.get(origin, -1)


class ServiceKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key by which the loggers of a service seal what they log.

    Attributes:
        service: Its name, as `source.service` has it.
        public_key: Its 32 bytes in base64.
        tenants: The tenants that it may write for; ``*`` for each, and "" for events of none.
        last_anchor: Only what the anchor of this number, or one before, covers counts; None while it is in use.
    """

    service: str
    public_key: str
    tenants: tuple[str, ...]
    last_anchor: int | None = None

    def may_write_for(self, tenant_id: str) -> bool:
        """Tell whether it may write for *tenant_id*, "" for none."""
        return ANYBODY in self.tenants or tenant_id in self.tenants


class OperatorKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key by which an operator signs what only he may order, such as an erasure."""

    name: str
    public_key: str
    last_anchor: int | None = None


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an auditor must believe, and nothing else; see the module for its form.

    Attributes:
        log_name: The name before the slash in each of its logs' origins.
        version: 1, 2, 3 …
        previous: SHA-256 of the text of the version before, in hex; "" for the first.
        witnesses: Verifier keys (``name+id+key``, kind 0x04) of those that cosign.
        quorum: How many of them an anchored checkpoint must bear.
        anchor_seconds: The most time until what is stored is anchored: the maximum audit delay.
        unsealed_tenants: For whom services without a key may write; ``*`` for each.
    """

    log_name: str
    version: int
    previous: str = ""
    log_keys: tuple[LogKey, ...]
    services: tuple[ServiceKey, ...] = ()
    operators: tuple[OperatorKey, ...] = ()
    witnesses: tuple[str, ...] = ()
    quorum: int = 0
    anchor_seconds: int = 60
    unsealed_tenants: tuple[str, ...] = (ANYBODY,)

    @property
    def text(self) -> str:
        """What the owner signs."""
        return f"{FORMAT}\n{msgspec.json.encode(self, order='sorted').decode()}\n"

    @property
    def sha256(self) -> str:
        """The hash of `text`, in hex."""
        return sha256(self.text.encode()).hexdigest()


def owner_name(log_name: str) -> str:
    """Return under which name the owner of *log_name* signs."""
    return f"{log_name}/owner"


def parse_policy(content: str | bytes, owner_key: bytes, verify: Verify) -> Policy:
    """Return the policy that *content* holds, which the owner's key has signed and `check_policy` finds no fault with.

    Raises:
        ProofError: It is malformed, contradicts itself, or is not signed by *owner_key*. Permanent.
    """
    note = parse_note(content, "policy")
    lines = note.text.split("\n")
    if len(lines) != 3 or lines[0] != FORMAT or lines[2]:
        raise ProofError(f"policy: is not of the form {FORMAT}")
    try:
        policy = msgspec.json.decode(lines[1], type=Policy)
    except (msgspec.DecodeError, UnicodeError):
        raise ProofError("policy: a field is missing, unknown or wrong") from None
    if policy.text != note.text:
        raise ProofError("policy: is not the one text of its fields")
    owner = owner_name(policy.log_name)
    if owner not in signers(note, {owner: owner_key}, verify):
        raise ProofError("policy: is not signed by the owner's key that is pinned")
    check_policy(policy)
    return policy


def check_policy(policy: Policy) -> None:
    """Check what a policy says against itself.

    Raises:
        ProofError: Names what contradicts what. Permanent.
    """
    if policy.version < 1 or policy.quorum < 0 or policy.anchor_seconds < 1:
        raise ProofError("policy: a number is below what it may be")
    if policy.quorum > len(policy.witnesses):
        raise ProofError("policy: its quorum is above the number of its witnesses")
