"""Operators' orders, given to anchors: so that none can be taken away unseen, not even the last."""

from trailhouse.proof.anchor import Anchor, OrderHash
from trailhouse.proof.policy import Policy
from trailhouse.store.clickhouse import ClickHouse
from trailhouse.store.erasures import orders_mark, stored_orders


class Orders:
    """The stored orders that count, read again where any was stored since."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse
        self._read_at: object = None
        self._known: tuple[OrderHash, ...] = ()

    def due(self, policy: Policy | None, before: Anchor | None) -> tuple[OrderHash, ...]:
        """Return which orders the anchor after *before* names: the newest that this one does, and all since.

        So none is left out, and what two operators have ordered under one number at the same time is named as well.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        if policy is None:
            return ()
        mark = (policy.sha256, orders_mark(self._clickhouse))
        if mark != self._read_at:
            orders = stored_orders(self._clickhouse, policy).orders
            self._known = tuple(sorted(OrderHash(each.number, each.sha256) for each in orders))
            self._read_at = mark
        newest = max((each.number for each in before.orders), default=0) if before else 0
        return tuple(each for each in self._known if each.number >= newest)
