"""What seals say of the balance: how far each logger has sealed, what is missing, and whose events nobody attests."""

from typing import Any

import msgspec

from trailhouse.operate.account.snapshot import Scope
from trailhouse.store.clickhouse import ClickHouse
from trailhouse.store.sequences import milliseconds

MAX_NAMED_PRODUCERS = 100
"""So many producers are named: those with most that is missing or disputed come first."""
SETTLED_LOOKS = 7
"""A seal that was looked at so often has waited for its records for ten minutes: they do not come."""


class ProducerStanding(msgspec.Struct, frozen=True, kw_only=True):
    """The events that say that one producer of one service has made them, by their standing.

    Attributes:
        service: The service that they name; empty for none.
        producer_id: The producer that they name; empty for none.
        sealed_up_to: The highest number that a seal of that service covers; None without one.
        is_closed: Whether its last seal has come: it makes no more events.
        missing: Numbers that its seals name, and whose records are not stored.
        attested: Events of it that a seal names.
        pending: Events whose seal is not due yet.
        unattested: Events that nobody enrolled stands behind.
        disputed: Events that contradict a seal or the policy.
    """

    service: str
    producer_id: str
    sealed_up_to: int | None
    is_closed: bool
    missing: int
    attested: int
    pending: int
    unattested: int
    disputed: int


class Attested(msgspec.Struct, frozen=True, kw_only=True):
    """All stored events by their standing, and the producers that are not attested throughout.

    Attributes:
        attested: Events that seals name.
        pending: Events whose seals are not due yet.
        unattested: Events that nobody enrolled stands behind.
        disputed: Events that contradict a seal or the policy.
        missing: Records that seals name and that have not come for ten minutes: Kafka, or somebody, has lost them.
        refused_seals: Seals that do not count: forged, malformed, or by a key that is unknown or was revoked.
        producers: Those with anything but attested events, MAX_NAMED_PRODUCERS at most: missing and disputed first.
        more_producers: How many more there are.
    """

    attested: int
    pending: int
    unattested: int
    disputed: int
    missing: int
    refused_seals: int
    producers: tuple[ProducerStanding, ...]
    more_producers: int


def attested(storage: ClickHouse, scope: Scope) -> Attested | None:
    """Return what seals say of the stored events in *scope*; None where the policy enrols nobody.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    [(enrolled,)] = storage.query("SELECT count() FROM services WHERE service != ''").rows
    if not enrolled:
        return None
    conditions, values = _of(scope)
    rows = storage.query(_sql(conditions), {**values, "producers": MAX_NAMED_PRODUCERS}).rows
    [(missing, refused)] = storage.query(
        f"""
        SELECT sumIf(missing, verdict = 'incomplete' AND looks >= {SETTLED_LOOKS}),
            countIf(verdict NOT IN ('whole', 'incomplete', 'broken'))
        FROM seal_checks FINAL
        """  # noqa: S608 - as above
    ).rows
    totals: tuple[int, ...] = rows[0][9:] if rows else (0, 0, 0, 0, 0)
    named = tuple(
        # Lax, for ClickHouse says 0 and 1.
        msgspec.convert(
            dict(zip(ProducerStanding.__struct_fields__, row, strict=False)),
            ProducerStanding,
            strict=False,
        )
        for row in rows
        if row[4] or any(row[6:9])
    )
    return Attested(
        attested=totals[0],
        pending=totals[1],
        unattested=totals[2],
        disputed=totals[3],
        missing=missing,
        refused_seals=refused,
        producers=named,
        more_producers=totals[4] - len(named),
    )


def _sql(conditions: str) -> str:
    """Return the SELECT of each producer, those that are not attested throughout first, with the sums over all."""
    return f"""
    SELECT service, producer_id, sealed_up_to, is_closed, missing, attested, pending, unattested, disputed,
        sum(attested) OVER (), sum(pending) OVER (), sum(unattested) OVER (), sum(disputed) OVER (),
        countIf(attested < events OR missing > 0) OVER ()
    FROM (
        SELECT JSONExtractString(record, 'source', 'service') AS service, producer_id, count() AS events,
            countIf(standing = 'attested') AS attested, countIf(standing = 'pending') AS pending,
            countIf(standing = 'unattested') AS unattested, countIf(standing = 'disputed') AS disputed
        FROM events_with_standing WHERE {conditions} GROUP BY service, producer_id
    ) AS stored
    LEFT JOIN (
        SELECT service, producer_id, toNullable(max(last_seq)) AS sealed_up_to, max(end_seq) > 0 AS is_closed,
            sumIf(missing, verdict = 'incomplete' AND looks >= {SETTLED_LOOKS}) AS missing
        FROM seal_checks FINAL WHERE verdict IN ('whole', 'incomplete', 'broken') GROUP BY service, producer_id
    ) AS sealed USING (service, producer_id)
    ORDER BY attested < events OR missing > 0 DESC, missing + disputed DESC, unattested DESC, service, producer_id
    LIMIT {{producers:UInt32}}
    SETTINGS join_use_nulls = 0
    """  # noqa: S608 - names of ours; every value is a bound parameter


def _of(scope: Scope) -> tuple[str, dict[str, Any]]:
    conditions, values = ["true"], dict[str, Any]()
    if scope.since is not None:
        conditions.append("appended_at >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC')")
        values["since_ms"] = milliseconds(scope.since)
    if scope.session_id is not None:
        conditions.append("session_id = {session_id:String}")
        values["session_id"] = scope.session_id
    return " AND ".join(conditions), values
