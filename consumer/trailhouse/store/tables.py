"""The tables that the worker writes: their columns and the type of each, as the migrations make them.

A `Block` for one of them holds a Python sequence a column, or a column encoded already, as
`trailhouse.store.native_format` says; the columns that ClickHouse works out by itself (``ver``,
``occurred_at``) are not written and not here.
"""

from types import MappingProxyType

from trailhouse.schemas.ddl import table_definitions
from trailhouse.store.block import Table

LATEST_MS = 10_413_791_999_999
"""The end of the year 2299, where ClickHouse's DateTime64 ends: the `appended_at` of a record that carries
its sender's time and not the broker's, so that of two copies the one with the broker's time wins."""


def _table(name: str) -> Table:
    return Table(name, MappingProxyType(table_definitions()[name].written))


EVENT_LOG = _table("event_log")
"""One row an event: `record` is the truth, everything else a projection of it or where it stood."""

EVENT_QUARANTINE = _table("event_quarantine")
"""One row a record that is not an event, or a range of records that nobody can read."""

BATCH_LEDGER = _table("batch_ledger")
"""One row a batch and partition, written after its rows and before its commit."""

EVENT_INCIDENTS = _table("event_incidents")
"""One row a range of offsets that the worker found gone, or read again."""

LOG_LEAVES = _table("log_leaves")
"""One row a record: what its leaf in the partition's tree is made of."""

LOG_NODES = _table("log_nodes")
"""One row a perfect subtree of every 8th level."""

LOG_CHECKPOINTS = _table("log_checkpoints")
"""One row a checkpoint, signed where there is a key."""

PARTITION_ENDS = _table("partition_ends")
"""One row for each time a partition was seen to be stored up to its end; the newest counts."""

LOG_POLICIES = _table("log_policies")
"""One row a policy that was put into force."""

LOG_ERASURES = _table("log_erasures")
"""One row an order of an operator: records to be erased, legal holds."""

LOG_ANCHOR_OFFERS = _table("log_anchor_offers")
"""One row for each that was offered as the anchor of a number: the first one counts."""

LOG_ANCHORS = _table("log_anchors")
"""One row an anchor."""

LOG_ANCHOR_RECEIPTS = _table("log_anchor_receipts")
"""One row for each that keeps an anchor, or has signed it."""

SESSION_MANIFESTS = _table("session_manifests")
"""One row a finished day of a log."""

SESSION_MANIFEST_ENTRIES = _table("session_manifest_entries")
"""One row a session of such a day."""

POLICY_SERVICES = _table("policy_services")
"""One row a key of the newest policy, and one that says for whom none is needed."""

SEAL_CHECKS = _table("seal_checks")
"""One row a seal that came, and what was found of it."""

EVENT_STANDINGS = _table("event_standings")
"""One row an event that a seal names."""

WRITTEN_TABLES = (
    EVENT_LOG,
    EVENT_QUARANTINE,
    BATCH_LEDGER,
    EVENT_INCIDENTS,
    LOG_LEAVES,
    LOG_NODES,
    LOG_CHECKPOINTS,
)
