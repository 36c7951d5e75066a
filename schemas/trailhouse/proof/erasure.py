"""Orders of operators: records to be erased, by their digests, and legal holds, which refuse that. Pure.

A note (see `note`) under the name ``<log name>/erasure``, by the key of an operator of the policy. Its text, a line
each: `FORMAT`, the log name, ``erase``, ``hold`` or ``lift``, the order's number, the operator's name as JSON,
milliseconds since 1970 UTC, the number of the last anchor at that time (0 for none), why as JSON, how many digests
follow, and each in hex, sorted. Those of ``erase`` are the SHA-256 of records. Those of ``hold`` and ``lift`` are
`hold_key`: whoever reads an order learns of nobody's name by it.

An order stands: what it names is erased again wherever it comes back, from a replay, a late copy or a backup.
"""

from collections.abc import Iterable
from hashlib import sha256
from typing import Literal, NamedTuple

import msgspec

from trailhouse.proof.merkle import HASH_BYTES, MAX_SIZE
from trailhouse.proof.note import Note, Verify, canonical_base64, is_key_name, parse_note, signers
from trailhouse.proof.policy import Policy
from trailhouse.schemas.errors import ProofError

FORMAT = "trailhouse-erasure/1"
MAX_DIGESTS = 100_000
"""Of one order; more are ordered by several."""
MAX_REASON_CHARACTERS = 2_000
OrderKind = Literal["erase", "hold", "lift"]
HoldScope = Literal["session", "event", "tenant", "subject", "everything"]


class Order(NamedTuple):
    """What an operator has ordered; see the module for its form."""

    log_name: str
    kind: OrderKind
    number: int
    operator: str
    at_ms: int
    anchor: int
    reason: str
    digests: tuple[bytes, ...]

    @property
    def text(self) -> str:
        """What is signed."""
        lines = (
            FORMAT,
            self.log_name,
            self.kind,
            str(self.number),
            _json(self.operator),
            str(self.at_ms),
            str(self.anchor),
            _json(self.reason),
            str(len(self.digests)),
            *(digest.hex() for digest in self.digests),
        )
        return "\n".join(lines) + "\n"

    @property
    def sha256(self) -> str:
        """The hash of its text in hex, by which anchors name it."""
        return sha256(self.text.encode()).hexdigest()


def erasure_name(log_name: str) -> str:
    """Return under which name the operators of *log_name* sign."""
    return f"{log_name}/erasure"


def hold_key(scope: HoldScope, name: str = "") -> bytes:
    """Return what stands in a hold for all records of a session, a tenant, a subject (an actor), or for one event."""
    return sha256(f"{scope}:{name}".encode()).digest()


def parse_order(content: str | bytes) -> tuple[Order, Note]:
    """Return the order that *content* holds, and it as a note, whose signatures are not checked.

    Raises:
        ProofError: It is not an order in the one form that it can have. Permanent.
    """
    note = parse_note(content, "erasure")
    lines = note.text.split("\n")
    try:
        order = _order(lines)
    except (ValueError, IndexError, msgspec.MsgspecError):
        raise ProofError("erasure: a line is malformed") from None
    if order.text != note.text:
        raise ProofError("erasure: is not the one text of its fields")
    return order, note


def check_order(content: str | bytes, policy: Policy, verify: Verify) -> Order:
    """Return the order that *content* holds, which an operator of *policy* has signed with a key that counted then.

    A key that was revoked counts for orders that name an anchor up to its last.

    Raises:
        ProofError: It is malformed, of another log, or nobody who may has signed it. Permanent.
    """
    order, note = parse_order(content)
    if order.log_name != policy.log_name:
        raise ProofError("erasure: is of another log")
    name = erasure_name(policy.log_name)
    for each in policy.operators:
        if each.name != order.operator:
            continue
        key = canonical_base64(each.public_key, "erasure: operator's key")
        if name in signers(note, {name: key}, verify):
            if each.last_anchor is not None and order.anchor > each.last_anchor:
                raise ProofError("erasure: was ordered by a key that counted no longer")
            return order
    raise ProofError(
        "erasure: is not signed by an operator of the policy: `trailhouse proof show` lists them,"
        " `trailhouse proof operator` names one"
    )


def holds_in_force(orders: Iterable[Order], at_ms: int = MAX_SIZE) -> frozenset[bytes]:
    """Return the `hold_key` of what was held at a time, *at_ms* included: by its last order it is not lifted."""
    held: dict[bytes, bool] = {}
    for order in sorted(orders, key=lambda each: (each.at_ms, each.number)):
        if order.kind != "erase" and order.at_ms <= at_ms:
            held |= dict.fromkeys(order.digests, order.kind == "hold")
    return frozenset(key for key, is_held in held.items() if is_held)


def _order(lines: list[str]) -> Order:
    if lines[0] != FORMAT:
        raise ProofError(f"erasure: is not of the form {FORMAT}")
    count = int(lines[8])
    digests = tuple(bytes.fromhex(line) for line in lines[9:-1])
    kind, reason = lines[2], msgspec.json.decode(lines[7], type=str)
    operator = msgspec.json.decode(lines[4], type=str)
    number, at_ms, anchor = int(lines[3]), int(lines[5]), int(lines[6])
    if kind not in ("erase", "hold", "lift") or not is_key_name(lines[1]):
        raise ProofError("erasure: is of a kind that is unknown, or of no log")
    if not 1 <= number <= MAX_SIZE or not 0 <= at_ms <= MAX_SIZE or not 0 <= anchor <= MAX_SIZE:
        raise ProofError("erasure: a number is none that an order can have")
    if len(digests) != count or not 1 <= count <= MAX_DIGESTS:
        raise ProofError("erasure: its digests are not as many as it says")
    if list(digests) != sorted(set(digests)) or {len(each) for each in digests} != {HASH_BYTES}:
        raise ProofError("erasure: its digests are not sorted, or none")
    if not operator or len(reason) > MAX_REASON_CHARACTERS:
        raise ProofError("erasure: it names nobody, or its reason is too long")
    return Order(lines[1], kind, number, operator, at_ms, anchor, reason, digests)  # type: ignore[arg-type]  # one of three


def _json(text: str) -> str:
    return msgspec.json.encode(text).decode()
