"""Orders of erasure as they are stored: which of them count, and how one is stored."""

from typing import NamedTuple

from trailhouse.proof.config import ProofConfig
from trailhouse.proof.erasure import Order, check_order
from trailhouse.proof.keys import is_signed_by
from trailhouse.proof.policy import Policy
from trailhouse.schemas.errors import ProofError, StorageRejectedError
from trailhouse.store.clickhouse import ClickHouse
from trailhouse.store.policies import current_policy
from trailhouse.store.tables import LOG_ERASURES

MAX_ORDER_BYTES = 16 * 1024 * 1024
_LACKING = {"UNKNOWN_TABLE", "UNKNOWN_DATABASE"}


class StoredOrders(NamedTuple):
    """The orders that count, by number, and what is wrong with others; `faults` never hold what an order says.

    `misfiled` are the numbers of those whose row says another number or kind.
    """

    orders: tuple[Order, ...]
    faults: tuple[str, ...]
    misfiled: tuple[int, ...] = ()

    @property
    def erased(self) -> dict[bytes, int]:
        """The SHA-256 of each record that is to be erased, and the first order's number that says so."""
        found: dict[bytes, int] = {}
        for order in reversed(self.orders):
            if order.kind == "erase":
                found |= dict.fromkeys(order.digests, order.number)
        return found


def stored_orders(clickhouse: ClickHouse, policy: Policy | None) -> StoredOrders:
    """Return the orders that an operator of *policy* has signed; without a policy nobody may order.

    Raises:
        StorageError: ClickHouse does not answer (retriable) or refuses (permanent).
    """
    orders: dict[str, Order] = {}
    faults: list[str] = []
    misfiled: set[int] = set()
    for number, kind, content in _contents(clickhouse):
        if policy is None:
            faults.append("erasure: no policy is in force, so nobody may order")
            continue
        try:
            order = check_order(content, policy, is_signed_by)
        except ProofError as error:
            faults.append(str(error))
        else:
            orders[order.text] = order
            if (order.number, order.kind) != (number, kind):
                misfiled.add(order.number)
    ordered = sorted(orders.values(), key=lambda each: (each.number, each.text))
    return StoredOrders(tuple(ordered), tuple(faults), tuple(sorted(misfiled)))


def ordered_erasures(clickhouse: ClickHouse, config: ProofConfig) -> dict[bytes, int]:
    """Return the SHA-256 of each record that is to be erased, and the number of the order that says so.

    Raises:
        ConfigError: The owner's key of the settings is malformed. Permanent.
        StorageError: ClickHouse does not answer (retriable) or refuses (permanent).
    """
    if not config.owner_key or not orders_mark(clickhouse)[0]:
        return {}
    return stored_orders(clickhouse, current_policy(clickhouse, config)).erased


def orders_mark(clickhouse: ClickHouse) -> tuple[int, object]:
    """Return how many rows of orders are stored, and the largest number: what changes with each order. Cheap.

    Raises:
        StorageError: ClickHouse does not answer (retriable) or refuses (permanent).
    """
    try:
        [(count, last)] = clickhouse.query("SELECT count(), max(number) FROM log_erasures").rows
    except StorageRejectedError as error:
        if error.name not in _LACKING:
            raise
        return 0, None
    return int(count), last


def store_order(clickhouse: ClickHouse, order: Order, content: str) -> None:
    """Store *content*, the signed text of *order*; on return it is written.

    Raises:
        StorageError: ClickHouse does not answer (retriable: it may be stored, so repeat) or refuses (permanent).
    """
    clickhouse.insert(
        LOG_ERASURES.block(
            {
                "number": [order.number],
                "kind": [order.kind],
                "erasure": [content],
            }
        )
    )


def _contents(clickhouse: ClickHouse) -> list[tuple[int, str, bytes]]:
    try:
        rows = clickhouse.query(
            "SELECT number, kind, erasure FROM log_erasures WHERE length(erasure) <= {longest:UInt32}"
            " ORDER BY number, erasure LIMIT 1 BY number, kind, erasure",
            {"longest": MAX_ORDER_BYTES},
            bytes_columns=("erasure",),
        ).rows
    except StorageRejectedError as error:
        if error.name not in _LACKING:
            raise
        return []  # before `trailhouse init`
    return [(int(number), str(kind), content) for number, kind, content in rows]
