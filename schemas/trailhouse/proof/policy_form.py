"""The form of a policy: its fields, and the one text of them that its owner signs. Pure.

Where a key is valid is told by sizes of logs and by numbers of anchors, never by a clock.

Keys are never taken out, only closed: what they signed has to stay checkable. At a rotation two keys of the log share
one size of each log, the rotation's: a checkpoint of that size is signed by both, the old one and the one that
follows. A key that somebody else may have is `is_revoked`: of what it signed only what is anchored up to its
`last_anchor` counts, and its successor vouches for the sizes that this anchor holds.
"""

from hashlib import sha256

import msgspec

from trailhouse.schemas.errors import ProofError

FORMAT = "trailhouse-policy/1"
ANYBODY = "*"
"""Stands for every tenant."""
BEFORE_PROOF = "0"
"""Stands for the generation of a log that no worker writes: rows that are older than its first leaf."""


class LogKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key that signs checkpoints and anchors.

    Attributes:
        public_key: Its 32 bytes in base64.
        first_sizes: The least size of each log, by its origin, that it signs; any where a log is not named.
        last_sizes: The largest of each that it signs, and no log that is not named; None while it is in use.
        last_anchor: The last anchor that it signs; None while it is in use.
        is_revoked: Somebody else may have it: of its checkpoints only those within anchors up to `last_anchor` count.
    """

    public_key: str
    first_sizes: dict[str, int] = {}
    last_sizes: dict[str, int] | None = None
    last_anchor: int | None = None
    is_revoked: bool = False

    def signs(self, origin: str, size: int) -> bool:
        """Tell whether it counts under a checkpoint of *origin* of *size* leaves."""
        if size < self.first_sizes.get(origin, 0):
            return False
        return self.last_sizes is None or size <= self.last_sizes.get(origin, -1)

    def signs_anchor(self, number: int) -> bool:
        """Tell whether it counts under the anchor of *number*."""
        return self.last_anchor is None or number <= self.last_anchor


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
    """A key by which an operator signs what only he may order, such as an erasure.

    Attributes:
        name: Whose it is.
        public_key: Its 32 bytes in base64.
        last_anchor: Only what was ordered before the end of the anchor of this number counts; None while it is in use.
    """

    name: str
    public_key: str
    last_anchor: int | None = None


class Authority(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A time-stamp authority (RFC 3161) whose tokens over anchors count.

    Attributes:
        name: What it is called.
        certificate: The root above its certificate, DER in base64.
        last_anchor: Only tokens over the anchor of this number, or one before, count; None while it is in use.
    """

    name: str
    certificate: str
    last_anchor: int | None = None

    def stamps(self, number: int) -> bool:
        """Tell whether its token over the anchor of *number* counts."""
        return self.last_anchor is None or number <= self.last_anchor


class Accepted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Leaves that no key of the log has signed, and that the owner accepts as they stand: their root counts as signed.

    Attributes:
        cluster: The id of the Kafka cluster.
        topic: The topic's name.
        topic_id: Its id, as the tables have it.
        partition: Which of its partitions.
        generation: Of the log; `BEFORE_PROOF` for rows that were stored before there were leaves.
        size: How many leaves are accepted: the offsets below it.
        root: The root over them in base64, so that whatever is changed among them later is found.
        reason: Why the owner accepts them, in his words.
        at_ms: When, by his clock, in milliseconds since 1970 UTC.
    """

    cluster: str
    topic: str
    topic_id: str
    partition: int
    generation: str
    size: int
    root: str
    reason: str
    at_ms: int

    @property
    def log(self) -> tuple[str, str, str, int, str]:
        """Which log it is of."""
        return self.cluster, self.topic, self.topic_id, self.partition, self.generation


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an auditor must believe, and nothing else; see the module for its form.

    Attributes:
        log_name: The name before the slash in each of its logs' origins.
        version: 1, 2, 3 …
        previous: SHA-256 of the text of the version before, in hex; "" for the first.
        log_keys: In the order in which they were put into use; the last is in use.
        services: In use is at most one key of a name.
        operators: Likewise.
        witnesses: Verifier keys (``name+id+key``, kind 0x04) of those that cosign.
        quorum: How many of them an anchored checkpoint must bear.
        authorities: In use is at most one of a name; with one in use, anchors must bear tokens.
        anchor_seconds: The most time until what is stored is anchored: the maximum audit delay.
        unsealed_tenants: For whom services without a key may write; ``*`` for each.
        accepted: What no key has signed and the owner accepts; left out of `text` where there is none.
    """

    log_name: str
    version: int
    previous: str = ""
    log_keys: tuple[LogKey, ...]
    services: tuple[ServiceKey, ...] = ()
    operators: tuple[OperatorKey, ...] = ()
    witnesses: tuple[str, ...] = ()
    quorum: int = 0
    authorities: tuple[Authority, ...] = ()
    anchor_seconds: int = 60
    unsealed_tenants: tuple[str, ...] = (ANYBODY,)
    accepted: tuple[Accepted, ...] = ()

    @property
    def text(self) -> str:
        """What the owner signs."""
        fields = {name: getattr(self, name) for name in self.__struct_fields__}
        if not self.accepted:
            del fields["accepted"]
        return f"{FORMAT}\n{msgspec.json.encode(fields, order='sorted').decode()}\n"

    @property
    def sha256(self) -> str:
        """The hash of `text`, in hex."""
        return sha256(self.text.encode()).hexdigest()

    def checkpoint_keys(self, origin: str, size: int) -> tuple[LogKey, ...]:
        """Return the keys of which one must have signed a checkpoint of *origin* of *size*; two at a rotation."""
        return tuple(key for key in self.log_keys if key.signs(origin, size))

    def anchor_keys(self, number: int) -> tuple[LogKey, ...]:
        """Return the keys of which one must have signed the anchor of *number*."""
        return tuple(key for key in self.log_keys if key.signs_anchor(number))

    def authorities_of(self, number: int) -> tuple[Authority, ...]:
        """Return the time-stamp authorities whose token over the anchor of *number* counts."""
        return tuple(each for each in self.authorities if each.stamps(number))

    def service_keys(self, service: str) -> tuple[ServiceKey, ...]:
        """Return the keys of *service*, closed ones too."""
        return tuple(key for key in self.services if key.service == service)


def owner_name(log_name: str) -> str:
    """Return under which name the owner of *log_name* signs."""
    return f"{log_name}/owner"


def read_policy_text(text: str) -> Policy:
    """Return the policy of which *text* is what the owner signs; who signed is not checked, nor what it says.

    Raises:
        ProofError: It is malformed, or another text would say the same. Permanent.
    """
    lines = text.split("\n")
    if len(lines) != 3 or lines[0] != FORMAT or lines[2]:
        raise ProofError(f"policy: is not of the form {FORMAT}")
    try:
        policy = msgspec.json.decode(lines[1], type=Policy)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise ProofError("policy: a field is missing, unknown or wrong") from None
    if policy.text != text:
        raise ProofError("policy: is not the one text of its fields")
    return policy
