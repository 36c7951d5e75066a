"""Short questions to Kafka, each with a deadline: the topic, its offsets, the cluster."""

import time
import warnings
from collections.abc import Mapping
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

import msgspec
from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # exported by assignment
    AdminClient,
    ConfigResource,  # pyright: ignore[reportPrivateImportUsage]
    NewTopic,  # pyright: ignore[reportPrivateImportUsage]
    ResourceType,  # pyright: ignore[reportPrivateImportUsage]
)

from trailhouse.broker.group_members import GroupMember, members_of
from trailhouse.broker.offsets import PartitionLag, group_offsets
from trailhouse.schemas.errors import (
    BrokerError,
    BrokerRejectedError,
    BrokerUnavailableError,
)
from trailhouse.schemas.kafka_config import KafkaConfig
from trailhouse.schemas.kafka_errors import broker_error, fault_of, settings_error
from trailhouse.schemas.topic import topic_options

__all__ = ["KafkaAdmin", "PartitionLag", "Topic"]

_POLL_SECONDS = 0.05


class Topic(msgspec.Struct, frozen=True, kw_only=True):
    """A topic as the cluster has it; `options` are those that `topic_options` decides."""

    partitions: int
    replication: int
    has_leaders: bool
    options: Mapping[str, str]


class KafkaAdmin:
    """Asks and tells one Kafka cluster; each method waits at most about `timeout_seconds`.

    A context manager that frees its connections and threads at once; else the garbage collector does,
    some time.

    Raises:
        ConfigError: librdkafka does not take the settings. Permanent.
    """

    def __init__(self, config: KafkaConfig, *, timeout_seconds: float = 10.0) -> None:
        self._config = config
        self._where = config.bootstrap_servers
        self._timeout_seconds = timeout_seconds
        self._refusal: KafkaError | None = None
        options: dict[str, Any] = config.client_options() | {
            "error_cb": self._note_refusal,
            "log_level": 0,
        }
        try:
            self._client: Any = AdminClient(options)  # its futures carry no types
        except KafkaException as error:
            raise settings_error(error.args[0]) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client = None  # it holds us by its callback

    def topic(self) -> Topic | None:
        """Return the configured topic, or None when the cluster has none of that name.

        Raises:
            BrokerUnavailableError: Kafka does not answer. Retriable.
            BrokerRejectedError: Kafka refuses credentials or permission. Permanent.
        """
        try:
            found = self._described()
        except BrokerRejectedError as error:
            if error.code == "UNKNOWN_TOPIC_OR_PART":
                return None
            raise
        resource = ConfigResource(ResourceType.TOPIC, self._config.topic)
        answers = self._client.describe_configs([resource], request_timeout=self._timeout_seconds)
        entries = self._result(answers[resource])
        decided = topic_options(self._config)
        return Topic(
            partitions=len(found.partitions),
            replication=min((len(part.replicas) for part in found.partitions), default=0),
            has_leaders=all(
                part.leader is not None and part.leader.id >= 0 for part in found.partitions
            ),
            options={key: str(entry.value) for key, entry in entries.items() if key in decided},
        )

    def topic_id(self) -> str:
        """Return the topic's id, which a topic made again under the same name does not share.

        Raises:
            BrokerUnavailableError: Kafka does not answer. Retriable.
            BrokerRejectedError: Kafka refuses, or has no such topic. Permanent.
        """
        return str(self._described().topic_id)

    def create_topic(self) -> bool:
        """Make the topic and wait until it has its leaders; False when somebody was faster.

        Raises:
            BrokerUnavailableError: Kafka does not answer; the topic may have been made. Retriable.
            BrokerRejectedError: Kafka refuses. Permanent; nothing was made.
        """
        config = self._config
        wanted = NewTopic(
            config.topic, config.partitions, config.replication, config=topic_options(config)
        )
        try:
            answers = self._client.create_topics([wanted], request_timeout=self._timeout_seconds)
            self._result(answers[config.topic])
            is_ours = True
        except BrokerRejectedError as error:
            if error.code != "TOPIC_ALREADY_EXISTS":
                raise
            is_ours = False
        self._wait_for_leaders()
        return is_ours

    def lag(self, group_id: str) -> tuple[PartitionLag, ...]:
        """Return each partition's offsets and what *group_id* has committed there.

        Raises:
            BrokerUnavailableError: Kafka does not answer. Retriable.
            BrokerRejectedError: Kafka refuses, or has no such topic. Permanent.
        """
        try:
            return group_offsets(
                self._config,
                group_id,
                timeout_seconds=self._timeout_seconds,
                on_error=self._note_refusal,
            )
        except KafkaException as error:
            mapped = self._mapped(error.args[0])
            if isinstance(mapped, BrokerUnavailableError) and "committed" in error.args[0].str():
                # To a user without the permission librdkafka says nothing else, and asks again and again.
                raise BrokerUnavailableError(
                    f"Kafka at {self._where} answers, but says nothing of the group {group_id} within"
                    f" {self._timeout_seconds:g} s: it has just started, or our user lacks the permission"
                    " Describe on that group; docs/cluster.md lists the ACLs of each role"
                ) from error
            raise mapped from error

    def members(self, group_id: str) -> tuple[GroupMember, ...]:
        """Return who is in *group_id*; nobody when there is no such group.

        Raises:
            BrokerUnavailableError: Kafka does not answer. Retriable.
            BrokerRejectedError: Kafka refuses. Permanent.
        """
        # The old question, which warns of its age: what took its place may abort the process.
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                found = self._client.list_groups(group_id, timeout=self._timeout_seconds)
        except KafkaException as error:
            raise self._mapped(error.args[0]) from error
        return members_of(found, group_id, self._config.topic)

    def cluster(self) -> tuple[str, int]:
        """Return the cluster's id and its number of brokers.

        Raises:
            BrokerUnavailableError: Kafka does not answer. Retriable.
            BrokerRejectedError: Kafka refuses. Permanent.
        """
        # Not describe_cluster: a broker that starts names no brokers yet, and librdkafka then aborts the
        # process (it takes the answer for sound and asserts a result). Asking for one topic makes none.
        try:
            found = self._client.list_topics(self._config.topic, timeout=self._timeout_seconds)
        except KafkaException as error:
            raise self._mapped(error.args[0]) from error
        if not found.brokers or found.cluster_id is None:
            raise self._away()
        return found.cluster_id, len(found.brokers)

    def _described(self) -> Any:
        wanted = TopicCollection([self._config.topic])
        answers = self._client.describe_topics(wanted, request_timeout=self._timeout_seconds)
        return self._result(answers[self._config.topic])

    def _wait_for_leaders(self) -> None:
        deadline = time.monotonic() + self._timeout_seconds
        while (found := self.topic()) is None or not found.has_leaders:
            if time.monotonic() > deadline:
                raise BrokerUnavailableError(
                    f"topic {self._config.topic} was made, but has no leader after"
                    f" {self._timeout_seconds:g} s: run `trailhouse init` again"
                )
            time.sleep(_POLL_SECONDS)

    def _result(self, future: Future[Any]) -> Any:
        try:
            return future.result(self._timeout_seconds + 1.0)
        except KafkaException as error:
            raise self._mapped(error.args[0]) from error
        except TimeoutError as error:
            raise self._away() from error

    def _mapped(self, error: KafkaError) -> BrokerError:
        if fault_of(error) == "unavailable":
            self._client.poll(0)  # serves error_cb, the only way to learn of bad credentials
            if self._refusal is None and error.name().startswith("_"):
                return self._away()
            error = self._refusal or error
        return broker_error(error, self._where, self._config.topic)

    def _away(self) -> BrokerUnavailableError:
        return BrokerUnavailableError(
            f"Kafka at {self._where} does not answer within {self._timeout_seconds:g} s:"
            " start it, or set TRAILHOUSE_KAFKA_BOOTSTRAP_SERVERS"
        )

    def _note_refusal(self, error: KafkaError) -> None:
        if fault_of(error) == "credentials":
            self._refusal = error
