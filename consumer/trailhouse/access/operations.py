"""Every operation that a door passes on."""

from trailhouse.access.event_operations import EVENT_OPERATIONS, EXPORT, FOLLOW
from trailhouse.access.operation import NothingFoundError, Operation, Values, rows_of
from trailhouse.access.run_operations import RUN_OPERATIONS

OPERATIONS: tuple[Operation, ...] = (*EVENT_OPERATIONS, *RUN_OPERATIONS)

__all__ = ["EXPORT", "FOLLOW", "OPERATIONS", "NothingFoundError", "Operation", "Values", "rows_of"]
