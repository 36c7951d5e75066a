"""Orders of erasure: who may order, what stands in one, and which holds are in force."""

import base64
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from trailhouse.proof.erasure import (
    Order,
    check_order,
    erasure_name,
    hold_key,
    holds_in_force,
    parse_order,
)
from trailhouse.proof.keys import FileSigner, is_signed_by, note_signed
from trailhouse.proof.policy import LogKey, OperatorKey, Policy
from trailhouse.schemas.errors import ProofError

LOG = "log.example.org"
ALICE, STRANGER = (FileSigner(Ed25519PrivateKey.generate()) for _ in range(2))
POLICY = Policy(
    log_name=LOG,
    version=1,
    log_keys=(LogKey(public_key=base64.b64encode(b"\x01" * 32).decode()),),
    operators=(
        OperatorKey(name="alice b.", public_key=base64.b64encode(ALICE.public_key).decode()),
    ),
)
ORDER = Order(
    LOG, "erase", 1, "alice b.", 1_700_000_000_000, 4, 'a "reason"', (b"\x01" * 32, b"\x02" * 32)
)


def signed(order: Order, signer: FileSigner = ALICE) -> str:
    """Return *order* as an operator signs it."""
    return note_signed(order.text, signer, erasure_name(LOG))


def test_an_order_is_read_as_it_was_written() -> None:
    """What an operator of the policy has signed is the order that it was."""
    assert check_order(signed(ORDER), POLICY, is_signed_by) == ORDER
    assert check_order(signed(ORDER).encode(), POLICY, is_signed_by) == ORDER


def test_each_byte_flipped_is_found() -> None:
    """An order that somebody has changed counts for nothing, wherever he has changed it."""
    content = signed(ORDER).encode()
    for place in range(len(content)):
        changed = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        with pytest.raises(ProofError):
            check_order(changed, POLICY, is_signed_by)


@pytest.mark.parametrize(
    "fields",
    [
        {"digests": ()},
        {"digests": (b"\x02" * 32, b"\x01" * 32)},
        {"digests": (b"\x01" * 32, b"\x01" * 32)},
        {"digests": (b"\x01" * 31,)},
        {"number": 0},
        {"number": 2**63},
        {"at_ms": -1},
        {"anchor": -1},
        {"kind": "forget"},
        {"log_name": "other"},
        {"operator": ""},
        {"operator": "bob"},
        {"reason": "r" * 2_001},
    ],
)
def test_an_order_that_cannot_be_is_refused(fields: dict[str, Any]) -> None:
    """A number, digest, kind, log or name that no order can have is refused, though signed."""
    with pytest.raises(ProofError):
        check_order(signed(ORDER._replace(**fields)), POLICY, is_signed_by)


@pytest.mark.parametrize(
    "make",
    [
        lambda: signed(ORDER, STRANGER),
        lambda: note_signed(ORDER.text, ALICE, f"{LOG}/anchor"),
        lambda: signed(ORDER).replace("\n2\n", "\n02\n"),
        lambda: ORDER.text,
        lambda: "",
    ],
)
def test_who_may_not_order_orders_nothing(make: Callable[[], str]) -> None:
    """Another key, another name, another text of the same fields, no signature: none of them is an order."""
    with pytest.raises(ProofError):
        check_order(make(), POLICY, is_signed_by)


def test_a_revoked_operator_has_ordered_what_he_ordered_before() -> None:
    """An order that names an anchor above the last of its key is refused, an earlier one still stands."""
    closed = msgspec.structs.replace(
        POLICY, operators=(msgspec.structs.replace(POLICY.operators[0], last_anchor=4),)
    )
    assert check_order(signed(ORDER), closed, is_signed_by) == ORDER
    with pytest.raises(ProofError, match="no longer"):
        check_order(signed(ORDER._replace(anchor=5)), closed, is_signed_by)


def test_a_hold_is_in_force_until_it_is_lifted() -> None:
    """The last order about a session decides, whatever the order in which they are found."""
    session, other = hold_key("session", "s"), hold_key("subject", "s")
    held = ORDER._replace(kind="hold", at_ms=10, digests=tuple(sorted((session, other))))
    lifted = ORDER._replace(kind="lift", number=2, at_ms=20, digests=(session,))
    again = ORDER._replace(kind="hold", number=3, at_ms=30, digests=(session,))
    assert holds_in_force([lifted, held, ORDER]) == {other}
    assert holds_in_force([lifted, held], at_ms=19) == {session, other}
    assert holds_in_force([lifted, held], at_ms=9) == frozenset()
    assert holds_in_force([again, lifted, held]) == {session, other}
    assert parse_order(signed(held))[0] == held
