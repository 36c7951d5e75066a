"""A Faust agent that takes events in batches and stores them by clickhouse-connect.

Follows "Agents: The Basics", `take_events`, of faust-streaming's documentation
(faust-streaming.github.io/faust, "Agents").
"""

# mypy: ignore-errors
# pyright: basic

import asyncio
import os
import sys
import tempfile

import faust
from store import BATCH_ROWS, Table, arguments, row_of

given = arguments()
table = Table(given)
app = faust.App(
    given.group,
    broker=f"kafka://{given.bootstrap}",
    datadir=tempfile.mkdtemp(),
    web_enabled=False,
    worker_redirect_stdouts=False,
    value_serializer="raw",
    key_serializer="raw",
    consumer_auto_offset_reset="earliest",
    stream_buffer_maxsize=BATCH_ROWS,
    broker_max_poll_records=BATCH_ROWS,
    topic_disable_leader=True,
)
topic = app.topic(given.topic, value_type=bytes)


@app.agent(topic)
async def store(stream: faust.Stream) -> None:
    """Insert what came within the batch's limits; Faust commits what the agent has gone past."""
    async for events in stream.take_events(BATCH_ROWS, within=given.seconds):
        table.began()
        rows = [
            row_of(
                event.value,
                event.message.partition,
                event.message.offset,
                int(event.message.timestamp * 1_000),
            )
            for event in events
        ]
        if await asyncio.to_thread(table.insert, rows):
            sys.stdout.flush()
            os._exit(0)


sys.argv[1:] = ["worker", "--loglevel", "error", "--without-web"]
app.main()
