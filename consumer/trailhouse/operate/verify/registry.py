"""Every duty of `verify`, in the order of their numbers."""

from trailhouse.operate.verify import anchors, leaves, ledger, numbers, policy, seals, times, views
from trailhouse.operate.verify.duty import Duty

DUTIES: tuple[Duty, ...] = tuple(
    sorted(
        (
            policy.DUTY,
            anchors.DUTY,
            leaves.DUTY,
            views.DUTY,
            seals.DUTY,
            numbers.DUTY,
            times.DUTY,
            ledger.DUTY,
        )
    )
)
