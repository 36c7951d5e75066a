"""Wait until what a producer was given receipts for can be read."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from trailhouse.schemas.backoff import Backoff
from trailhouse.schemas.errors import (
    DeliveryTimeoutError,
    EventQuarantinedError,
    StorageUnavailableError,
)
from trailhouse.store import ClickHouse

STORED_TIMEOUT_SECONDS = 30.0
FIRST_WAIT_SECONDS = 0.05
LONGEST_WAIT_SECONDS = 1.0
RECEIPTS_PER_QUERY = 500
SESSION_BYTES_PER_QUERY = 60_000
"""A statement's values travel in its address, which servers and proxies bound."""


class Delivery(Protocol):
    """Where the broker holds an event."""

    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...


@runtime_checkable
class Receipt(Protocol):
    """What a producer gives for an event; `trailhouse.producer.Receipt` is one."""

    @property
    def event_id(self) -> str: ...
    @property
    def session_id(self) -> str: ...
    def result(self, timeout_seconds: float = ...) -> Delivery:
        """Return when the broker has acknowledged the event, or raise a `DeliveryError`."""
        ...


_Pending = dict[str, tuple[Receipt, Delivery]]


def wait_stored(
    ready: Callable[[], ClickHouse],
    tenant_id: str | None,
    receipt: Receipt | Iterable[Receipt | None] | None,
    timeout_seconds: float,
) -> None:
    """Do what `AuditReader.wait_stored` says; *ready* returns the connection once it may be used."""
    deadline = time.monotonic() + timeout_seconds
    given = [receipt] if receipt is None or isinstance(receipt, Receipt) else receipt
    receipts = [each for each in given if each is not None]
    pending: _Pending = {
        each.event_id: (each, each.result(max(0.0, deadline - time.monotonic())))
        for each in receipts
    }
    backoff = Backoff(FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS)
    away: StorageUnavailableError | None = None
    while True:
        try:
            for part in _parts(pending.values()):
                _ask(ready(), tenant_id, part, pending)
            away = None
        except StorageUnavailableError as error:
            away = error
        if not pending:
            return
        # Not after the deadline: another look that nobody can wait for is not worth its question.
        if time.monotonic() + backoff.seconds > deadline:
            raise _late(pending, len(receipts), timeout_seconds, away) from away
        threading.Event().wait(backoff.next_seconds())


def _ask(
    clickhouse: ClickHouse,
    tenant_id: str | None,
    part: Sequence[tuple[Receipt, Delivery]],
    pending: _Pending,
) -> None:
    """Take out of *pending* what of *part* is visible.

    Raises:
        EventQuarantinedError: One of the rest is in quarantine.
    """
    values: dict[str, Any] = {
        "sessions": list({receipt.session_id for receipt, _ in part}),
        "events": [receipt.event_id for receipt, _ in part],
    }
    sql = (
        "SELECT DISTINCT event_id FROM events"
        " WHERE session_id IN {sessions:Array(String)} AND event_id IN {events:Array(UUID)}"
    )
    if tenant_id is not None:
        sql += " AND tenant_id = {tenant_id:String}"
        values["tenant_id"] = tenant_id
    for (event_id,) in clickhouse.query(sql, values).rows:
        pending.pop(event_id, None)
    left = {receipt.event_id: delivery for receipt, delivery in part if receipt.event_id in pending}
    if left:
        _check_quarantine(clickhouse, left)


def _check_quarantine(clickhouse: ClickHouse, left: Mapping[str, Delivery]) -> None:
    """Return when none of *left* is in quarantine: at its place, and with its id in the record."""
    rows = clickhouse.query(
        """
        SELECT kafka_partition, kafka_offset, reason, arrayFirst(
            event -> position(ifNull(record, ''), event) > 0, {events:Array(String)}
        ) AS event_id
        FROM quarantine
        WHERE kafka_partition IN {partitions:Array(UInt16)} AND kafka_offset IN {offsets:Array(UInt64)}
            AND event_id != ''
        """,
        {
            "events": list(left),
            "partitions": list({delivery.partition for delivery in left.values()}),
            "offsets": list({delivery.offset for delivery in left.values()}),
        },
    ).rows
    for partition, offset, reason, event_id in rows:
        delivery = left[event_id]
        # Two lists were asked for, so a row may combine one event's partition with another's offset.
        if (delivery.partition, delivery.offset) == (partition, offset):
            raise EventQuarantinedError(
                f"event {event_id} is in quarantine ({reason}): see"
                f" `trailhouse quarantine show {partition}:{offset}`"
            )


def _parts(
    pending: Iterable[tuple[Receipt, Delivery]],
) -> Iterator[list[tuple[Receipt, Delivery]]]:
    part: list[tuple[Receipt, Delivery]] = []
    sessions: set[str] = set()
    session_bytes = 0
    for each in sorted(pending, key=lambda each: each[0].session_id):
        if each[0].session_id not in sessions:
            sessions.add(each[0].session_id)
            # A character takes four bytes of UTF-8 at most.
            session_bytes += 4 * len(each[0].session_id)
        part.append(each)
        if len(part) >= RECEIPTS_PER_QUERY or session_bytes > SESSION_BYTES_PER_QUERY:
            yield part
            part, sessions, session_bytes = [], set(), 0
    if part:
        yield part


def _late(
    pending: _Pending, receipts: int, timeout_seconds: float, away: StorageUnavailableError | None
) -> DeliveryTimeoutError:
    receipt, delivery = next(iter(pending.values()))
    reason = str(away) if away else "see `trailhouse status` for the worker's lag"
    return DeliveryTimeoutError(
        f"{len(pending)} of {receipts} events cannot be read within {timeout_seconds:g} s; the first is"
        f" {receipt.event_id} at {delivery.partition}:{delivery.offset}: {reason}"
    )
