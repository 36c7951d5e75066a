"""What each error code of Kafka means, and which error of ours it becomes: the one place that decides."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from trailhouse.schemas.errors import (
    BrokerError,
    BrokerRejectedError,
    BrokerUnavailableError,
    ConfigError,
    OffsetsExpiredError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from confluent_kafka import KafkaError

Fault = Literal[
    "unavailable", "fenced", "expired", "topic", "permission", "credentials", "refused", "record", "unreadable"
]  # fmt: skip
"""What is wrong:

- unavailable: a broker is away, busy, starting or electing, or the client let go: it may pass by itself;
- fenced: the consumer group has given our partitions to another, or is about to;
- expired: there is no record at the offset any more;
- topic, permission, credentials, refused: somebody must mend the topic, the ACLs, how we log in, or the request;
- record: one record, or its batch, is what is refused, and no other;
- unreadable: the client cannot open a batch, and never gets past it by itself.
"""

_NAMES: dict[Fault, str] = {
    "unavailable": """
        _DESTROY _DESTROY_BROKER _FAIL _TRANSPORT _RESOLVE _MSG_TIMED_OUT _ALL_BROKERS_DOWN _FS _TIMED_OUT
        _TIMED_OUT_QUEUE _QUEUE_FULL _ISR_INSUFF _NODE_UPDATE _WAIT_COORD _IN_PROGRESS _PREV_IN_PROGRESS _OUTDATED
        _WAIT_CACHE _INTR _PARTIAL _RETRY _PURGE_QUEUE _PURGE_INFLIGHT _FATAL _INCONSISTENT _GAPLESS_GUARANTEE
        _UNKNOWN_BROKER _APPLICATION _LOG_TRUNCATION _PARTITION_EOF _ASSIGN_PARTITIONS _REVOKE_PARTITIONS _NOOP
        NO_ERROR UNKNOWN LEADER_NOT_AVAILABLE NOT_LEADER_FOR_PARTITION REQUEST_TIMED_OUT BROKER_NOT_AVAILABLE
        REPLICA_NOT_AVAILABLE STALE_CTRL_EPOCH NETWORK_EXCEPTION COORDINATOR_LOAD_IN_PROGRESS
        COORDINATOR_NOT_AVAILABLE NOT_COORDINATOR NOT_ENOUGH_REPLICAS NOT_ENOUGH_REPLICAS_AFTER_APPEND NOT_CONTROLLER
        OUT_OF_ORDER_SEQUENCE_NUMBER DUPLICATE_SEQUENCE_NUMBER INVALID_PRODUCER_EPOCH INVALID_PRODUCER_ID_MAPPING
        UNKNOWN_PRODUCER_ID PRODUCER_FENCED CONCURRENT_TRANSACTIONS TRANSACTION_COORDINATOR_FENCED
        TRANSACTION_ABORTABLE OPERATION_NOT_ATTEMPTED KAFKA_STORAGE_ERROR REASSIGNMENT_IN_PROGRESS
        FETCH_SESSION_ID_NOT_FOUND INVALID_FETCH_SESSION_EPOCH LISTENER_NOT_FOUND FENCED_LEADER_EPOCH
        UNKNOWN_LEADER_EPOCH STALE_BROKER_EPOCH OFFSET_NOT_AVAILABLE MEMBER_ID_REQUIRED PREFERRED_LEADER_NOT_AVAILABLE
        ELIGIBLE_LEADERS_NOT_AVAILABLE UNSTABLE_OFFSET_COMMIT THROTTLING_QUOTA_EXCEEDED FEATURE_UPDATE_FAILED
        PRINCIPAL_DESERIALIZATION_FAILURE INCONSISTENT_TOPIC_ID UNRELEASED_INSTANCE_ID UNKNOWN_CONTROLLER_ID
        UNKNOWN_SUBSCRIPTION_ID SHARE_SESSION_NOT_FOUND INVALID_SHARE_SESSION_EPOCH SHARE_SESSION_LIMIT_REACHED
        FENCED_STATE_EPOCH REBOOTSTRAP_REQUIRED STREAMS_INVALID_TOPOLOGY_EPOCH STREAMS_TOPOLOGY_FENCED""",
    "fenced": """
        _STATE _NO_OFFSET _MAX_POLL_EXCEEDED _FENCED _ASSIGNMENT_LOST ILLEGAL_GENERATION UNKNOWN_MEMBER_ID
        REBALANCE_IN_PROGRESS FENCED_INSTANCE_ID FENCED_MEMBER_EPOCH STALE_MEMBER_EPOCH""",
    "expired": "_AUTO_OFFSET_RESET OFFSET_OUT_OF_RANGE",
    "topic": "_UNKNOWN_PARTITION _UNKNOWN_TOPIC UNKNOWN_TOPIC_OR_PART UNKNOWN_TOPIC_ID",
    "permission": """
        TOPIC_AUTHORIZATION_FAILED GROUP_AUTHORIZATION_FAILED CLUSTER_AUTHORIZATION_FAILED
        TRANSACTIONAL_ID_AUTHORIZATION_FAILED DELEGATION_TOKEN_AUTHORIZATION_FAILED""",
    "credentials": """
        _SSL _AUTHENTICATION UNSUPPORTED_SASL_MECHANISM ILLEGAL_SASL_STATE SASL_AUTHENTICATION_FAILED SECURITY_DISABLED
        DELEGATION_TOKEN_AUTH_DISABLED DELEGATION_TOKEN_NOT_FOUND DELEGATION_TOKEN_OWNER_MISMATCH
        DELEGATION_TOKEN_REQUEST_NOT_ALLOWED DELEGATION_TOKEN_EXPIRED""",
    "refused": """
        _INVALID_ARG _UNKNOWN_GROUP _EXISTING_SUBSCRIPTION _CONFLICT _UNKNOWN_PROTOCOL _UNSUPPORTED_FEATURE
        _KEY_SERIALIZATION _VALUE_SERIALIZATION _KEY_DESERIALIZATION _VALUE_DESERIALIZATION _READ_ONLY _NOENT
        _INVALID_TYPE _NOT_CONFIGURED INVALID_MSG_SIZE OFFSET_METADATA_TOO_LARGE TOPIC_EXCEPTION INVALID_REQUIRED_ACKS
        INCONSISTENT_GROUP_PROTOCOL INVALID_GROUP_ID INVALID_SESSION_TIMEOUT INVALID_COMMIT_OFFSET_SIZE
        INVALID_TIMESTAMP UNSUPPORTED_VERSION TOPIC_ALREADY_EXISTS INVALID_PARTITIONS INVALID_REPLICATION_FACTOR
        INVALID_REPLICA_ASSIGNMENT INVALID_CONFIG INVALID_REQUEST UNSUPPORTED_FOR_MESSAGE_FORMAT POLICY_VIOLATION
        INVALID_TXN_STATE INVALID_TRANSACTION_TIMEOUT LOG_DIR_NOT_FOUND INVALID_PRINCIPAL_TYPE NON_EMPTY_GROUP
        GROUP_ID_NOT_FOUND TOPIC_DELETION_DISABLED UNSUPPORTED_COMPRESSION_TYPE GROUP_MAX_SIZE_REACHED
        ELECTION_NOT_NEEDED NO_REASSIGNMENT_IN_PROGRESS GROUP_SUBSCRIBED_TO_TOPIC RESOURCE_NOT_FOUND DUPLICATE_RESOURCE
        UNACCEPTABLE_CREDENTIAL INCONSISTENT_VOTER_SET INVALID_UPDATE_VERSION UNSUPPORTED_ASSIGNOR
        MISMATCHED_ENDPOINT_TYPE UNSUPPORTED_ENDPOINT_TYPE TELEMETRY_TOO_LARGE INVALID_REGISTRATION
        INVALID_RECORD_STATE INVALID_VOTER_KEY DUPLICATE_VOTER VOTER_NOT_FOUND INVALID_REGULAR_EXPRESSION
        STREAMS_INVALID_TOPOLOGY""",
    "record": "MSG_SIZE_TOO_LARGE RECORD_LIST_TOO_LARGE INVALID_RECORD _INVALID_DIFFERENT_RECORD",
    # INVALID_MSG is what librdkafka calls Kafka's CORRUPT_MESSAGE.
    "unreadable": "_BAD_MSG _BAD_COMPRESSION _UNDERFLOW _NOT_IMPLEMENTED _CRIT_SYS_RESOURCE INVALID_MSG",
}
FAULTS: Mapping[str, Fault] = MappingProxyType(
    {name: fault for fault, names in _NAMES.items() for name in names.split()}
)
"""The fault of every code that librdkafka knows, by its name there; a test holds it against the library."""

_CLASSES: dict[Fault, type[BrokerError]] = {
    "unavailable": BrokerUnavailableError,
    "fenced": BrokerUnavailableError,
    "expired": OffsetsExpiredError,
}
REFUSALS: frozenset[Fault] = frozenset({"topic", "permission", "credentials", "refused"})
"""What somebody must mend before anything of the kind goes through."""


def fault_of(error: KafkaError) -> Fault:
    """Return what *error* means; one that is not known yet may pass by itself."""
    return "credentials" if is_tls_refusal(error) else FAULTS.get(error.name(), "unavailable")


def class_of(fault: Fault) -> type[BrokerError]:
    """Return the class that tells of *fault*; `retriable` is the class's."""
    return _CLASSES.get(fault, BrokerRejectedError)


def broker_error(error: KafkaError, where: str, topic: str, what: str = "") -> BrokerError:
    """Return what a call to Kafka raises that met *error*: one line with the way out.

    Args:
        error: What librdkafka said.
        where: The bootstrap servers.
        topic: The topic's name.
        what: What was asked for, such as ``partition 3``; the topic as a whole if empty.
    """
    fault, text = fault_of(error), one_line(error)
    name = "_SSL" if is_tls_refusal(error) else error.name()
    subject = f"{what} of topic {topic}" if what else f"topic {topic}"
    match fault:
        case "unavailable" | "fenced" if not name.startswith("_"):
            told = f"Kafka at {where} cannot do this now ({name}: {text}): try again later"
        case "unavailable" | "fenced":
            told = (
                f"Kafka at {where} does not answer ({name}: {text}): start it, or set"
                " TRAILHOUSE_KAFKA_BOOTSTRAP_SERVERS"
            )
        case "expired":
            told = (
                f"{subject}: records that were asked for are gone ({text}): their retention ended"
                " meanwhile; ask again"
            )
        case "topic" if not what:
            told = f"topic {topic} does not exist at {where}: run `trailhouse init`"
        case "permission":
            told = (
                f"Kafka at {where} refuses {subject} ({name}): our user lacks a permission;"
                " docs/cluster.md lists the ACLs of each role"
            )
        case "credentials":
            told = f"Kafka at {where} refuses the connection ({name}): check the security and SASL settings of [kafka]"
        case _:
            told = f"Kafka at {where} refuses {subject} ({name}): {text}"
    return class_of(fault)(told, name)


def settings_error(error: KafkaError) -> ConfigError:
    """Return what a client raises that librdkafka does not make of these settings."""
    return ConfigError(f"Kafka's client refuses the [kafka] settings: {one_line(error)}")


def is_tls_refusal(error: KafkaError) -> bool:
    """Tell whether a broker ended the connection by an alert of TLS: it wants a certificate, or another one.

    To librdkafka that is one more connection that broke (``_TRANSPORT``), and would be tried for ever.
    """
    return error.name() == "_TRANSPORT" and "SSL alert number" in error.str()


def one_line(error: KafkaError) -> str:
    """Return what librdkafka says, in one line."""
    return " ".join(error.str().split())
