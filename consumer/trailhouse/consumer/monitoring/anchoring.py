"""Anchors at an interval, beside the worker's work: what fails is told, and tried again with the next anchor.

One worker of the group anchors, that of partition 0: it reads ClickHouse, and so anchors the logs of all.
"""

from collections.abc import Callable, Mapping, Sequence

import structlog

from trailhouse.anchoring.anchorer import Anchorer, AnchorRun
from trailhouse.anchoring.configured import configured_anchorer
from trailhouse.anchoring.log_growth import Contradiction
from trailhouse.anchoring.log_signer import has_log_key
from trailhouse.consumer.monitoring.background_query import BackgroundQuery
from trailhouse.consumer.monitoring.health import Health
from trailhouse.consumer.monitoring.metrics import WorkerMetrics
from trailhouse.proof.config import ProofConfig
from trailhouse.schemas.errors import TrailhouseError
from trailhouse.store.clickhouse import ClickHouse

FIRST_AFTER_SECONDS = 5.0
TOLD_CONTRADICTIONS = 10


class Anchoring:
    """Anchors while it is ours to, and tells what came of it; for one thread at a time."""

    def __init__(
        self,
        make: Callable[[], Anchorer] | None,
        every_seconds: float,
        health: Health,
        metrics: WorkerMetrics,
        *,
        note_contradictions: Callable[[Sequence[Contradiction]], None] = lambda _: None,
    ) -> None:
        """Prepare it; *make* returns what anchors, None where the log has no key."""
        self._make = make
        self._every_seconds = every_seconds
        self._health = health
        self._metrics = metrics
        self._note_contradictions = note_contradictions
        self._anchorer: Anchorer | None = None
        self._log = structlog.get_logger("trailhouse.worker")
        self._said: Mapping[tuple[str, str], str] = {}
        self._said_contradictions: set[Contradiction] = set()

    @classmethod
    def configured(
        cls,
        storage: ClickHouse,
        config: ProofConfig,
        health: Health,
        metrics: WorkerMetrics,
        note_contradictions: Callable[[Sequence[Contradiction]], None],
    ) -> "Anchoring":
        """Return what anchors as *config* says."""
        make = (lambda: configured_anchorer(storage, config)) if has_log_key(config) else None
        return cls(
            make, config.anchor_seconds, health, metrics, note_contradictions=note_contradictions
        )

    def in_background(self, is_ours: Callable[[], bool]) -> BackgroundQuery[AnchorRun | None]:
        """Return what is to be started: it anchors whenever *is_ours* says so."""
        return BackgroundQuery(
            lambda: self.anchor(is_ours=is_ours()),
            name="anchoring",
            every_seconds=self._every_seconds if self._make is not None else None,
            first_after_seconds=min(FIRST_AFTER_SECONDS, self._every_seconds),
            on_answer=self.tell,
            on_failure=self.tell_failure,
        )

    def anchor(self, *, is_ours: bool) -> AnchorRun | None:
        """Anchor once; None where another worker does, the log has no key, or it failed, which is told.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent). Ask again.
        """
        if self._make is None or not is_ours:
            # Another worker anchors: what this one knew of it is not true any more.
            self._anchorer = None
            self._metrics.anchored(None)
            return None
        try:
            self._anchorer = self._anchorer or self._make()
            return self._anchorer.run()
        except TrailhouseError as error:
            self._anchorer = None
            self.tell_failure(error)
            return None

    def tell(self, run: AnchorRun | None) -> None:
        """Show what came of it, and say in the log what has changed."""
        if run is None:
            return
        self._metrics.anchored(run.anchor.anchor.at_ms / 1_000)
        self._metrics.unanchored(
            logs=len({each.log for each in run.contradictions}),
            missing_cosignatures=run.missing_cosignatures,
        )
        self._tell_failures(run)
        self._tell_contradictions(run.contradictions)
        self._health.warn("anchoring", self._warning(run))

    def tell_failure(self, error: Exception) -> None:
        """Say that nothing was anchored."""
        self._metrics.anchor_failed("anchor")
        self._health.warn("anchoring", f"nothing is anchored: {error}")
        self._log.error("cannot anchor", reason=str(error))

    def _tell_failures(self, run: AnchorRun) -> None:
        for (kind, name), reason in run.failures.items():
            self._metrics.anchor_failed(kind)
            # Once for each: one that stays away would fill the log.
            if (kind, name) not in self._said:
                self._log.error("an anchor was not taken", kind=kind, place=name, reason=reason)
        for kind, name in self._said.keys() - run.failures.keys():
            self._log.info("anchors are taken again", kind=kind, place=name)
        self._said = run.failures

    def _tell_contradictions(self, contradictions: Sequence[Contradiction]) -> None:
        new = [each for each in contradictions if each not in self._said_contradictions]
        for each in new[:TOLD_CONTRADICTIONS]:
            self._log.error(
                "a log is anchored no further",
                contradiction=str(each),
                way="run `trailhouse verify`",
            )
        if new:
            self._note_contradictions(new)
        self._said_contradictions = set(contradictions)

    def _warning(self, run: AnchorRun) -> str | None:
        if run.contradictions:
            return f"a log is anchored no further: {run.contradictions[0]}; run `trailhouse verify`"
        if run.failures:
            return f"an anchor was not taken: {next(iter(run.failures.values()))}"
        return None
