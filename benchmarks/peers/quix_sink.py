"""Quix Streams with a batching sink of its own kind.

Follows "Creating a Custom Sink", `BatchingSink`, of Quix Streams' documentation
(quix.io/docs, "Sinks", "Custom Sinks").
"""

# mypy: ignore-errors
# pyright: basic

import os
import sys

from quixstreams import Application
from quixstreams.sinks import BatchingSink, SinkBatch
from store import BATCH_ROWS, Table, arguments, row_of

given = arguments()
table = Table(given)


class ClickHouseSink(BatchingSink):
    """Writes the batches of a checkpoint."""

    def add(self, *args: object, **kwargs: object) -> None:
        """Take one record in."""
        table.began()
        super().add(*args, **kwargs)

    def write(self, batch: SinkBatch) -> None:
        """Store one partition's part of a checkpoint."""
        rows = [row_of(item.value, batch.partition, item.offset, item.timestamp) for item in batch]
        if table.insert(rows):
            sys.stdout.flush()
            os._exit(0)


app = Application(
    broker_address=given.bootstrap,
    consumer_group=given.group,
    auto_offset_reset="earliest",
    commit_every=BATCH_ROWS,
    commit_interval=given.seconds,
    loglevel="ERROR",
    consumer_extra_config={"fetch.max.bytes": 4_194_304, "fetch.wait.max.ms": 100},
)
topic = app.topic(given.topic, value_deserializer="bytes", key_deserializer="bytes")
app.dataframe(topic).sink(ClickHouseSink())
app.run()
