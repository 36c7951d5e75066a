"""Whether operators' orders are those that anchors name, and rise in number, time and anchor: a part of duty 13."""

from collections.abc import Sequence
from itertools import pairwise

from trailhouse.operate.verify.anchored.anchored import Anchored
from trailhouse.operate.verify.finding import Findings
from trailhouse.operate.verify.run import Run
from trailhouse.proof.anchor import OrderHash
from trailhouse.proof.erasure import Order

_TABLE = "log_erasures"
_ASK = "ask the operator; the hold that it was to pass by counts"


def tell_gone(found: Findings, anchored: Anchored, orders: Sequence[Order]) -> None:
    """Tell which orders an anchor names and nobody has stored any more."""
    stored = {OrderHash(each.number, each.sha256) for each in orders}
    for order, number in sorted(anchored.orders.items()):
        if order not in stored:
            found.add(
                "order_gone",
                table=_TABLE,
                name=f"order {order.number}, in anchor {number}",
                meaning="an operator has given this order, and it is not there: it was taken away, or exchanged",
                way_out="restore log_erasures; what it held may be erased by now, or what it erased have come back",
                count=1,
            )


def tell_backdated(found: Findings, orders: Sequence[Order]) -> None:
    """Tell orders that claim to be older than one of a smaller number: so a hold that came first would not count."""
    ordered = sorted(orders, key=lambda each: each.number)
    for before, after in pairwise(ordered):
        if before.number < after.number and (
            after.at_ms < before.at_ms or after.anchor < before.anchor
        ):
            found.add(
                "order_backdated",
                table=_TABLE,
                name=f"order {after.number}",
                meaning="it names an earlier time, or an earlier anchor, than the order before it: it was dated back",
                way_out=_ASK,
                count=1,
            )


def tell_after_revocation(run: Run, found: Findings, orders: Sequence[Order]) -> None:
    """Tell orders by a key that was revoked, of which no anchor up to the key's last one knows."""
    keys: dict[str, list[int | None]] = {}
    for each in run.policy.operators:
        keys.setdefault(each.name, []).append(each.last_anchor)
    # Who has another key that counts may have used that one.
    last = {
        name: max(ends)
        for name, all_ends in keys.items()
        if (ends := [end for end in all_ends if end is not None]) and len(ends) == len(all_ends)
    }
    for order in orders:
        until = last.get(order.operator)
        if until is None:
            continue
        known = OrderHash(order.number, order.sha256)
        number = run.anchored.orders.get(known)
        if number is None or number > until:
            found.add(
                "order_after_revocation",
                table=_TABLE,
                name=f"order {order.number}",
                meaning=f"its operator's key was revoked, and no anchor up to {until} names it: it may be younger",
                way_out=_ASK,
                count=1,
            )
