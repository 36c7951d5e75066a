"""ClickHouse as the writer uses it, telling the watchdog of every statement that came to its end."""

from trailhouse.consumer.batch.writer import Inserts
from trailhouse.consumer.monitoring.heartbeat import Progress
from trailhouse.schemas.errors import StorageUnavailableError
from trailhouse.store.block import Block


class WatchedStore:
    """Inserts through *storage*; an insert that fails is a sign of life as well, one that hangs is not."""

    def __init__(self, storage: Inserts, progress: Progress) -> None:
        self._storage = storage
        self._progress = progress

    def insert(self, block: Block) -> None:
        """Do as `Inserts.insert` says."""
        try:
            self._storage.insert(block)
        except StorageUnavailableError:
            self._progress.waited()
            raise
        finally:
            self._progress.wrote()
