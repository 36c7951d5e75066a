"""aiokafka and clickhouse-connect by hand: `getmany`, insert, then commit.

Follows "Manual commit" and "Batch consumption" of aiokafka's documentation
(aiokafka.readthedocs.io, "Consumer client", "Examples").
"""

# mypy: ignore-errors
# pyright: basic

import asyncio

from aiokafka import AIOKafkaConsumer
from store import BATCH_ROWS, Table, arguments, row_of


async def main() -> None:
    """Drain the topic."""
    given = arguments()
    table = Table(given)
    consumer = AIOKafkaConsumer(
        given.topic,
        bootstrap_servers=given.bootstrap,
        group_id=given.group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_bytes=4_194_304,
        max_partition_fetch_bytes=1_048_576,
        fetch_max_wait_ms=100,
        max_poll_records=BATCH_ROWS,
    )
    await consumer.start()
    rows: list[tuple] = []
    try:
        while True:
            batches = await consumer.getmany(timeout_ms=100, max_records=BATCH_ROWS - len(rows))
            for messages in batches.values():
                table.began()
                rows += [row_of(m.value, m.partition, m.offset, m.timestamp) for m in messages]
            if len(rows) >= BATCH_ROWS or (rows and not batches):
                is_last = await asyncio.to_thread(table.insert, rows)
                await consumer.commit()
                rows = []
                if is_last:
                    return
    finally:
        await consumer.stop()


asyncio.run(main())
