"""Every duty of `verify`, in the order of their numbers."""

from trailhouse.operate.verify import leaves
from trailhouse.operate.verify.duty import Duty

DUTIES: tuple[Duty, ...] = tuple(sorted((leaves.DUTY,)))
