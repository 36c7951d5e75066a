"""Judges the seals that come, beside the worker's work: by this readers see who stands behind an event.

One worker of the group does it, that of partition 0, and only where an owner's key is pinned.
"""

from collections.abc import Callable

import structlog

from trailhouse.consumer.monitoring.background_query import BackgroundQuery
from trailhouse.proof.config import ProofConfig
from trailhouse.schemas.errors import ConfigError, ProofError
from trailhouse.store.clickhouse import ClickHouse

EVERY_SECONDS = 15.0
FIRST_AFTER_SECONDS = 2.0


class SealJudging:
    """Judges what is due while it is ours to do, by the newest policy; for one thread at a time."""

    def __init__(self, storage: ClickHouse, proof: ProofConfig) -> None:
        self._storage, self._proof = storage, proof
        self._log = structlog.get_logger("trailhouse.worker")
        self._known_version = 0
        self._said = ""

    def in_background(
        self, is_ours: Callable[[], bool], every_seconds: float = EVERY_SECONDS
    ) -> BackgroundQuery[int]:
        """Return the question, to be started: how many seals were judged; asked whenever *is_ours* says so."""
        return BackgroundQuery(
            lambda: self.judge() if is_ours() else 0,
            name="seals",
            every_seconds=every_seconds,
            first_after_seconds=min(FIRST_AFTER_SECONDS, every_seconds),
            on_failure=lambda error: self._tell(str(error)),
        )

    def judge(self) -> int:
        """Judge the seals that are due, and return how many; 0 where there is no policy, or it cannot be used.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent). Ask again.
        """
        if not self._proof.owner_key:
            return 0
        try:
            # Here, since signatures need a package that comes with an extra.
            from trailhouse.attesting.seal_rounds import judge_seals
            from trailhouse.proof.keys import is_signed_by
            from trailhouse.store.policies import current_policy

            policy = current_policy(self._storage, self._proof, known_version=self._known_version)
        except ImportError:
            self._tell("the package cryptography is missing: pip install 'trailhouse[proof]'")
            return 0
        except (ConfigError, ProofError) as error:
            self._tell(str(error))
            return 0
        if policy is None:
            return 0
        self._known_version = policy.version
        judged = judge_seals(self._storage, policy, is_signed_by)
        self._said = ""
        if judged.refused:
            self._log.warning(
                "seals do not count",
                seals=judged.refused,
                way="`trailhouse account` names whose events nobody attests",
            )
        return judged.seals

    def _tell(self, reason: str) -> None:
        # Once for each reason: it may last.
        if reason != self._said:
            self._log.warning("cannot judge seals", reason=reason)
        self._said = reason
