"""Seals as they are stored: those that are to be judged, the records that they name, and what is written down."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from trailhouse.attesting.judgement import Judgement, SealState, StoredRecord, version_of
from trailhouse.proof.policy import Policy
from trailhouse.proof.seal import SEAL_TYPE, SHORT_DIGEST_BYTES, Seal
from trailhouse.proof.standing import Standing
from trailhouse.store.clickhouse import ClickHouse
from trailhouse.store.tables import EVENT_STANDINGS, POLICY_SERVICES, SEAL_CHECKS

SEALS_A_ROUND = 200
MAX_ROUND_BYTES = 16_777_216
"""Of the seals' records together, but for one that is larger by itself."""
MAX_SEAL_BYTES = 20_000_000
"""A record above this is no seal: nobody seals so many numbers at once."""
CARRYING_AT_ONCE = 100
"""Last seals whose records are in memory at a time: a tenth of a megabyte each."""
MOST_LOOKS = 20
FIRST_LOOK_AGAIN_SECONDS = 5
"""A seal of which records are missing is looked at again after this, then twice as long, MOST_LOOKS times in all."""
_COUNTED = ", ".join(f"'{each}'" for each in SealState if each.counts)
_PLACE = "kafka_topic_id, kafka_partition, kafka_offset"
_CARRIER = (
    "session_id, tenant_id, occurred_us, record_key, kafka_topic, kafka_topic_id, kafka_partition, kafka_offset,"
    " toUnixTimestamp64Milli(appended_at) AS appended_ms"
)
_CUT_OFF = """
    SELECT kafka_topic_id, kafka_partition FROM event_incidents WHERE kind IN ('truncated', 'forked', 'recreated')
"""
_DIGESTS = "tryBase64Decode(JSONExtractString(record, 'data', 'digests'))"
SHORT_DIGESTS = (
    f"reinterpret(substring({_DIGESTS} AS digests, 1, length(digests) - length(digests) % {SHORT_DIGEST_BYTES}),"
    " 'Array(UInt64)')"
)
"""The short digests of a seal's `record`, as numbers.

Not each by a `substring` behind ARRAY JOIN: that copies all of them for each, 800 MB for a seal of 10,000.
"""
SHORT_KEY = f"reinterpretAsUInt64(substring(record_key, 1, {SHORT_DIGEST_BYTES}))"
"""What a row's short digest is, as such a number."""


class Carrier(NamedTuple):
    """The stored event that carries a seal: its key, where Kafka holds it, and how often it was judged."""

    session_id: str
    tenant_id: str
    occurred_us: int
    record_key: bytes
    topic: str
    topic_id: str
    partition: int
    offset: int
    appended_ms: int
    looks: int
    size_bytes: int

    @property
    def order(self) -> tuple[int, str, int, int]:
        """By this it is told which of two seals was logged first."""
        return self.appended_ms, self.topic_id, self.partition, self.offset


class EarlierSeal(NamedTuple):
    """A seal that counts and was judged: for which numbers it has decided, and when it was logged."""

    service: str
    producer_id: str
    first_seq: int
    last_seq: int
    seal_hash: bytes
    order: tuple[int, str, int, int]


class SealRow(NamedTuple):
    """One row of `seal_checks`."""

    carrier: Carrier
    verdict: SealState
    judgement: Judgement | None = None
    producer_id: str = ""
    service: str = ""
    first_seq: int = 0
    last_seq: int = 0
    end_seq: int = 0
    seal_hash: bytes = bytes(16)
    public_key: str = ""


def new_carriers(clickhouse: ClickHouse) -> list[Carrier]:
    """Return seals behind those that were judged in their partitions, in Kafka's order, as many as a round takes.

    Of a partition that Kafka has cut off, new ones stand below those that were judged: each is new that was not.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    rows = clickhouse.query(
        f"""
        SELECT {_CARRIER}, toUInt16(0), toUInt32(length(record)) FROM event_log
        LEFT JOIN (
            SELECT kafka_topic_id, kafka_partition, max(kafka_offset) + 1 AS next_offset
            FROM seal_checks GROUP BY kafka_topic_id, kafka_partition
        ) AS judged USING (kafka_topic_id, kafka_partition)
        WHERE type = {{type:String}} AND (kafka_offset >= next_offset
            OR (kafka_topic_id, kafka_partition) IN ({_CUT_OFF}) AND record_key NOT IN (
                SELECT seal_key FROM seal_checks WHERE (kafka_topic_id, kafka_partition) IN ({_CUT_OFF})
            ))
        ORDER BY {_PLACE} LIMIT {{rows:UInt32}}
        SETTINGS join_use_nulls = 0
        """,  # noqa: S608 - names of ours; every value is a bound parameter
        {"type": SEAL_TYPE, "rows": SEALS_A_ROUND},
    ).rows
    return _fitting(Carrier(*row) for row in rows)


def carriers_again(clickhouse: ClickHouse, policy: Policy) -> list[Carrier]:
    """Return seals to be judged anew: records were missing, or the policy says something else of their key.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    rows = clickhouse.query(
        f"""
        SELECT session_id, tenant_id, occurred_us, seal_key, kafka_topic, {_PLACE},
            toUnixTimestamp64Milli(appended_at), looks, toUInt32(0)
        FROM seal_checks AS done FINAL
        LEFT JOIN services AS policy ON done.public_key = policy.public_key AND done.service = policy.service
        WHERE (verdict = '{SealState.INCOMPLETE}' AND looks < {MOST_LOOKS}
                AND judged_at < now64(3) - toIntervalSecond({FIRST_LOOK_AGAIN_SECONDS} * exp2(looks)))
            OR (policy_version < {{version:UInt32}} AND if(policy.changed_in > 0,
                policy_version < policy.changed_in, verdict IN ({_COUNTED})))
        ORDER BY judged_at LIMIT {{rows:UInt32}}
        SETTINGS join_use_nulls = 0
        """,  # noqa: S608 - as above
        {"version": policy.version, "rows": SEALS_A_ROUND},
    ).rows
    return [Carrier(*row) for row in rows]


def records_of(clickhouse: ClickHouse, carriers: Sequence[Carrier]) -> dict[bytes, bytes]:
    """Return the record of each carrier that is in the log, by its key.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    condition, values = of_carriers(carriers)
    rows = clickhouse.query(
        f"SELECT record_key, record FROM event_log WHERE {condition}",  # noqa: S608 - as above
        values,
        bytes_columns=("record",),
    ).rows
    return dict(rows)


def named_records(
    clickhouse: ClickHouse, carriers: Sequence[Carrier], erased: Callable[[], Mapping[bytes, bytes]]
) -> list[StoredRecord]:
    """Return the stored records whose number and first bytes of the digest are as the seals of *carriers* say.

    Of a blank row the digest is taken from *erased*, the operators' orders, by its key; it is no record without one.

    ClickHouse takes the seals apart by itself for this: what it finds is held against the seals as we read them. The
    records of strangers under the same numbers are left where they are, however many they be.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    condition, values = of_carriers(carriers)
    sealed = f"""
        SELECT JSONExtractString(record, 'data', 'producer_id') AS sealed_by,
            JSONExtractUInt(record, 'data', 'first_seq') AS first,
            {SHORT_DIGESTS} AS shorts
        FROM event_log WHERE {condition}
    """  # noqa: S608 - as above
    rows = clickhouse.query(
        f"""
        WITH sealed AS ({sealed})
        SELECT DISTINCT producer_id, assumeNotNull(seq), occurred_us, record_key, tenant_id,
            JSONExtractString(record, 'source', 'service'), SHA256(record), type = {{type:String}} AND tenant_id = '',
            record = ''
        FROM event_log
        PREWHERE producer_id IN (SELECT sealed_by FROM sealed) AND isNotNull(seq)
            AND (producer_id, assumeNotNull(seq), {SHORT_KEY}) IN (
                SELECT sealed_by, first + place, short
                FROM sealed ARRAY JOIN shorts AS short, range(length(shorts)) AS place
            )
        """,  # noqa: S608 - as above
        values,
    ).rows
    return list(_whole(map(StoredRecord._make, rows), erased))


def _whole(
    records: Iterable[StoredRecord], erased: Callable[[], Mapping[bytes, bytes]]
) -> Iterator[StoredRecord]:
    for each in records:
        if not each.is_erased:
            yield each
        elif (digest := erased().get(each.record_key)) is not None:
            yield each._replace(digest=digest)


def carrying_records(
    clickhouse: ClickHouse, seals: Sequence[Seal]
) -> dict[tuple[str, int], list[tuple[StoredRecord, bytes]]]:
    """Return by producer and number the records of seals that have the number which one of *seals* gives itself.

    Of each the first appended first, with their bytes; no more than a round takes.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    found: dict[tuple[str, int], list[tuple[StoredRecord, bytes]]] = {}
    own = list(dict.fromkeys((each.producer_id, each.own_seq) for each in seals))
    for begin in range(0, len(own), CARRYING_AT_ONCE):
        part = own[begin : begin + CARRYING_AT_ONCE]
        rows = clickhouse.query(
            f"""
            SELECT producer_id, number, occurred_us, record_key, tenant_id,
                JSONExtractString(record, 'source', 'service'), SHA256(record), true, record
            FROM (
                SELECT *, assumeNotNull(seq) AS number FROM event_log
                WHERE type = {{type:String}} AND isNotNull(seq) AND producer_id IN {{producers:Array(String)}}
                    AND (toString(producer_id), assumeNotNull(seq)) IN {{own:Array(Tuple(String, UInt64))}}
                ORDER BY appended_at, {_PLACE} LIMIT 1 BY producer_id, number, record_key
            )
            ORDER BY appended_at, {_PLACE} LIMIT {{rows:UInt32}} BY producer_id, number
            """,  # noqa: S608 - as above
            {
                "type": SEAL_TYPE,
                "producers": [producer for producer, _ in part],
                "own": part,
                "rows": SEALS_A_ROUND,
            },
            bytes_columns=("record",),
        ).rows
        for *row, content in rows:
            record = StoredRecord(*row)
            found.setdefault((record.producer_id, record.seq), []).append((record, content))
    return found


def earlier_seals(clickhouse: ClickHouse, producer_ids: Sequence[str]) -> list[EarlierSeal]:
    """Return the seals that count of these loggers, of those that were judged.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    rows = clickhouse.query(
        f"""
        SELECT service, producer_id, first_seq, last_seq, seal_hash, toUnixTimestamp64Milli(appended_at), {_PLACE}
        FROM seal_checks FINAL WHERE producer_id IN {{ids:Array(String)}} AND verdict IN ({_COUNTED})
        """,  # noqa: S608 - as above
        {"ids": list(producer_ids)},
    ).rows
    return [
        EarlierSeal(
            service, producer_id, first, last, seal_hash, (at_ms, topic_id, partition, offset)
        )
        for service, producer_id, first, last, seal_hash, at_ms, topic_id, partition, offset in rows
    ]


def write_services(clickhouse: ClickHouse, policy: Policy) -> None:
    """Write down for readers what *policy* says of services, if it is not; older versions never count again.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    rows = clickhouse.query(
        "SELECT version, service, public_key, tenants, last_anchor, changed_in FROM services"
    ).rows
    if rows and rows[0][0] >= policy.version:
        return
    before = {(row[1], row[2]): (tuple(row[3]), row[4], row[5]) for row in rows}
    said: dict[tuple[str, str], tuple[tuple[str, ...], int | None]] = {
        ("", ""): (tuple(policy.unsealed_tenants), None)
    }
    said |= {
        (key.service, key.public_key): (tuple(key.tenants), key.last_anchor)
        for key in policy.services
    }
    changed = [
        before[key][2] if key in before and before[key][:2] == now else policy.version
        for key, now in said.items()
    ]
    columns: Mapping[str, Sequence[Any]] = {
        "version": [policy.version] * len(said),
        "service": [service for service, _ in said],
        "public_key": [public_key for _, public_key in said],
        "tenants": [tenants for tenants, _ in said.values()],
        "last_anchor": [last_anchor for _, last_anchor in said.values()],
        "changed_in": changed,
    }
    clickhouse.insert(POLICY_SERVICES.block(columns))


def write_standings(
    clickhouse: ClickHouse, standings: Mapping[tuple[int, bytes], Standing], policy: Policy
) -> None:
    """Write the standing of events; to write it again is harmless.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    # In order, as they will lie.
    ordered = sorted(standings.items())
    clickhouse.insert(
        EVENT_STANDINGS.block(
            {
                "occurred_us": [at_us for (at_us, _), _ in ordered],
                "record_key": [key for (_, key), _ in ordered],
                "standing": [standing.value for _, standing in ordered],
                "ver": [version_of(policy, standing) for _, standing in ordered],
            }
        )
    )


def write_checks(
    clickhouse: ClickHouse, rows: Sequence[SealRow], policy: Policy, now_ms: int
) -> None:
    """Write what was found of seals: they are not met as new ones again.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    clickhouse.insert(
        SEAL_CHECKS.block(
            {
                "producer_id": [each.producer_id for each in rows],
                "service": [each.service for each in rows],
                "first_seq": [each.first_seq for each in rows],
                "last_seq": [each.last_seq for each in rows],
                "end_seq": [each.end_seq for each in rows],
                "session_id": [each.carrier.session_id for each in rows],
                "tenant_id": [each.carrier.tenant_id for each in rows],
                "occurred_us": [each.carrier.occurred_us for each in rows],
                "seal_key": [each.carrier.record_key for each in rows],
                "seal_hash": [each.seal_hash for each in rows],
                "public_key": [each.public_key for each in rows],
                "verdict": [each.verdict.value for each in rows],
                "sealed": [each.judgement.sealed if each.judgement else 0 for each in rows],
                "missing": [each.judgement.missing if each.judgement else 0 for each in rows],
                "policy_version": [policy.version] * len(rows),
                "looks": [each.carrier.looks + 1 for each in rows],
                "kafka_topic": [each.carrier.topic for each in rows],
                "kafka_topic_id": [each.carrier.topic_id for each in rows],
                "kafka_partition": [each.carrier.partition for each in rows],
                "kafka_offset": [each.carrier.offset for each in rows],
                "appended_at": [each.carrier.appended_ms for each in rows],
                "judged_at": [now_ms] * len(rows),
            }
        )
    )


def _fitting(carriers: Iterable[Carrier]) -> list[Carrier]:
    taken: list[Carrier] = []
    total = 0
    for each in carriers:
        total += each.size_bytes if each.size_bytes <= MAX_SEAL_BYTES else 0
        if taken and total > MAX_ROUND_BYTES:
            break
        taken.append(each)
    return taken


def of_carriers(carriers: Sequence[Carrier]) -> tuple[str, dict[str, Any]]:
    """Return the condition by which the rows of *carriers* are found in `event_log`, and its parameters."""
    condition = (
        "type = {type:String} AND session_id IN {sessions:Array(String)} AND tenant_id IN {tenants:Array(String)}"
        " AND occurred_us IN {times:Array(Int64)} AND hex(record_key) IN {keys:Array(String)}"
        f" AND length(record) <= {MAX_SEAL_BYTES}"
    )
    return condition, {
        "type": SEAL_TYPE,
        "sessions": list(dict.fromkeys(each.session_id for each in carriers)),
        "tenants": list(dict.fromkeys(each.tenant_id for each in carriers)),
        "times": list(dict.fromkeys(each.occurred_us for each in carriers)),
        "keys": list(dict.fromkeys(each.record_key.hex().upper() for each in carriers)),
    }
