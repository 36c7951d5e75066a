"""A commit, and what /health says while it does not come back."""

from collections.abc import Callable, Mapping
from typing import cast

import pytest

from trailhouse.consumer.membership import commit_monitor
from trailhouse.consumer.membership.committer import Committer
from trailhouse.consumer.membership.source import KafkaSource
from trailhouse.consumer.monitoring.health import Health
from trailhouse.consumer.monitoring.heartbeat import Heartbeat
from trailhouse.schemas.errors import BrokerUnavailableError
from waiting import eventually


class Source:
    """Commits once *meanwhile* is over."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        self._meanwhile = meanwhile
        self.commits: list[Mapping[int, int]] = []

    def commit(self, offsets: Mapping[int, int]) -> str:
        self._meanwhile()
        self.commits.append(offsets)
        return "done"


def test_a_commit_that_takes_long_is_said_until_it_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kafka is away meanwhile, and ready again with the commit."""
    monkeypatch.setattr(commit_monitor, "CHECK_SECONDS", 0.001)
    health = Health()

    def is_away() -> bool:
        return health.report()["kafka"] == {"state": "away", "reason": "no broker answers"}

    def ask_kafka() -> None:
        raise BrokerUnavailableError("no broker answers")

    source = Source(lambda: eventually(is_away, "the commit to be said to be overdue"))
    committer = Committer(cast("KafkaSource", source), ask_kafka, health, Heartbeat())
    assert committer.commit({0: 7}) == "done"
    assert source.commits == [{0: 7}]
    assert health.report()["kafka"] == {"state": "ready"}
