"""Access is audited: each read through a door is an event `audit_read`, by our own spooled producer."""

import datetime as dt
import itertools
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal

import msgspec

from trailhouse.access.principal import Principal
from trailhouse.schemas import AuditEvent, EventType
from trailhouse.schemas.event import MAX_ID_CHARACTERS

if TYPE_CHECKING:
    from trailhouse.producer import AuditLogger

Door = Literal["api", "mcp", "sql"]
Stage = Literal["page", "opened", "closed"]
MAX_TEXT_CHARACTERS = 8_192
"""Of what was asked; whatever a door lets in is shorter, so that nothing is cut."""
MAX_NAME_CHARACTERS, MAX_NAMES = 64, 100
MAX_FILTER_BYTES = 500_000
"""What is refused may be of any size: of what is larger than this, the size alone is written down."""
_MAX_INTEGER = 2**63


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """One read, as it is written down.

    Attributes:
        operation: What was asked, such as `log` or `search`.
        asked: The filter and whatever else narrowed it, as it was given.
        rows: How many rows were answered; so far, where a stream goes on.
        complete: Whether the answer held all that was asked for; None while a stream goes on.
        duration_seconds: From the question to the answer.
        session_id: The one session that was read, where it was one.
        stage: `page`, or of a stream that it was `opened`, or `closed`.
        failed: The kind of error that ended it; None for an answer.
    """

    operation: str
    asked: Mapping[str, object]
    rows: int
    complete: bool | None
    duration_seconds: float
    session_id: str | None = None
    stage: Stage = "page"
    failed: str | None = None


class ReadAudit:
    """Writes down what is read through one door; safe to share between threads.

    The events lie in a session of their own for each door and day, and never in the one that was read, which
    stays what its agent did. What was read is their `correlation_id`: the reads of a session are found by it.

    Args:
        door: Which door.
        logger: Where the events go; None while reads are not audited.
        now: The clock, UTC.
    """

    def __init__(
        self,
        door: Door,
        logger: "AuditLogger | None",
        *,
        now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self._door = door
        self._logger = logger
        self._now = now

    def at(self, door: Door) -> "ReadAudit":
        """Return what writes down the reads through another door of the same process."""
        return ReadAudit(door, self._logger, now=self._now)

    def note(self, principal: Principal, read: Read) -> None:
        """Write down that *principal* has read this.

        Delivery:
            When this returns, the event is in the spool's file, and goes to Kafka by itself, now or once it is
            back. An answer whose `audit_read` could not be written must not be given.

        Raises:
            SpoolFullError, SpoolUnavailableError: Retriable once there is room; nothing was written.
        """
        if self._logger is None:
            return
        moment = self._now()
        self._logger.log(
            EventType.AUDIT_READ,
            session_id=f"audit-read-{self._door}-{moment:%Y-%m-%d}",
            tenant_id=principal.tenant_id,
            occurred_at=moment,
            actor={"type": principal.kind, "id": principal.name},
            correlation_id=_id_or_none(read.session_id),
            data=self._data(principal, read),
        )

    def close(self, timeout_seconds: float | None = None) -> None:
        """Wait for what was written to reach Kafka, for a moment; what has not stays in the spool.

        Args:
            timeout_seconds: How long; as the producer's settings say if None.
        """
        if self._logger is not None:
            self._logger.close(timeout_seconds)

    def _data(self, principal: Principal, read: Read) -> dict[str, object]:
        known = {
            "door": self._door,
            "principal": principal.name,
            "token_id": principal.token_id,
            "operation": read.operation,
            "filter": _filter(read.asked),
            "rows": read.rows,
            "complete": read.complete,
            "duration_ms": round(read.duration_seconds * 1_000, 3),
            "stage": read.stage,
            "failed": read.failed,
        }
        return {name: value for name, value in known.items() if value is not None}


def open_read_audit(door: Door) -> ReadAudit:
    """Return what writes down the reads through *door*, as the settings say; nothing is sent yet.

    Raises:
        ConfigError: A setting is wrong, or the folder of the spools cannot be used. Permanent.
    """
    from trailhouse.access.config import AccessConfig

    if not AccessConfig().audit_reads:
        return ReadAudit(door, None)
    from trailhouse.producer import AuditLogger, ProducerConfig

    # Whose events these are is said by each: the settings of the producer are those of agents, and its
    # switch must not open a way to read unseen.
    config = ProducerConfig(
        enabled=True, mode="durable", service=f"trailhouse-{door}", tenant_id=""
    )
    return ReadAudit(door, AuditLogger(config))


def is_read_of(item: object, principal: Principal, operation: str) -> bool:
    """Tell whether *item* is the `audit_read` of that operation by that principal."""
    return (
        isinstance(item, AuditEvent)
        and item.type == EventType.AUDIT_READ
        and item.actor is not None
        and (item.actor.type, item.actor.id) == (principal.kind, principal.name)
        and item.data.get("operation") == operation
    )


def _id_or_none(text: str | None) -> str | None:
    # A session of a longer name, or of one that cannot be written, is nobody's.
    if text is None or not 0 < len(text) <= MAX_ID_CHARACTERS:
        return None
    return text if text.isascii() or _is_writable(text) else None


def _is_writable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _filter(asked: Mapping[str, object]) -> dict[str, object]:
    kept = {
        str(_bounded(name))[:MAX_NAME_CHARACTERS]: _bounded(value)
        for name, value in itertools.islice(asked.items(), MAX_NAMES)
    }
    size_bytes = len(msgspec.json.encode(kept))
    return kept if size_bytes <= MAX_FILTER_BYTES else {"too_large_bytes": size_bytes}


def _bounded(value: object) -> object:
    if isinstance(value, dt.datetime):
        return value.isoformat()
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()[:MAX_TEXT_CHARACTERS]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if -_MAX_INTEGER <= value < _MAX_INTEGER else "a number of many digits"
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, (list, tuple)):
        return [_bounded(each) for each in value[:1_000]]
    return str(value)[:MAX_TEXT_CHARACTERS]
