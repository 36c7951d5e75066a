"""Every duty of `verify`, in the order of their numbers."""

from trailhouse.operate.verify import (
    anchors,
    columns,
    erasures,
    leaves,
    ledger,
    manifests,
    numbers,
    policy,
    records,
    rows,
    seals,
    standings,
    times,
    verdicts,
    views,
)
from trailhouse.operate.verify.duty import Duty

DUTIES: tuple[Duty, ...] = tuple(
    sorted(
        (
            policy.DUTY,
            anchors.DUTY,
            leaves.DUTY,
            records.DUTY,
            rows.DUTY,
            columns.DUTY,
            verdicts.DUTY,
            views.DUTY,
            seals.DUTY,
            numbers.DUTY,
            times.DUTY,
            ledger.DUTY,
            erasures.DUTY,
            manifests.DUTY,
            standings.DUTY,
        )
    )
)
