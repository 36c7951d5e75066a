"""Put events into `event_log` with every column that the worker projects from a record."""

import random
import uuid
from collections.abc import Sequence

from cluster import Cluster
from fleet import fleet
from stored import Placed, in_order
from trailhouse.broker.origin import Origin
from trailhouse.consumer.batch.blocks import event_block
from trailhouse.consumer.batch.rows import Coordinates, EventRows, envelope_of, event_columns
from trailhouse.schemas.record_hash import record_hashes, record_keys
from trailhouse.store import ClickHouse, ClickHouseConfig
from trailhouse.store.migrate import migrate

ORIGIN = Origin("cluster-1", "trailhouse.events", "topic-1")


def store_projected(config: ClickHouseConfig, placed: Sequence[Placed]) -> None:
    """Insert these events in one block, by the worker's own steps."""
    records = [each.event.record for each in placed]
    coordinates = Coordinates(
        [each.partition for each in placed],
        [each.offset for each in placed],
        [each.appended_ms for each in placed],
    )
    rows = EventRows()
    rows.extend(
        event_columns(
            [envelope_of(record) for record in records],
            records,
            record_keys(record_hashes(records)),
            coordinates,
        )
    )
    with ClickHouse(config) as clickhouse:
        clickhouse.insert(event_block(ORIGIN, rows))


def fleet_database(cluster: Cluster) -> ClickHouseConfig:
    """Return a fresh database that holds the fleet, in several inserts, in no order."""
    config = ClickHouseConfig(
        url=cluster.clickhouse_url,
        user=cluster.clickhouse_user,
        password=cluster.clickhouse_password,
        database=f"trailhouse_{uuid.uuid4().hex[:12]}",
    )
    migrate(config)
    placed = in_order(fleet())
    random.Random(3).shuffle(placed)  # noqa: S311 - nothing secret
    for first in range(0, len(placed), 1_500):
        store_projected(config, placed[first : first + 1_500])
    return config
