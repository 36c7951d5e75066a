"""Writes down what went wrong for good, each range once, however often it is noticed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import structlog

from trailhouse.broker.origin import Origin
from trailhouse.consumer.batch.blocks import incident_block
from trailhouse.consumer.batch.ledger import Ledger
from trailhouse.consumer.monitoring.incident import Incident
from trailhouse.schemas.ranges import Ranges
from trailhouse.store.clickhouse import ClickHouse

if TYPE_CHECKING:  # `trailhouse status` counts incidents where no worker is installed
    from trailhouse.consumer.monitoring.metrics import WorkerMetrics


class Incidents:
    """The incidents of one topic; safe from any thread."""

    def __init__(
        self,
        ledger: Ledger,
        origin: Origin,
        metrics: WorkerMetrics,
        now: Callable[[], dt.datetime],
    ) -> None:
        self._ledger = ledger
        self._origin = origin
        self._metrics = metrics
        self._now = now
        self._log = structlog.get_logger("trailhouse.worker")

    def note(
        self, findings: Sequence[Incident], detail: Callable[[Incident], str]
    ) -> list[Incident]:
        """Write down what of *findings* is not yet, and return it; acknowledged on return.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent); note it again.
        """
        new = [
            Incident(found.kind, found.partition, *part)
            for found in findings
            # A range that has grown since is noted for what is new in it alone.
            for part in Ranges([found[2:]]) - self._ledger.noted(found)
        ]
        if new:
            details = [detail(found) for found in new]
            self._ledger.note(incident_block(self._origin, new, details, self._now()))
        # Not before it is acknowledged: what could not be noted is noted, and counted, the next time.
        for found in new:
            self._metrics.incident(found.kind)
        return new

    def put(self, findings: Sequence[Incident], detail: Callable[[Incident], str]) -> None:
        """Write *findings* down, at least one, without asking what is; acknowledged on return.

        For what belongs to no trouble, and is found of every offset once: it is counted nowhere.

        Raises:
            StorageError: As `note`.
        """
        details = [detail(found) for found in findings]
        self._ledger.note(incident_block(self._origin, findings, details, self._now()))

    def tell(self, findings: Sequence[Incident], detail: Callable[[Incident], str]) -> None:
        """Put *findings* into the log, as errors."""
        for found in findings:
            self._log.error(
                "incident",
                kind=found.kind,
                partition=found.partition,
                first_offset=found.first_offset,
                last_offset=found.last_offset,
                reason=detail(found),
            )


def incident_counts(storage: ClickHouse) -> dict[str, int]:
    """Return how many incidents of each kind are on record, of every topic.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    return dict(
        storage.query("SELECT kind, count() FROM incidents GROUP BY kind ORDER BY kind").rows
    )
