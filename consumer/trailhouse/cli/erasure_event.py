"""An order of erasure is an event `audit_erasure`, by our own spooled producer."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trailhouse.operate.erase.orders import Erased


def log_erased(erased: "Erased") -> None:
    """Log what was ordered, an event an order: who, how much, nothing of what was erased nor of why.

    Delivery, Raises: As `log_own`.
    """
    from trailhouse.cli.own_event import log_own
    from trailhouse.schemas import EventType

    log_own(
        EventType.AUDIT_ERASURE,
        "audit-erasure",
        [
            {
                "operator": order.operator,
                "order": order.number,
                "order_sha256": order.sha256,
                "digests": len(order.digests),
                "reason_characters": len(order.reason),
            }
            for order in erased.orders
        ],
        service="trailhouse-erase",
    )
