"""aiokafka and clickhouse-connect by hand, for a topic that is seldom full: `getmany`, insert, then commit.

Follows "Manual vs automatic committing" of aiokafka's documentation (aiokafka.readthedocs.io, "Consumer
client"): what one `getmany` returns is processed and committed. With an age, that of several is.
"""

# mypy: ignore-errors
# pyright: basic

import asyncio
import time

from aiokafka import AIOKafkaConsumer
from store import BATCH_ROWS, Table, arguments, row_of

LONGEST_WAIT_MS = 10_000


async def main() -> None:
    """Drain the topic until killed."""
    given = arguments()
    table = Table(given)
    consumer = AIOKafkaConsumer(
        given.topic,
        bootstrap_servers=given.bootstrap,
        group_id=given.group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    rows: list[tuple] = []
    due = 0.0
    while True:
        wait_ms = max(0, int((due - time.monotonic()) * 1e3)) if rows else LONGEST_WAIT_MS
        batches = await consumer.getmany(timeout_ms=wait_ms, max_records=BATCH_ROWS - len(rows))
        if batches and not rows:
            table.began()
            due = time.monotonic() + given.seconds
        for messages in batches.values():
            rows += [row_of(m.value, m.partition, m.offset, m.timestamp) for m in messages]
        if rows and (time.monotonic() >= due or len(rows) >= BATCH_ROWS):
            await asyncio.to_thread(table.insert, rows)
            await consumer.commit()
            rows = []


asyncio.run(main())
