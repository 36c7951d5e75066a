"""Ask for the standing of events that were read already: what seals say of them, and the policy for the rest."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from trailhouse.proof.seal import SEAL_TYPE
from trailhouse.proof.standing import Claimed, Enrolled, Sealed, Standing, standing_of
from trailhouse.query.budget import Asks
from trailhouse.schemas.errors import StorageRejectedError
from trailhouse.store.tables import LATEST_MS

POLICY_SECONDS = 5.0
"""So long what the policy says of services is taken to be as it was."""
KEYS_PER_QUERY = 400
"""A statement's values travel in its address, which servers and proxies bound."""


Key = tuple[str, str, int, bytes]
"""Session, tenant, time and record_key: what finds an event in the log."""
_BY_KEY = (
    "session_id IN {sessions:Array(String)} AND tenant_id IN {tenants:Array(String)}"
    " AND occurred_us IN {times:Array(Int64)} AND hex(record_key) IN {keys:Array(String)}"
)


class Subject(NamedTuple):
    """An event that was read: what finds it, and who it says has made it. `appended_ms` is None where nobody asked."""

    session_id: str
    tenant_id: str
    occurred_us: int
    record_key: bytes
    service: str
    producer_id: str
    seq: int | None
    is_seal: bool
    appended_ms: int | None = None


class Standings:
    """Asks for standings; where the policy enrols nobody, or this reader may not see it, there are none.

    Safe to share between threads.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._clock, self._now = clock, now
        self._lock = threading.Lock()
        self._policy: Enrolled | None = None
        self._asked_at: float | None = None

    def policy(self, clickhouse: Asks) -> Enrolled | None:
        """Return what the newest policy says of services; None where it enrols none.

        Raises:
            StorageUnavailableError: ClickHouse is away. Retriable.
        """
        with self._lock:
            now = self._clock()
            if self._asked_at is None or now - self._asked_at > POLICY_SECONDS:
                self._policy, self._asked_at = _policy(clickhouse), now
            return self._policy

    def of(self, clickhouse: Asks, subjects: Sequence[Subject]) -> list[Standing | None]:
        """Return the standing of each of *subjects*; None of all of them where there is no policy.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        policy = self.policy(clickhouse) if subjects else None
        if policy is None:
            return [None] * len(subjects)
        judged = _judged(clickhouse, subjects)
        # Of these alone more must be known: the others are decided, or name nobody who is enrolled.
        open_ones = [
            each
            for each in subjects
            if (each.occurred_us, each.record_key) not in judged
            and each.seq is not None
            and each.producer_id
            and each.service in policy.tenants
        ]
        seals = _seals(clickhouse, open_ones)
        appended = _appended(clickhouse, [each for each in open_ones if each.appended_ms is None])
        return [
            standing_of(
                Claimed(
                    each.service,
                    each.producer_id,
                    each.seq,
                    each.tenant_id,
                    self._age(each.appended_ms or appended.get(each.record_key)),
                    each.is_seal,
                ),
                judged.get((each.occurred_us, each.record_key)),
                policy,
                seals.get(each.producer_id, ()),
            )
            for each in subjects
        ]

    def _age(self, appended_ms: int | None) -> float | None:
        if appended_ms is None or appended_ms >= LATEST_MS:
            return None
        return self._now() - appended_ms / 1_000


def _policy(clickhouse: Asks) -> Enrolled | None:
    try:
        rows = clickhouse.query("SELECT service, tenants FROM services").rows
    except StorageRejectedError:
        return None
    tenants: dict[str, frozenset[str]] = {}
    for service, allowed in rows:
        tenants[service] = tenants.get(service, frozenset()) | frozenset(allowed)
    unsealed = tenants.pop("", frozenset())
    return Enrolled(tenants, unsealed) if tenants else None


def _judged(clickhouse: Asks, subjects: Sequence[Subject]) -> dict[tuple[int, bytes], Standing]:
    found: dict[tuple[int, bytes], Standing] = {}
    for part in _parts(subjects):
        rows = clickhouse.query(
            "SELECT occurred_us, record_key, standing FROM standings"
            " WHERE occurred_us IN {times:Array(Int64)} AND hex(record_key) IN {keys:Array(String)}",
            {
                "times": list({each.occurred_us for each in part}),
                "keys": [each.record_key.hex().upper() for each in part],
            },
        ).rows
        found |= {(at_us, key): Standing(standing) for at_us, key, standing in rows}
    return found


def _seals(clickhouse: Asks, subjects: Sequence[Subject]) -> dict[str, list[Sealed]]:
    """Return the seals that count and say something of one of the numbers of *subjects*, by logger."""
    found: dict[str, list[Sealed]] = {}
    for part in _parts(subjects):
        rows = clickhouse.query(
            """
            SELECT DISTINCT producer_id, service, first_seq, last_seq, end_seq FROM seals
            WHERE verdict IN ('whole', 'incomplete', 'broken') AND producer_id IN {ids:Array(String)}
                AND arrayExists((id, seq) -> id = producer_id AND (seq BETWEEN first_seq AND last_seq
                    OR end_seq > 0 AND seq >= end_seq), {ids:Array(String)}, {numbers:Array(UInt64)})
            """,
            {
                "ids": [each.producer_id for each in part],
                "numbers": [each.seq for each in part],
            },
        ).rows
        for producer_id, *sealed in rows:
            found.setdefault(producer_id, []).append(Sealed(*sealed))
    return found


def stored_subjects(clickhouse: Asks, keys: Sequence[Key]) -> list[Subject]:
    """Return what the standing of the events of *keys* is asked by, as their records say it; without those not there.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    found: list[Subject] = []
    for start in range(0, len(keys), KEYS_PER_QUERY):
        part = keys[start : start + KEYS_PER_QUERY]
        rows = clickhouse.query(
            "SELECT session_id, tenant_id, occurred_us, record_key,"  # noqa: S608 - no value in it
            " JSONExtractString(record, 'source', 'service'), producer_id, seq,"
            f" type = '{SEAL_TYPE}' AND tenant_id = '', toUnixTimestamp64Milli(appended_at)"
            f" FROM events WHERE {_BY_KEY}",
            _by_key(part),
        ).rows
        found += [Subject(*row) for row in rows]
    return found


def _appended(clickhouse: Asks, subjects: Sequence[Subject]) -> dict[bytes, int]:
    """Return when Kafka took each of *subjects*, by key: the first copy of it."""
    found: dict[bytes, int] = {}
    for part in _parts(subjects):
        rows = clickhouse.query(
            f"SELECT record_key, toUnixTimestamp64Milli(appended_at) FROM events WHERE {_BY_KEY}",  # noqa: S608 - no value in it
            _by_key([each[:4] for each in part]),
        ).rows
        found |= dict(rows)
    return found


def _by_key(keys: Sequence[Key]) -> dict[str, Any]:
    return {
        "sessions": list({session_id for session_id, _, _, _ in keys}),
        "tenants": list({tenant_id for _, tenant_id, _, _ in keys}),
        "times": list({at_us for _, _, at_us, _ in keys}),
        "keys": [key.hex().upper() for _, _, _, key in keys],
    }


def _parts(subjects: Sequence[Subject]) -> Iterator[list[Subject]]:
    rest = iter(subjects)
    while part := list(islice(rest, KEYS_PER_QUERY)):
        yield part
