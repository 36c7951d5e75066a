"""Every error Trailhouse raises, grouped by what the caller should do.

::

    TrailhouseError                  retriable: ClassVar[bool]
    ├─ ConfigError                   a setting is missing, unknown or contradictory; nothing was started
    ├─ EventError                    the caller's event was refused; nothing was sent
    │  ├─ InvalidEventError          a field breaks a rule: mend the event
    │  └─ EventTooLargeError         the encoded event is over the limit: shorten it
    ├─ DeliveryError                 not known to be durable
    │  ├─ SpoolFullError             no room in the spool within the timeout; the event was not logged: try again
    │  ├─ SpoolUnavailableError      the spool cannot be written; the event was not logged: mend the disk
    │  ├─ QueueFullError             no room within the timeout; the event was not queued: try again
    │  ├─ DeliveryTimeoutError       outcome unknown; the event is still on its way
    │  ├─ ProducerClosedError        the logger is closed; a new event was not queued, an old one's outcome is unknown
    │  └─ BrokerRejectedError        the broker refuses: mend topic, credentials or size
    ├─ StorageError
    │  ├─ StorageUnavailableError    ClickHouse is away or overloaded: try again
    │  └─ StorageRejectedError       ClickHouse refuses for good; carries its code and name
    │     └─ StorageDataError        … because of a value that was to be stored
    ├─ QueryError                    a filter, limit or name that cannot be answered
    ├─ JournalError                  the journal of `trailhouse emit` is in use, or cannot be used
    ├─ StackError                    the local Kafka or ClickHouse cannot be started or stopped
    └─ IntegrityError                stored data contradicts its own bytes

Messages name fields and rules, never values: a value may be personal or secret.
"""

from typing import ClassVar


class TrailhouseError(Exception):
    """Base of all errors; `retriable` says whether the same call can succeed later."""

    retriable: ClassVar[bool] = False


class ConfigError(TrailhouseError):
    """A setting is missing, unknown or contradictory. Permanent; raised before any I/O."""


class EventError(TrailhouseError):
    """The caller's event was refused. Permanent; nothing was sent."""


class InvalidEventError(EventError):
    """A field breaks a rule. Permanent; nothing was sent.

    Attributes:
        field: Path of the field, such as ``session_id`` or ``data.items[2].price``.
        rule: What is allowed there, and what kind of thing was found.
    """

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field}: {rule}")
        self.field = field
        self.rule = rule

    def __reduce__(self) -> tuple[type["InvalidEventError"], tuple[str, str]]:
        return type(self), (self.field, self.rule)


class EventTooLargeError(EventError):
    """The encoded event is over the limit. Permanent; nothing was sent."""

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"the encoded event is {size_bytes} bytes, the limit is {limit_bytes} bytes: "
            "shorten data or metadata, or raise TRAILHOUSE_PRODUCER_MAX_EVENT_BYTES"
            " and the topic's max.message.bytes"
        )
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes

    def __reduce__(self) -> tuple[type["EventTooLargeError"], tuple[int, int]]:
        return type(self), (self.size_bytes, self.limit_bytes)


class DeliveryError(TrailhouseError):
    """The event is not known to be durable."""


class SpoolFullError(DeliveryError):
    """The spool had no room within the timeout. Retriable; the event was not logged."""

    retriable = True


class SpoolUnavailableError(DeliveryError):
    """The spool's folder or file cannot be written or read. Retriable once that is mended.

    The event was not logged; those spooled before are kept.
    """

    retriable = True


class QueueFullError(DeliveryError):
    """The queue had no room within the timeout. Retriable; the event was not queued."""

    retriable = True


class DeliveryTimeoutError(DeliveryError):
    """No acknowledgement within the timeout. Retriable; the event stays queued and may arrive."""

    retriable = True


class ProducerClosedError(DeliveryError):
    """The logger is closed. Permanent; a new event was not queued.

    On a receipt or a flush: closed before the broker had answered, so the outcome is unknown.
    """


class BrokerRejectedError(DeliveryError):
    """The broker refuses: unknown topic, wrong credentials, no permission, message too large.

    Permanent until somebody mends the cause; events already queued are kept, and go out then.

    Attributes:
        code: Kafka's name of the error, such as ``TOPIC_AUTHORIZATION_FAILED``.
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type["BrokerRejectedError"], tuple[str, str]]:
        return type(self), (str(self), self.code)


class StorageError(TrailhouseError):
    """ClickHouse did not do what was asked."""


class StorageUnavailableError(StorageError):
    """ClickHouse is away, overloaded or read-only. Retriable; a write's outcome is unknown."""

    retriable = True


class StorageRejectedError(StorageError):
    """ClickHouse refuses for good. Permanent; nothing was written.

    Attributes:
        code: ClickHouse's number of the error, 0 when it gave none.
        name: ClickHouse's name of the error, such as ``UNKNOWN_TABLE``; empty when it gave none.
    """

    def __init__(self, message: str, code: int = 0, name: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.name = name

    def __reduce__(self) -> tuple[type["StorageRejectedError"], tuple[str, int, str]]:
        return type(self), (str(self), self.code, self.name)


class StorageDataError(StorageRejectedError):
    """ClickHouse refuses a value that was to be stored. Permanent for these values; nothing was written."""


class QueryError(TrailhouseError):
    """A filter, limit or name cannot be answered. Permanent; nothing was read."""


class JournalError(TrailhouseError):
    """The journal of `trailhouse emit` cannot be used. Retriable once the other run ends, or that is mended.

    Attributes:
        is_in_use: Whether another run holds it.
    """

    retriable = True

    def __init__(self, message: str, *, is_in_use: bool = False) -> None:
        super().__init__(message)
        self.is_in_use = is_in_use

    def __reduce__(self) -> tuple[type["JournalError"], tuple[str]]:
        return type(self), (str(self),)


class StackError(TrailhouseError):
    """The local Kafka or ClickHouse cannot be started or stopped. Says why and the way out."""


class IntegrityError(TrailhouseError):
    """Stored data contradicts its own bytes. Permanent; never retry."""
