"""ClickHouse as the writer uses it, telling the watchdog of every statement that came to its end."""

from trailhouse.consumer.batch.writer import Inserts
from trailhouse.consumer.monitoring.heartbeat import Heartbeat
from trailhouse.schemas.errors import StorageUnavailableError
from trailhouse.store.block import Block


class WatchedStore:
    """Inserts through *storage*; an insert that fails is a sign of life as well, one that hangs is not."""

    def __init__(self, storage: Inserts, heartbeat: Heartbeat) -> None:
        self._storage = storage
        self._heartbeat = heartbeat

    def insert(self, block: Block) -> None:
        """Do as `Inserts.insert` says."""
        try:
            self._storage.insert(block)
        except StorageUnavailableError:
            self._heartbeat.waited()
            raise
        finally:
            self._heartbeat.wrote()
