"""Fixtures of the whole suite: a real Kafka, the real ClickHouse engine, and a fresh corner of each."""

import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from hypothesis import HealthCheck, settings

from cluster import Cluster, start_cluster
from databases import Databases
from handshake import remembered_handshake
from trailhouse.schemas import KafkaConfig
from trailhouse.schemas.topic import topic_options
from trailhouse.store import ClickHouseConfig

DEADLINE_SECONDS = 120.0
DATABASES = pytest.StashKey[Databases]()

# A shell's job in the background ignores Ctrl-C, one under nohup a hangup, and so would every process that it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Tests start a thousand processes: what one has compiled, the next must find, or each start takes half as long again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# How long an example takes says how busy the machine is, and nothing of what is tested.
settings.register_profile("trailhouse", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("trailhouse")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that have long tests: one that begins last would keep one core busy, and the others idle."""
    slow = {item.path for item in items if item.get_closest_marker("long")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the developer's own settings, and his spools, from every test."""
    for name in [name for name in os.environ if name.startswith("TRAILHOUSE_")]:
        monkeypatch.delenv(name)
    # By the variable that a process's own environment lacks nowhere, and not by a setting of ours.
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture(scope="session")
def cluster(pytestconfig: pytest.Config) -> Iterator[Cluster]:
    """Start Kafka and ClickHouse once: in Docker where an engine answers, else from packages."""
    with (
        start_cluster() as started,
        remembered_handshake(started.clickhouse_url),
        Databases(started) as databases,
    ):
        pytestconfig.stash[DATABASES] = databases
        yield started
        del pytestconfig.stash[DATABASES]


@pytest.fixture
def partitions() -> int:
    """Return how many partitions the topic of `kafka` has; a module whose group is wide has a fixture of its own."""
    return 4


@pytest.fixture
def kafka(cluster: Cluster, partitions: int) -> KafkaConfig:
    """Return the cluster's Kafka with a fresh topic, made as `trailhouse init` makes it."""
    config = KafkaConfig(
        bootstrap_servers=cluster.bootstrap_servers,
        topic=f"events-{uuid.uuid4().hex[:12]}",
        partitions=partitions,
    )
    admin = AdminClient(config.client_options())
    topic = NewTopic(
        config.topic, config.partitions, config.replication, config=topic_options(config)
    )
    admin.create_topics([topic])[config.topic].result(DEADLINE_SECONDS)
    return config


@pytest.fixture
def clickhouse(request: pytest.FixtureRequest, cluster: Cluster) -> ClickHouseConfig:
    """Return the cluster's ClickHouse with the name of a database: of `database`, else of one that does not exist."""
    if "database" in request.fixturenames:
        config: ClickHouseConfig = request.getfixturevalue("database")
        return config
    return cluster.clickhouse_config(f"trailhouse_{uuid.uuid4().hex[:12]}")


@pytest.fixture
def database(cluster: Cluster, pytestconfig: pytest.Config) -> Iterator[ClickHouseConfig]:
    """Return the cluster's ClickHouse with a database that has every table and no row."""
    databases = pytestconfig.stash[DATABASES]
    borrowed = databases.borrow()
    yield borrowed
    databases.give_back(borrowed)


@pytest.fixture(autouse=True, scope="module")
def dropped(pytestconfig: pytest.Config) -> Iterator[None]:
    """Drop the databases that a module made, so that they cost the engine no work any more."""
    yield
    if DATABASES in pytestconfig.stash:
        pytestconfig.stash[DATABASES].drop_others()


@pytest.fixture(scope="module")
def database_of_module(cluster: Cluster, pytestconfig: pytest.Config) -> Iterator[ClickHouseConfig]:
    """Return the cluster's ClickHouse with a database that has every table, for all tests of a module."""
    databases = pytestconfig.stash[DATABASES]
    borrowed = databases.borrow()
    yield borrowed
    databases.give_back(borrowed)
