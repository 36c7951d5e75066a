"""Every error Trailhouse raises, grouped by what the caller should do.

::

    TrailhouseError                  retriable: ClassVar[bool]
    ├─ ConfigError                   a setting is missing, unknown or contradictory; nothing was started
    ├─ EventError                    an event was refused; nothing was sent
    │  ├─ InvalidEventError          a field breaks a rule: mend the event
    │  └─ EventTooLargeError         the encoded event is over the limit: shorten it
    ├─ DeliveryError                 a logger's event is not known to be durable
    │  ├─ SpoolFullError           ↻ no room in the spool within the timeout; the event was not logged
    │  ├─ SpoolUnavailableError    ↻ the spool cannot be written; the event was not logged: mend the disk
    │  ├─ SpoolDamagedError          spooled events were damaged on the disk: they are set aside, what follows is sent
    │  ├─ QueueFullError           ↻ no room within the timeout; the event was not queued
    │  ├─ DeliveryTimeoutError     ↻ outcome unknown; the event is still on its way
    │  ├─ DeliveryRejectedError      the broker refuses: mend topic, credentials or size
    │  └─ ProducerClosedError        the logger is closed; a new event was not queued, an old one's outcome is unknown
    ├─ EventQuarantinedError         the event is in Kafka and in quarantine, not in the log: requeue it
    ├─ BrokerError                   a call of the worker's or an operator's to Kafka failed
    │  ├─ BrokerUnavailableError   ↻ Kafka is away, busy or electing, or gave the partitions to another
    │  ├─ OffsetsExpiredError      ↻ Kafka deleted the records while they were read: ask again, from where it begins now
    │  ├─ UnreadableBatchError     ↻ a batch is damaged, and its end is not to be seen before another follows
    │  └─ BrokerRejectedError        Kafka refuses for good: mend topic, rights, credentials or settings
    ├─ WorkerStoppedError            the worker ended before a commit, so that somebody decides; nothing more is lost
    │  ├─ OffsetGapError             Kafka no longer has records that nobody stored
    │  └─ BreakerTrippedError        most of a batch are not events
    ├─ StorageError                  ClickHouse did not do what was asked
    │  ├─ StorageUnavailableError  ↻ ClickHouse is away or overloaded
    │  │  ├─ StorageOverloadedError ↻ … it answers, and refuses for now: too many parts, or too much at once
    │  │  └─ StorageLimitError     ↻ … it gave a statement up that took too long, or too many rows, bytes or memory
    │  ├─ SchemaMismatchError        the database is newer than this package, or of another make: install what made it
    │  └─ StorageRejectedError       ClickHouse refuses for good; carries its code and name
    │     └─ StorageDataError        … because of a value that was to be stored
    ├─ IntegrityError                stored bytes contradict their hash, or a row its bytes: somebody altered them
    ├─ ProofError                    a checkpoint, policy, anchor, seal or proof is malformed, or not signed
    ├─ SigningError                ↻ a key cannot be read or used, or others can read it; nothing was signed
    ├─ AnchorError                 ↻ who keeps or countersigns anchors is away, or refuses
    ├─ ComparisonError               what was read back is not what was logged
    ├─ QueryError                    a filter, limit or name that cannot be answered
    ├─ SlowFollowerError           ↻ a follower was cut off, since it reads too slowly; it holds the token to go on with
    ├─ ExportError                 ↻ an export was cut off, as by a full disk: the same one goes on from what is whole
    ├─ JournalError                ↻ the journal of `trailhouse emit` is in use, or cannot be used
    └─ StackError                    the local Kafka or ClickHouse cannot be started or stopped

``↻`` is retriable: the same call may succeed later. Every other one is permanent until somebody mends its
cause. Messages name fields and rules, never values: a value may be personal or secret.
"""

from typing import ClassVar


class TrailhouseError(Exception):
    """Base of all errors; `retriable` says whether the same call can succeed later."""

    retriable: ClassVar[bool] = False


class ConfigError(TrailhouseError):
    """A setting is missing, unknown or contradictory. Permanent; raised before any I/O."""


class EventError(TrailhouseError):
    """An event was refused. Permanent; nothing was sent."""


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


class SpoolDamagedError(DeliveryError):
    """Spooled events were damaged on the disk. Permanent: they are set aside and not sent; what follows is."""


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


class DeliveryRejectedError(DeliveryError):
    """The broker refuses: unknown topic, wrong credentials, no permission, message too large.

    Permanent until somebody mends the cause; events already queued are kept, and go out then.

    Attributes:
        code: Kafka's name of the error, such as ``TOPIC_AUTHORIZATION_FAILED``.
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type["DeliveryRejectedError"], tuple[str, str]]:
        return type(self), (str(self), self.code)


class EventQuarantinedError(TrailhouseError):
    """The event is in Kafka, and the worker put it into quarantine: no reader sees it.

    Permanent until it is requeued; its bytes and the reason are kept.
    """


class BrokerError(TrailhouseError):
    """A call to Kafka by the worker or an operator failed; `trailhouse.schemas.kafka_errors` says how.

    Attributes:
        code: Kafka's name of the error, such as ``UNKNOWN_TOPIC_OR_PART``; empty when it gave none.
    """

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type["BrokerError"], tuple[str, str]]:
        return type(self), (str(self), self.code)


class BrokerUnavailableError(BrokerError):
    """Kafka is away, busy or electing, or gave our partitions to another. Retriable.

    Whether it did what was asked is unknown.
    """

    retriable = True


class OffsetsExpiredError(BrokerError):
    """Kafka deleted records while they were read. Retriable: asked again, one begins where Kafka does."""

    retriable = True


class UnreadableBatchError(BrokerError):
    """A batch in the topic is damaged, and its end cannot be seen yet. Retriable once another follows.

    Nothing was passed over; `trailhouse skip` does that.
    """

    retriable = True


class BrokerRejectedError(BrokerError):
    """Kafka refuses: no such topic, wrong credentials, no permission, a request that it does not take.

    Permanent until somebody mends the cause; nothing was done.
    """


class WorkerStoppedError(TrailhouseError):
    """The worker ended by itself, before a commit. Permanent until somebody has decided; the next one goes on."""


class OffsetGapError(WorkerStoppedError):
    """Kafka has no records at offsets that nobody stored. Permanent until their loss is accepted."""


class BreakerTrippedError(WorkerStoppedError):
    """Most of a batch are not events. Permanent until the writer or the limit is mended; nothing is lost."""


class StorageError(TrailhouseError):
    """ClickHouse did not do what was asked."""


class StorageUnavailableError(StorageError):
    """ClickHouse is away, overloaded or read-only. Retriable; a write's outcome is unknown."""

    retriable = True


class StorageOverloadedError(StorageUnavailableError):
    """ClickHouse answers, and refuses until it has less to do: too many parts, too many queries. Retriable."""


class StorageLimitError(StorageUnavailableError):
    """ClickHouse gave a statement up that needed more time, rows, bytes or memory than it may have. Retriable."""


class SchemaMismatchError(StorageError):
    """The database is newer than this package, or an edited migration made it. Permanent; nothing was done."""


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


class SlowFollowerError(TrailhouseError):
    """A follower reads more slowly than events are stored, and was cut off. Retriable: follow again with the token.

    Attributes:
        token: Goes on after the last event that the follower returned.
    """

    retriable = True

    def __init__(self, message: str, token: str) -> None:
        super().__init__(message)
        self.token = token

    def __reduce__(self) -> tuple[type["SlowFollowerError"], tuple[str, str]]:
        return type(self), (str(self), self.token)


class ExportError(TrailhouseError):
    """An export was cut off, or is not whole. Retriable: the same export goes on from the files that are whole."""

    retriable = True


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
    """Stored bytes contradict their hash, or a row contradicts its bytes. Permanent; never retry."""


class ProofError(TrailhouseError):
    """A note, checkpoint, policy, anchor, seal or proof is malformed, or not signed by whom it must be. Permanent."""


class SigningError(TrailhouseError):
    """A key cannot be read or used, or others can read it; nothing was signed. Retriable once that is mended."""

    retriable = True


class AnchorError(TrailhouseError):
    """Whoever keeps or countersigns anchors is away, or refuses. Retriable: it is asked again with the next anchor."""

    retriable = True


class ComparisonError(TrailhouseError):
    """What was read back is not what was logged. Permanent; says which event, and what differs."""
