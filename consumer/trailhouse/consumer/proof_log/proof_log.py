"""The proof of one topic, as a worker in the group keeps it: logs restored at an assignment, written, and signed."""

import datetime as dt
from collections.abc import Callable, Mapping

from trailhouse.consumer.proof_log.assigned_logs import AssignedLogs
from trailhouse.consumer.proof_log.checkpointer import Checkpointer
from trailhouse.consumer.proof_log.log_keys import IsSigned, believed_keys
from trailhouse.consumer.proof_log.restore import LogRestorer, Restored
from trailhouse.consumer.proof_log.signing import Signing
from trailhouse.consumer.proof_log.stored_log import StoredLog
from trailhouse.proof.policy import Policy
from trailhouse.schemas.errors import ConfigError, ProofError, SigningError

SIGNED_WITHIN_SECONDS = 2.0
"""So long an assignment waits for what the one before has committed to be signed: it is read again otherwise."""


class ProofLog:
    """Belongs to one membership in the group, and one topic."""

    def __init__(
        self,
        stored: StoredLog,
        signing: Signing,
        checkpointer: Checkpointer,
        now: Callable[[], dt.datetime],
        policy: Callable[[], Policy | None] = lambda: None,
    ) -> None:
        self._stored = stored
        self._policy = policy
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
        self._checkpointer.flush(SIGNED_WITHIN_SECONDS)
        restorer = LogRestorer(self._stored, self._signing.log_name, self._believed())
        return restorer.restored(starts, log_starts)

    def begin(self, restored: Mapping[int, Restored]) -> AssignedLogs:
        """Begin with another assignment; what was written of the one before is nobody's any more."""
        self._checkpointer.take(restored)
        if restored:
            self._checkpointer.start()
        return AssignedLogs(self._stored, restored, self._checkpointer.note, self._now)

    def release(self) -> None:
        """Have what is committed signed now: somebody else is about to go on from it. Does not block."""
        self._checkpointer.hurry()

    def _believed(self) -> IsSigned | None:
        if not self._signing.is_wanted:
            return None
        try:
            own = self._signing.public_key()
        except SigningError:
            own = None  # told by whoever signs
        try:
            policy = self._policy()
        except (ConfigError, ProofError):
            policy = None  # told by whoever judges by it
        return believed_keys(own, policy)

    def close(self) -> None:
        """Sign what is committed, unless that takes too long, and end."""
        self._checkpointer.close()
