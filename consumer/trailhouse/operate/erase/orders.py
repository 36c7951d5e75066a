"""An operator orders: records are erased, or held; what is held is not erased until somebody lifts it."""

import time
from collections.abc import Sequence

import msgspec

from trailhouse.operate.erase.blank import Blanked, Report, blank
from trailhouse.operate.erase.sought import Found
from trailhouse.operate.proof_keys.covered import last_anchor
from trailhouse.proof.erasure import (
    MAX_DIGESTS,
    Order,
    OrderKind,
    check_order,
    erasure_name,
    holds_in_force,
)
from trailhouse.proof.keys import Signer, is_signed_by, note_signed
from trailhouse.proof.policy import Policy
from trailhouse.schemas.errors import QueryError
from trailhouse.store.clickhouse import ClickHouse
from trailhouse.store.erasures import store_order, stored_orders


class Erased(msgspec.Struct, frozen=True, kw_only=True):
    """What was ordered, and which rows were made blank by it."""

    orders: tuple[Order, ...]
    blanked: Blanked


class Operator(msgspec.Struct, frozen=True, kw_only=True):
    """Who orders: his name in the policy, and what signs for him."""

    name: str
    signer: Signer


def erase(
    storage: ClickHouse,
    policy: Policy,
    operator: Operator,
    found: Found,
    *,
    reason: str,
    report: Report = lambda step: None,
) -> Erased:
    """Order that *found* is erased, and do it; on return no row holds a record of it.

    The order is stored first: whatever ends this, `reapply` does the rest.

    Raises:
        QueryError: There is nothing to erase, or some of it is held. Permanent; nothing was ordered.
        ProofError: The operator is not one of the policy's, or his key is another. Permanent; nothing was ordered.
        SigningError: His key cannot be used. Retriable.
        StorageError: ClickHouse is away (retriable: `reapply`) or refuses (permanent).
    """
    if not found.digests:
        raise QueryError("no stored record is meant: nothing was ordered")
    held = holds_in_force(stored_orders(storage, policy).orders) & found.hold_keys
    if held:
        raise QueryError(
            "some of it is under a legal hold: nothing was ordered; `trailhouse hold --list` names the orders"
        )
    orders = tuple(
        _ordered(
            storage, policy, operator, "erase", found.digests[begin : begin + MAX_DIGESTS], reason
        )
        for begin in range(0, len(found.digests), MAX_DIGESTS)
    )
    return Erased(orders=orders, blanked=blank(storage, found.digests, report))


def hold(
    storage: ClickHouse,
    policy: Policy,
    operator: Operator,
    keys: Sequence[bytes],
    *,
    reason: str,
    is_lifted: bool = False,
) -> Order:
    """Order that what *keys* stand for (see `hold_key`) is not erased, or lift such an order.

    Raises:
        QueryError: What is to be lifted is not held. Permanent.
        ProofError, SigningError, StorageError: As `erase`.
    """
    held = holds_in_force(stored_orders(storage, policy).orders)
    if is_lifted and not set(keys) <= held:
        raise QueryError("what is to be lifted is not held")
    kind: OrderKind = "lift" if is_lifted else "hold"
    return _ordered(storage, policy, operator, kind, keys, reason)


def reapply(storage: ClickHouse, policy: Policy, report: Report = lambda step: None) -> Blanked:
    """Make every row blank again that an order names: after a backup was restored, or a copy came late.

    Raises:
        StorageError: As `blank`.
    """
    return blank(storage, sorted(stored_orders(storage, policy).erased), report)


def _ordered(
    storage: ClickHouse,
    policy: Policy,
    operator: Operator,
    kind: OrderKind,
    digests: Sequence[bytes],
    reason: str,
) -> Order:
    known = stored_orders(storage, policy).orders
    anchor = last_anchor(storage, policy)
    order = Order(
        policy.log_name,
        kind,
        max((each.number for each in known), default=0) + 1,
        operator.name,
        max(time.time_ns() // 1_000_000, max((each.at_ms for each in known), default=0)),
        anchor.number if anchor else 0,
        " ".join(reason.split()),
        tuple(sorted(set(digests))),
    )
    content = note_signed(order.text, operator.signer, erasure_name(policy.log_name))
    # As everybody will check it: an order that counts for nobody must not blank a row.
    check_order(content, policy, is_signed_by)
    store_order(storage, order, content)
    return order
