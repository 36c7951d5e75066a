"""Every duty of `verify`, in the order of their numbers."""

from trailhouse.operate.verify.duties import manifests, numbers, policy, rows, times, verdicts
from trailhouse.operate.verify.duties.anchors import anchors
from trailhouse.operate.verify.duties.columns import columns
from trailhouse.operate.verify.duties.erasures import erasures
from trailhouse.operate.verify.duties.leaves import leaves
from trailhouse.operate.verify.duties.ledger import ledger
from trailhouse.operate.verify.duties.records import records
from trailhouse.operate.verify.duties.seals import seals
from trailhouse.operate.verify.duties.standings import standings
from trailhouse.operate.verify.duties.views import views
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
