"""A standing order: what an operator has ordered to be erased is blank when it comes again, from wherever."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from trailhouse.broker.placeholder import Placeholder, Received, whole
from trailhouse.consumer.batch.batch import BadRecord, columns_of
from trailhouse.consumer.batch.blank_rows import blanked_columns
from trailhouse.consumer.batch.rows import EventRows
from trailhouse.consumer.batch.span import Span, coordinates_of
from trailhouse.proof.config import ProofConfig
from trailhouse.schemas.errors import ConfigError, ProofError
from trailhouse.schemas.record_hash import record_hashes
from trailhouse.store.clickhouse import ClickHouse
from trailhouse.store.erasures import ordered_erasures, orders_mark

RELOAD_SECONDS = 30.0
"""How long after an order a copy may still be stored as it came; `trailhouse erase --reapply` looks for those."""
READ_AGAIN_SECONDS = 120.0
"""So long after partitions were assigned a worker may read again what another has stored: it asks at each batch."""
_log = logging.getLogger("trailhouse.erasure")


class ErasureOrders:
    """The records that are ordered to be erased, as ClickHouse has the orders; used by the thread that stores.

    Args:
        storage: Where the orders are.
        config: The settings, by whose owner's key it is known who may order.
        reload_seconds: How long what was asked counts.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        storage: ClickHouse,
        config: ProofConfig,
        *,
        reload_seconds: float = RELOAD_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._storage = storage
        self._config = config
        self._reload_seconds = reload_seconds
        self._clock = clock
        self._asked_until_seconds = float("-inf")
        self._mark: object = None
        self._loaded_at_seconds: float | None = None
        self._ordered: Mapping[bytes, int] = {}

    def among(self, spans: Iterable[Span]) -> frozenset[bytes]:
        """Return which of the records of *spans*, by their SHA-256, are to be erased.

        Raises:
            StorageError: ClickHouse does not answer (retriable) or refuses (permanent).
        """
        self._reload()
        if not self._ordered:
            return frozenset()
        return frozenset(
            digest for span in spans for digest in span.hashes if digest in self._ordered
        )

    def note_assigned(self) -> None:
        """Take in that partitions were assigned: what another worker has stored of them may be read again."""
        self._asked_until_seconds = self._clock() + READ_AGAIN_SECONDS

    def _reload(self) -> None:
        now = self._clock()
        counts_seconds = 0.0 if now < self._asked_until_seconds else self._reload_seconds
        if self._loaded_at_seconds is not None and now < self._loaded_at_seconds + counts_seconds:
            return
        # Without a pinned owner nobody may order.
        mark = orders_mark(self._storage) if self._config.owner_key else None
        if mark != self._mark:
            try:
                self._ordered = ordered_erasures(self._storage, self._config)
            except (ProofError, ConfigError) as error:
                # What was known before still counts: an order stands.
                _log.warning("orders of erasure cannot be read again: %s", error)
            self._mark = mark
        self._loaded_at_seconds = now


def rows_without(events: Sequence[Received], erased: frozenset[bytes]) -> EventRows:
    """Return the rows of *events*, decoded anew; of those in *erased*, by their SHA-256, what is left of them.

    Raises:
        TypeError, ValueError, ArithmeticError: A value does not fit its column.
    """
    digests = record_hashes([event.value() or b"" for event in events])
    rows = EventRows()
    for is_erased in (False, True):
        some = [
            event
            for event, digest in zip(events, digests, strict=True)
            if (digest in erased) is is_erased
        ]
        for columns in columns_of(some):
            rows.extend(blanked_columns(columns) if is_erased else columns)
    return rows


def bad_without(bad: Sequence[BadRecord], erased: frozenset[bytes]) -> list[BadRecord]:
    """Return *bad*, without what those in *erased* held: where they stood, their size and hash are left."""
    return [_left_of(each) if whole(each.received).digest in erased else each for each in bad]


def _left_of(bad: BadRecord) -> BadRecord:
    of = whole(bad.received)
    partition, offset, appended_ms = coordinates_of(bad.received)
    left = Placeholder(
        number=partition,
        first_offset=offset,
        last_offset=of.last_offset,
        records=of.records,
        appended_ms=appended_ms,
        size_bytes=of.size_bytes,
        digest=of.digest,
        kept=b"",
        kept_key=None,
        reason=bad.reason,
    )
    return BadRecord(left, bad.reason, [])
