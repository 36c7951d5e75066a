"""What the sender does besides sending: forces the spool to the disk, renews it, adopts others', has seals made."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from trailhouse.producer.spool.orphans import SWEEP_AGE_SECONDS
from trailhouse.producer.spool.writer import sync
from trailhouse.schemas.errors import DeliveryError

if TYPE_CHECKING:
    from trailhouse.producer.config import ProducerConfig
    from trailhouse.producer.delivery.send_queue import SendQueue

log = logging.getLogger(__name__)

SWEEP_SECONDS = 30.0


class SpoolCare:
    """Does each duty when it is due: with a turn of the sender where one comes in time, else by itself.

    What would become due within *slack_seconds*, before the next turn, is done in this one.
    """

    def __init__(self, config: ProducerConfig, queue: SendQueue, slack_seconds: float) -> None:
        self._queue = queue
        self._clock = queue.clock
        self._interval_seconds = config.fsync_interval_seconds
        self._slack_seconds = min(slack_seconds, self._interval_seconds / 2)
        self._sync_due_at_seconds = 0.0
        self._sweep_due_at_seconds = self._clock.monotonic_seconds() + SWEEP_SECONDS

    def due_in_seconds(self, now_seconds: float, *, is_told: bool) -> float:
        """Return how long nothing is due; *is_told*: what is logged meanwhile ends the wait, so it may be long."""
        due_at_seconds = self._sweep_due_at_seconds
        if self._queue.has_unsynced():
            due_at_seconds = min(due_at_seconds, self._sync_due_at_seconds)
        elif not is_told:
            due_at_seconds = min(due_at_seconds, now_seconds + self._interval_seconds)
        if (sealer := self._queue.sealer) is not None:
            due_at_seconds = min(due_at_seconds, sealer.due_at_seconds())
        return max(0.0, due_at_seconds - now_seconds)

    def adopt(self, min_age_seconds: float) -> None:
        """Take over the spools of loggers that are gone."""
        try:
            self._queue.adopt(min_age_seconds=min_age_seconds)
        except (DeliveryError, OSError) as error:
            log.warning("%s", error)

    def look_after(self) -> None:
        """Do what is due."""
        now = self._clock.monotonic_seconds()
        if (sealer := self._queue.sealer) is not None:
            sealer.look_after(self._queue, now)
        if now + self._slack_seconds >= self._sync_due_at_seconds:
            self._sync_due_at_seconds = now + self._interval_seconds
            try:
                self._queue.renew_spool()
                sync(self._queue.take_unsynced())
            except OSError as error:
                log.error("the spool cannot be forced to the disk (%s)", error.strerror)
            except DeliveryError as error:
                log.error("%s", error)
        if now >= self._sweep_due_at_seconds:
            self._sweep_due_at_seconds = now + SWEEP_SECONDS
            self.adopt(SWEEP_AGE_SECONDS)
