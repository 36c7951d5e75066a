"""Put events into `event_log` from chosen Kafka coordinates, with every column that the worker projects."""

from collections.abc import Sequence

from stored import Placed
from trailhouse.broker.origin import Origin
from trailhouse.consumer.batch.blocks import event_block
from trailhouse.consumer.batch.rows import Coordinates, EventRows, envelope_of, event_columns
from trailhouse.schemas.record_hash import record_hashes, record_keys
from trailhouse.store import ClickHouse, ClickHouseConfig


def store_rows(config: ClickHouseConfig, placed: Sequence[Placed]) -> None:
    """Insert these events in one block, by the worker's own steps; all of one topic."""
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
    origin = Origin("cluster-1", "trailhouse.events", placed[0].topic_id)
    with ClickHouse(config) as clickhouse:
        clickhouse.insert(event_block(origin, rows))
