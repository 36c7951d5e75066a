"""The ingest loop: it reaches both parts, says of each what is wrong, and joins again after every trouble."""

import threading
from collections.abc import Callable, Iterator

import pytest

from fake_kafka import FakeIdentity
from trailhouse.consumer.config import WorkerConfig
from trailhouse.consumer.membership import ingest as module
from trailhouse.consumer.membership.ingest import Ingest
from trailhouse.consumer.monitoring.health import Health
from trailhouse.consumer.monitoring.metrics import WorkerMetrics
from trailhouse.proof.config import ProofConfig
from trailhouse.schemas.errors import (
    BrokerUnavailableError,
    OffsetGapError,
    SchemaMismatchError,
    StorageUnavailableError,
)
from trailhouse.schemas.kafka_config import KafkaConfig
from trailhouse.store.config import ClickHouseConfig
from waiting import DEADLINE_SECONDS, eventually


class Scene:
    """An ingest loop whose two parts answer as they are told, and whose sessions do as well."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.identity = FakeIdentity()
        self.storage_error: Exception | None = None
        self.storage_checks = 0
        self.sessions = 0
        self.in_session: Callable[[threading.Event], None] = lambda stop: None
        self.health = Health()
        self.error: BaseException | None = None
        monkeypatch.setattr(module, "TopicIdentity", lambda *_, **__: self.identity.ask())
        monkeypatch.setattr(module, "check_with", self._check)
        monkeypatch.setattr(module, "GroupSession", self._session)
        monkeypatch.setattr(module, "TURN_SECONDS", 0.001)
        # Nobody listens there: what is not asked through `check_with` fails at once.
        clickhouse = ClickHouseConfig(url="http://127.0.0.1:1", timeout_seconds=1.0)
        self.ingest = Ingest(
            kafka=KafkaConfig(),
            clickhouse=clickhouse,
            worker=WorkerConfig(watchdog_seconds=0),
            proof=ProofConfig(),
            health=self.health,
            metrics=WorkerMetrics(),
        )
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _check(self, _: object) -> None:
        self.storage_checks += 1
        if self.storage_error is not None:
            raise self.storage_error

    def _session(self, **_: object) -> "Scene":
        return self

    def run(self, stop: threading.Event) -> None:
        """Be a session."""
        self.sessions += 1
        self.in_session(stop)

    def _run(self) -> None:
        try:
            self.ingest.run()
        except BaseException as error:  # noqa: BLE001 - looked at by the test
            self.error = error

    def part(self, name: str) -> object:
        """Return what /health says of a part."""
        return self.health.report()[name]

    def end(self) -> None:
        """Stop the loop, and wait for its end."""
        self.ingest.stop()
        self.thread.join(DEADLINE_SECONDS)
        assert not self.thread.is_alive()


def wait(stop: threading.Event) -> None:
    """Be a session that works until it is stopped."""
    stop.wait(DEADLINE_SECONDS)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """Return a loop that has not begun."""
    made = Scene(monkeypatch)
    yield made
    made.ingest.stop()
    if made.thread.ident is not None:
        made.thread.join(DEADLINE_SECONDS)


def test_both_parts_are_asked_and_named(scene: Scene) -> None:
    """Though the first is away already: an operator sees the whole of what is wrong."""
    scene.identity.raising = BrokerUnavailableError("no kafka")
    scene.storage_error = StorageUnavailableError("no clickhouse")
    scene.thread.start()
    eventually(lambda: scene.storage_checks > 1, "another attempt")
    assert scene.part("kafka") == {"state": "away", "reason": "no kafka"}
    assert scene.part("clickhouse") == {"state": "away", "reason": "no clickhouse"}
    assert scene.sessions == 0
    scene.end()
    assert scene.error is None


def test_the_group_is_joined_when_both_answer(scene: Scene) -> None:
    """Not before, or partitions would be held that nobody stores; until then Kafka is said to wait."""
    scene.storage_error = StorageUnavailableError("no clickhouse")
    scene.in_session = wait
    scene.thread.start()
    eventually(lambda: scene.storage_checks > 0, "an attempt")
    eventually(lambda: "ClickHouse comes first" in str(scene.part("kafka")), "that Kafka waits")
    assert scene.sessions == 0
    scene.storage_error = None
    eventually(lambda: scene.sessions == 1, "a session")
    assert scene.part("clickhouse") == {"state": "ready"}
    scene.end()
    assert scene.error is None


def test_after_a_trouble_of_kafka_the_group_is_joined_again(scene: Scene) -> None:
    """With new questions to both; /health names it meanwhile."""

    def fail(stop: threading.Event) -> None:
        if scene.sessions < 3:
            raise BrokerUnavailableError("gone")
        assert scene.part("kafka") != {"state": "ready"}
        stop.wait(DEADLINE_SECONDS)

    scene.in_session = fail
    scene.thread.start()
    eventually(lambda: scene.sessions == 3, "the third session")
    assert scene.storage_checks == 3
    scene.end()
    assert scene.error is None


@pytest.mark.parametrize("error", [SchemaMismatchError("too new"), OffsetGapError("gone")])
def test_what_is_permanent_ends_the_worker(scene: Scene, error: Exception) -> None:
    """It is raised to whoever runs it, whether a question met it or a session."""

    def fail(_: threading.Event) -> None:
        raise error

    if isinstance(error, SchemaMismatchError):
        scene.storage_error = error
    scene.in_session = fail
    scene.thread.start()
    scene.thread.join(DEADLINE_SECONDS)
    assert scene.error is error


def test_a_stop_ends_a_pause(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it would be."""
    monkeypatch.setattr(module, "TURN_SECONDS", DEADLINE_SECONDS)
    scene.identity.raising = BrokerUnavailableError("no kafka")
    scene.thread.start()
    eventually(lambda: scene.storage_checks == 1, "an attempt")
    scene.end()
    assert scene.error is None
