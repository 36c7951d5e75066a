"""Where records come from: the columns that every table of the worker's has in common. Pure."""

from typing import NamedTuple

ORIGIN_COLUMNS = ("kafka_cluster", "kafka_topic", "kafka_topic_id")


class Origin(NamedTuple):
    """Where a batch's records come from, in the order of ORIGIN_COLUMNS."""

    cluster: str
    topic: str
    topic_id: str
