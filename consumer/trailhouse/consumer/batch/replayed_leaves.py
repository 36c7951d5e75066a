"""The leaves of records that are read again outside the group: what the log lacks is written, nothing is changed."""

from collections.abc import Sequence

from trailhouse.consumer.batch.batch import Batch
from trailhouse.consumer.batch.log_writer import leaves_of
from trailhouse.consumer.proof_log.blocks import leaf_block
from trailhouse.consumer.proof_log.comparison import compared
from trailhouse.consumer.proof_log.leaves import ReadLeaves
from trailhouse.consumer.proof_log.restore import LogRestorer
from trailhouse.consumer.proof_log.stored_log import StoredLog
from trailhouse.proof.origin import LogOrigin


class ReplayedLeaves:
    """Writes leaves of one topic beside workers that may run: theirs are the same."""

    def __init__(self, stored: StoredLog) -> None:
        self._stored = stored
        # Whose log it is stands in checkpoints alone, and none is written here.
        self._restorer = LogRestorer(stored, "replayed", None)

    def write(self, batches: Sequence[Batch]) -> int:
        """Write the leaves that are not stored yet; return at how many records the log has something else.

        Such an offset was signed as a hole, for a reason that an incident gives, or with other bytes: its leaf stays.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent). Write them again.
        """
        parts = leaves_of(batches)
        logs = self._restorer.restored(dict.fromkeys(parts, 0), {})
        lost: list[tuple[LogOrigin, ReadLeaves]] = []
        unlike = 0
        for number, read in parts.items():
            for part in read:
                rest = part
                while len(rest.offsets):
                    found = compared(
                        self._stored, logs[number].state.origin, logs[number].generations, rest
                    )
                    lost += found.lost
                    if found.differs_at is None:
                        break
                    unlike += 1
                    rest = rest.split(found.differs_at + 1)[1]
        if lost:
            self._stored.insert(leaf_block(self._stored.origin, lost))
        return unlike
