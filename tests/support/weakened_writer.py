"""A writer that blames a row as soon as it was refused alone, for `make faults-red`."""

from typing import Any

from trailhouse.consumer.batch.batch import BadRecord, cannot_be_stored
from trailhouse.schemas.errors import StorageDataError


def blame_at_once(self: Any, batch: Any) -> list[Any]:
    """Quarantine each row that was refused alone, once: a writer's method, for as long as it is weakened.

    Else the writer's own guard would hold: none is blamed before another was accepted and it was refused again.
    """
    self._accepted = None
    pending, bad = [list(batch.events)], []
    while pending:
        events = pending.pop()
        try:
            self._insert(events)
        except StorageDataError:
            if len(events) == 1:
                bad.append(BadRecord.of(events[0], cannot_be_stored("refused")))
            else:
                middle = len(events) // 2
                pending += [events[middle:], events[:middle]]
    return bad
