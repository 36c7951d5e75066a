"""Kafka and ClickHouse for the tests: containers where a Docker engine answers, else `devstack`.

There is no third way: where neither works, starting the cluster fails, and so do its tests.
"""

import gc
import shutil
import tempfile
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from docker.errors import DockerException  # type: ignore[import-untyped]  # it ships no types
from testcontainers.community.clickhouse import ClickHouseContainer
from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import DockerClient
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from free_ports import free_port, free_ports
from trailhouse.devstack import DevStack
from trailhouse.schemas.kafka_config import KafkaConfig
from trailhouse.store.config import ClickHouseConfig

KAFKA_IMAGE = "apache/kafka:4.3.1"
CLICKHOUSE_IMAGE = "clickhouse/clickhouse-server:26.9"
_START_SECONDS = 120


@dataclass(frozen=True)
class Cluster:
    """Where the tests' Kafka and ClickHouse are.

    Attributes:
        stack: The local stack behind it, to stop and start parts; None with containers.
    """

    bootstrap_servers: str
    clickhouse_url: str
    clickhouse_user: str
    clickhouse_password: str
    stack: DevStack | None = None

    def kafka_config(self, topic: str = "trailhouse.events", partitions: int = 12) -> KafkaConfig:
        """Settings that reach this Kafka."""
        return KafkaConfig(
            bootstrap_servers=self.bootstrap_servers,
            topic=topic,
            partitions=partitions,
            security_protocol="plaintext",
        )

    def clickhouse_config(self, database: str = "trailhouse") -> ClickHouseConfig:
        """Settings that reach this ClickHouse."""
        return ClickHouseConfig(
            url=self.clickhouse_url,
            user=self.clickhouse_user,
            password=self.clickhouse_password,
            database=database,
        )

    def environment(
        self, topic: str = "trailhouse.events", database: str = "trailhouse"
    ) -> dict[str, str]:
        """The variables that make a program use this cluster."""
        return {
            "TRAILHOUSE_KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "TRAILHOUSE_KAFKA_TOPIC": topic,
            "TRAILHOUSE_CLICKHOUSE_URL": self.clickhouse_url,
            "TRAILHOUSE_CLICKHOUSE_USER": self.clickhouse_user,
            "TRAILHOUSE_CLICKHOUSE_PASSWORD": self.clickhouse_password,
            "TRAILHOUSE_CLICKHOUSE_DATABASE": database,
        }


@contextmanager
def start_cluster() -> Generator[Cluster]:
    """Start Kafka and ClickHouse, and end them with the block. Raises when neither way works."""
    with _containers() if docker_answers() else _local() as cluster:
        yield cluster


def docker_answers() -> bool:
    """Whether a Docker engine can be used here."""
    with warnings.catch_warnings():
        # Where no engine answers, Docker's own client leaves its socket to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            client = DockerClient().client
            client.ping()
        except DockerException:
            return False
        finally:
            gc.collect()
    client.close()
    return True


@contextmanager
def _local() -> Generator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="trailhouse-tests-"))
    try:
        with DevStack(folder, ports=free_ports(), parts=("kafka", "clickhouse")) as stack:
            variables = stack.environment()
            yield Cluster(
                bootstrap_servers=variables["TRAILHOUSE_KAFKA_BOOTSTRAP_SERVERS"],
                clickhouse_url=variables["TRAILHOUSE_CLICKHOUSE_URL"],
                clickhouse_user=variables["TRAILHOUSE_CLICKHOUSE_USER"],
                clickhouse_password=variables["TRAILHOUSE_CLICKHOUSE_PASSWORD"],
                stack=stack,
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _containers() -> Generator[Cluster]:
    port = free_port()
    clickhouse = ClickHouseContainer(
        CLICKHOUSE_IMAGE, username="trailhouse", password="trailhouse", dbname="default"
    )
    with _kafka_container(port) as kafka, clickhouse:
        host = clickhouse.get_container_host_ip()
        yield Cluster(
            bootstrap_servers=f"{kafka.get_container_host_ip()}:{port}",
            clickhouse_url=f"http://{host}:{clickhouse.get_exposed_port(8123)}",
            clickhouse_user=clickhouse.username,
            clickhouse_password=clickhouse.password,
        )


def _kafka_container(port: int) -> DockerContainer:
    host = DockerClient().host()
    variables = {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_LISTENERS": f"PLAINTEXT://0.0.0.0:{port},CONTROLLER://localhost:9093",
        "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://{host}:{port}",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
    }
    started = LogMessageWaitStrategy("Kafka Server started").with_startup_timeout(_START_SECONDS)
    container = DockerContainer(KAFKA_IMAGE).with_bind_ports(port, port).waiting_for(started)
    for name, value in variables.items():
        container = container.with_env(name, value)
    return container
