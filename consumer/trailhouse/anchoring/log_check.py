"""Reads again what every log has grown by: how far it can be anchored, since records, leaves and roots agree."""

from collections.abc import Callable, Container, Mapping, Sequence

from trailhouse.anchoring.leaf_reader import read_leaves
from trailhouse.anchoring.log_growth import Contradiction, Fit, Growth, fit_of
from trailhouse.anchoring.stored_log import StoredCheckpoint, StoredLog, checkpoints_of
from trailhouse.anchoring.stored_records import StoredRecords
from trailhouse.anchoring.tree_reader import TreeReader
from trailhouse.proof.checkpoint import Checkpoint
from trailhouse.proof.merkle import CompactRange
from trailhouse.schemas.errors import IntegrityError
from trailhouse.store.clickhouse import ClickHouse

LEAVES_AT_ONCE = 250_000
"""Of all logs together: held in memory, about 100 MB, while their records are read."""
LEAST_LEAVES = 2_000
CHECKPOINTS_AT_ONCE = 10_000


class LogCheck:
    """Checks logs from where they were anchored on; for one thread."""

    def __init__(
        self,
        clickhouse: ClickHouse,
        *,
        erased: Callable[[], Container[bytes]] = frozenset,
        leaves_at_once: int = LEAVES_AT_ONCE,
    ) -> None:
        self._clickhouse = clickhouse
        self._records = StoredRecords(clickhouse, erased)
        self._leaves_at_once = leaves_at_once

    def anchored_tree(
        self, log: StoredLog, anchored: Checkpoint | None
    ) -> CompactRange | Contradiction:
        """Return the tree of *log* that *anchored* is the root of; the empty one for a log that was never anchored.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        if anchored is None or anchored.size == 0:
            return CompactRange()
        stored = checkpoints_of(
            self._clickhouse, log, first_size=anchored.size, limit=CHECKPOINTS_AT_ONCE
        )
        for each in stored:
            if each.size == anchored.size and each.is_whole and each.tree().root() == anchored.root:
                return each.tree()
        # Its checkpoint is gone, or was never stored: what is below it is read.
        try:
            tree = TreeReader(self._clickhouse, log).tree(anchored.size)
        except IntegrityError:
            return Contradiction(log, "anchored_part", anchored.size)
        if tree.root() != anchored.root:
            return Contradiction(log, "anchored_part", anchored.size)
        return tree

    def grown(self, trees: Mapping[StoredLog, CompactRange]) -> dict[StoredLog, Fit]:
        """Return of each log, from its tree on, the largest that fits, if it has grown, and what does not fit.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        found = {log: Fit(None, tree, None) for log, tree in trees.items()}
        ahead = {
            log: checkpoints_of(
                self._clickhouse, log, first_size=tree.size + 1, limit=CHECKPOINTS_AT_ONCE
            )
            for log, tree in trees.items()
        }
        while ahead := {log: each for log, each in ahead.items() if each}:
            growths = [
                self._growth(log, found[log].tree, each, len(ahead)) for log, each in ahead.items()
            ]
            unbacked = self._records.unbacked(growths)
            for growth, missing in zip(growths, unbacked, strict=True):
                fit = fit_of(growth, missing)
                known = found[growth.log]
                found[growth.log] = Fit(
                    fit.good or known.good, fit.tree, fit.contradiction or known.contradiction
                )
                reached = fit.tree.size
                is_over = reached < growth.end
                ahead[growth.log] = (
                    [] if is_over else [each for each in ahead[growth.log] if each.size > reached]
                )
        return found

    def _growth(
        self,
        log: StoredLog,
        tree: CompactRange,
        checkpoints: Sequence[StoredCheckpoint],
        logs: int,
    ) -> Growth:
        leaves, end = read_leaves(
            self._clickhouse,
            log,
            first=tree.size,
            end=checkpoints[-1].size,
            limit=max(LEAST_LEAVES, self._leaves_at_once // logs),
        )
        return Growth(log, tree, leaves, checkpoints, end)
