"""Whether rows above the last leaf of a partition may be what a killed worker has left, or were added. Pure."""

from typing import NamedTuple

from trailhouse.operate.verify.leaves.clock_limits import SKEW_MS

MOVED_ON_MS = 60_000
"""A worker gives a row its leaf within seconds: where others have one that are so much younger, none does."""
AHEAD_MS = 300_000
"""No broker's clock is so far ahead of all that it has given."""
CLOCKS_DIFFER_MS = 900_000
"""Those of honest brokers and workers differ by less."""
UNSERVED_MS = 86_400_000
"""What no worker has come to for so long was added, whoever keeps them away."""
MAX_MARKERS = 8
"""So many offsets between rows that follow each other may hold no record, such as the end of a transaction."""


class RowsAbove(NamedTuple):
    """Rows of one partition above its last leaf; times in Unix milliseconds, 0 for never."""

    first_ms: int
    """The earliest broker time of them."""
    first_offset: int
    empty_offsets: int
    """How many offsets from the last leaf up to the last of them have no row."""


class Signs(NamedTuple):
    """What workers have left that tells what became of a partition; times in Unix milliseconds, 0 for never."""

    last_ms: int
    """The broker time of the partition's last leaf."""
    topic_leaf_ms: int
    """The latest broker time of the leaves of its topic."""
    topic_entered_ms: int
    """When a batch of the topic was last entered."""
    entered_ms: int
    """When a batch of the partition was."""
    now_ms: int


class Noted(NamedTuple):
    """What `partition_ends` says of a partition."""

    is_topic_noted: bool
    """Whether workers note of any partition of the topic when it is stored up to its end."""
    at_ms: int
    """When they did last of this one, by their clock; 0 for never."""
    end_offset: int
    """Where it ended then."""


class Known(NamedTuple):
    """What shows that a partition without a leaf is one of Kafka's, though nothing of it was proven yet."""

    is_partition: bool
    """Whether a worker has noted its end, or a partition of its topic has a higher number: Kafka counts from 0."""
    is_anything: bool
    """Whether the database has a leaf, a checkpoint, a batch or an anchor of any log."""


def quiet_from_ms(rows: RowsAbove, signs: Signs) -> int:
    """Return from when on batches of the topic say that nobody was killed in the partition just now."""
    # One that catches up stores what is old: then it has just entered other rows of this partition.
    return max(signs.entered_ms, rows.first_ms) + MOVED_ON_MS


def may_be_left(rows: RowsAbove, signs: Signs, noted: Noted, came_ms: int) -> bool:
    """Tell whether *rows* follow the last leaf as those of a killed worker do, and nothing says that none has them.

    These are no older than the leaf, but for what brokers' clocks differ, and no worker has entered anything of the
    topic long after them, but for one that came at *came_ms*, which has a minute. Where a partition is not noted as
    stored since, no worker may have it.
    """
    if rows.first_ms + SKEW_MS < signs.last_ms or rows.empty_offsets > MAX_MARKERS:
        return False
    if rows.first_ms - max(signs.now_ms, signs.topic_leaf_ms) > AHEAD_MS:
        return False
    if noted.at_ms - rows.first_ms > CLOCKS_DIFFER_MS and noted.end_offset <= rows.first_offset:
        return False  # long after them Kafka had none there
    has_moved_on = (
        signs.topic_leaf_ms - rows.first_ms > MOVED_ON_MS
        and signs.topic_entered_ms > quiet_from_ms(rows, signs)
        and signs.topic_entered_ms - came_ms > MOVED_ON_MS
    )
    is_served = not noted.is_topic_noted or noted.at_ms - rows.first_ms > MOVED_ON_MS
    return not has_moved_on or not (is_served or signs.now_ms - rows.first_ms > UNSERVED_MS)


def may_be_first(rows: RowsAbove, signs: Signs, noted: Noted, known: Known, came_ms: int) -> bool:
    """Tell whether *rows*, of a partition without a leaf, may be the first that a killed worker has stored of it.

    No batch of it was entered then, and they follow on where it was noted to have ended. Of a partition that nothing
    shows to be one of Kafka's they may not be, but for the very first rows of a database.
    """
    if signs.entered_ms or not (known.is_partition or not known.is_anything):
        return False
    if noted.at_ms and not 0 <= rows.first_offset - noted.end_offset <= MAX_MARKERS:
        return False
    return may_be_left(rows, signs, noted, came_ms)
