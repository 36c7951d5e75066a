"""sentry-arroyo: a batching step, an insert in a thread, and a commit behind it.

Follows "Processing Strategies" (`BatchStep`, `RunTaskInThreads`, `CommitOffsets`) and "Getting started" of
arroyo's documentation (getsentry.github.io/arroyo).
"""

# mypy: ignore-errors
# pyright: basic

import os
import sys

from arroyo import Topic
from arroyo.backends.kafka import KafkaConsumer
from arroyo.backends.kafka.configuration import build_kafka_consumer_configuration
from arroyo.commit import ONCE_PER_SECOND
from arroyo.processing import StreamProcessor
from arroyo.processing.strategies import CommitOffsets, ProcessingStrategyFactory, RunTaskInThreads
from arroyo.processing.strategies.batching import BatchStep
from store import BATCH_ROWS, Table, arguments, row_of

given = arguments()
table = Table(given)


def store(message: object) -> None:
    """Insert one batch."""
    table.began()
    rows = [
        row_of(
            value.payload.value,
            value.partition.index,
            value.offset,
            int(value.timestamp.timestamp() * 1_000),
        )
        for value in message.payload
    ]
    if table.insert(rows):
        sys.stdout.flush()
        os._exit(0)


class Factory(ProcessingStrategyFactory):
    """Puts the steps behind each other."""

    def create_with_partitions(self, commit: object, partitions: object) -> object:
        """Return the first step."""
        inserts = RunTaskInThreads(
            store, concurrency=1, max_pending_futures=2, next_step=CommitOffsets(commit)
        )
        return Timed(BATCH_ROWS, given.seconds, inserts)


class Timed(BatchStep):
    """Notes the first record."""

    def submit(self, message: object) -> None:
        """Take one record in."""
        table.began()
        super().submit(message)


configuration = build_kafka_consumer_configuration(
    {},
    group_id=given.group,
    auto_offset_reset="earliest",
    queued_max_messages_kbytes=65_536,
    queued_min_messages=20_000,
    bootstrap_servers=[given.bootstrap],
    override_params={"fetch.max.bytes": 4_194_304, "fetch.wait.max.ms": 100},
    enable_auto_commit=False,
)
StreamProcessor(KafkaConsumer(configuration), Topic(given.topic), Factory(), ONCE_PER_SECOND).run()
