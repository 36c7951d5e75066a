"""The proof of one topic, as a worker in the group keeps it: logs restored at an assignment, written, and signed."""

import datetime as dt
from collections.abc import Callable, Mapping

from trailhouse.consumer.proof_log.assigned_logs import AssignedLogs
from trailhouse.consumer.proof_log.checkpointer import Checkpointer
from trailhouse.consumer.proof_log.restore import LogRestorer, Restored
from trailhouse.consumer.proof_log.signing import Signing
from trailhouse.consumer.proof_log.stored_log import StoredLog
from trailhouse.schemas.errors import SigningError


class ProofLog:
    """Belongs to one membership in the group, and one topic."""

    def __init__(
        self,
        stored: StoredLog,
        signing: Signing,
        checkpointer: Checkpointer,
        now: Callable[[], dt.datetime],
    ) -> None:
        self._stored = stored
        self._signing = signing
        self._checkpointer = checkpointer
        self._now = now

    def restored(
        self, starts: Mapping[int, int], log_starts: Mapping[int, int]
    ) -> Mapping[int, Restored]:
        """Do as `LogRestorer.restored` says. Blocks.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent). Ask again.
        """
        try:
            public_key = self._signing.public_key()
        except SigningError:
            public_key = None  # told by whoever signs
        restorer = LogRestorer(self._stored, self._signing.log_name, public_key)
        return restorer.restored(starts, log_starts)

    def begin(self, restored: Mapping[int, Restored]) -> AssignedLogs:
        """Begin with another assignment; what was written of the one before is nobody's any more."""
        self._checkpointer.take(restored)
        if restored:
            self._checkpointer.start()
        return AssignedLogs(self._stored, restored, self._checkpointer.note, self._now)

    def close(self) -> None:
        """Sign what is committed, unless that takes too long, and end."""
        self._checkpointer.close()
