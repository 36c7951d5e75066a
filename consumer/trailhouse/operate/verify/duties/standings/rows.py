"""What is stored for readers of seals and standings, read back: services, checks of seals, standings of events."""

import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from trailhouse.attesting.judgement import SealState
from trailhouse.attesting.stored_seals import (
    MAX_SEAL_BYTES,
    SHORT_DIGESTS,
    SHORT_KEY,
    Carrier,
)
from trailhouse.operate.verify.rows.unseen import Unseen
from trailhouse.proof.seal import SEAL_TYPE, seal_session
from trailhouse.store.clickhouse import ClickHouse

CARRIERS_AT_ONCE = 20_000
SEALS_A_ROUND = 1_000
ROUND_BYTES = 16 * 1024 * 1024
"""Of seals' records: two million records are named by them."""
DRAWN_SEALS = 20
"""So many that an earlier run has seen are looked at again: half a second if each is of ten thousand events."""
ROWS_PER_BUCKET = 20_000_000
"""ClickHouse holds the first bytes of so many digests at a time."""
KEYS_PER_BUCKET = 5_000_000
"""It groups by so many keys at a time: a quarter of a gigabyte."""
MOST_TOLD = 1_000
MOST_UNCOUNTED = 10_000
"""So many seals that no worker has judged are left out by name: half a megabyte of a statement."""
_KEY = struct.Struct("<q16s")
_UNCOUNTED = ", ".join(f"'{each}'" for each in SealState if not each.counts and each != "revoked")
_CARRIERS = f"""
    SELECT session_id, tenant_id, occurred_us, record_key, kafka_topic, kafka_topic_id, kafka_partition, kafka_offset,
        toUnixTimestamp64Milli(appended_at), toUInt16(0), toUInt32(length(record))
    FROM event_log
    WHERE type = '{SEAL_TYPE}' AND ({{}} OR hex(record_key) IN {{{{drawn:Array(String)}}}} OR record_key IN (
            SELECT seal_key FROM seal_checks FINAL WHERE verdict = '{SealState.INCOMPLETE}' OR looks > 1 OR end_seq > 0
        ) OR record_key NOT IN (SELECT seal_key FROM seal_checks))
        AND (kafka_topic_id, kafka_partition, toInt64(kafka_offset))
            > ({{{{topic_id:String}}}}, {{{{partition:UInt16}}}}, {{{{offset:Int64}}}})
    ORDER BY kafka_topic_id, kafka_partition, kafka_offset LIMIT {CARRIERS_AT_ONCE}
"""  # noqa: S608 - names of ours; every value is a bound parameter
_DRAWN = f"""
    WITH seen AS (SELECT DISTINCT record_key FROM event_log WHERE type = '{SEAL_TYPE}' AND NOT ({{}}))
    SELECT record_key, (SELECT count() FROM seen) FROM seen
    ORDER BY sipHash64Keyed(({{{{key_0:UInt64}}}}, {{{{key_1:UInt64}}}}), record_key) LIMIT {{{{most:UInt32}}}}
"""  # noqa: S608 - as above
_CHECKS = """
    SELECT seal_key, producer_id, service, first_seq, last_seq, end_seq, session_id, tenant_id, occurred_us, seal_hash,
        public_key, verdict, sealed, missing, policy_version, looks,
        toUnixTimestamp64Milli(judged_at), judged_at > now64(3) + INTERVAL 1 HOUR
    FROM seal_checks FINAL WHERE hex(seal_key) IN {keys:Array(String)}
"""
_DIGESTS = f"""
    SELECT arrayJoin({SHORT_DIGESTS}) AS short FROM event_log
    WHERE type = '{SEAL_TYPE}' AND length(record) <= {MAX_SEAL_BYTES} AND {{}}
"""  # noqa: S608 - as above
_STANDINGS = f"""
    SELECT occurred_us, record_key, standing, ver FROM event_standings FINAL
    WHERE occurred_us BETWEEN {{first:Int64}} AND {{last:Int64}}
        AND (hex(record_key) IN {{closing:Array(String)}} OR {SHORT_KEY} IN (
            {_DIGESTS.format("hex(record_key) IN {keys:Array(String)}")}
        ))
"""  # noqa: S608 - as above
_MAY_COUNT = (
    f"record_key NOT IN (SELECT seal_key FROM seal_checks FINAL WHERE verdict IN ({_UNCOUNTED}))"  # noqa: S608 - as above
    " AND hex(record_key) NOT IN {uncounted:Array(String)}"
)
_UNNAMED = f"""
    SELECT occurred_us, record_key FROM event_standings FINAL
    WHERE {SHORT_KEY} % {{buckets:UInt32}} = {{bucket:UInt32}} AND {SHORT_KEY} NOT IN (
        SELECT short FROM (
            {_DIGESTS.format(_MAY_COUNT)}
        ) WHERE short % {{buckets:UInt32}} = {{bucket:UInt32}}
    ) AND {{spared}}
"""  # noqa: S608 - as above
_AT_TWO_TIMES = f"""
    SELECT max(occurred_us), record_key FROM event_standings FINAL
    WHERE {SHORT_KEY} % {{buckets:UInt32}} = {{bucket:UInt32}}
    GROUP BY record_key HAVING count() > 1 LIMIT {MOST_TOLD}
"""  # noqa: S608 - as above
_OF_LOGGERS = "record_key NOT IN (SELECT record_key FROM event_log WHERE producer_id IN {loggers:Array(String)})"
_ERASED_SEALS = f"""
    SELECT DISTINCT arrayJoin([toString(producer_id), substring(session_id, {len(seal_session("")) + 1})])
    FROM event_log WHERE type = '{SEAL_TYPE}' AND record = ''
"""  # noqa: S608 - as above
_STRANGERS = """
    SELECT kafka_topic, kafka_topic_id, kafka_partition, kafka_offset FROM seal_checks
    WHERE (kafka_topic_id, kafka_partition, kafka_offset, seal_key) NOT IN (
        SELECT kafka_topic_id, kafka_partition, kafka_offset, toFixedString(substring(digest, 1, 16), 16)
        FROM log_leaves
        WHERE (kafka_topic_id, kafka_partition, kafka_offset) IN (
            SELECT kafka_topic_id, kafka_partition, kafka_offset FROM seal_checks
        )
    ) AND (kafka_topic_id, kafka_partition, kafka_offset, seal_key) NOT IN (
        SELECT kafka_topic_id, kafka_partition, kafka_offset, record_key FROM event_log WHERE type = 'audit_sealed'
    )
    ORDER BY kafka_topic, kafka_topic_id, kafka_partition, kafka_offset LIMIT 1000
"""


class SealCheck(NamedTuple):
    """A row of `seal_checks`, but for where its seal was.

    `is_ahead`: it claims to have been judged after now, so that it is not looked at again.
    """

    seal_key: bytes
    producer_id: str
    service: str
    first_seq: int
    last_seq: int
    end_seq: int
    session_id: str
    tenant_id: str
    occurred_us: int
    seal_hash: bytes
    public_key: str
    verdict: str
    sealed: int
    missing: int
    policy_version: int
    looks: int
    judged_ms: int
    is_ahead: bool


class ServiceRows(NamedTuple):
    """The newest rows of `policy_services`: of which version; by service and key: tenants, last anchor, changed in."""

    version: int
    services: Mapping[tuple[str, str], tuple[tuple[str, ...], int | None, int]]
    seen: int
    """The newest policy that a seal or an event was judged by."""


class Unnamed(NamedTuple):
    """Which standings need no seal that names them, and which seals name nothing.

    `closing` are the records of last seals; `loggers` are those of which a seal was erased; `uncounted` are keys of
    seals that do not count.
    """

    closing: Collection[tuple[int, bytes]] = ()
    loggers: Collection[str] = ()
    uncounted: Collection[bytes] = ()


UNNAMED = Unnamed()


def service_rows(clickhouse: ClickHouse) -> ServiceRows:
    """Return what readers are told of services.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    rows = clickhouse.query(
        "SELECT version, service, public_key, tenants, last_anchor, changed_in FROM policy_services FINAL"
        " WHERE version = (SELECT max(version) FROM policy_services)"
    ).rows
    [(seen,)] = clickhouse.query(
        "SELECT greatest((SELECT max(policy_version) FROM seal_checks),"
        " (SELECT intDiv(max(ver), 4) FROM event_standings))"
    ).rows
    services = {
        (str(service), str(key)): (tuple(map(str, tenants)), last_anchor, int(changed_in))
        for _, service, key, tenants, last_anchor, changed_in in rows
    }
    return ServiceRows(int(rows[0][0]) if rows else 0, services, int(seen or 0))


def judged_until(clickhouse: ClickHouse) -> dict[tuple[str, int], int]:
    """Return, by topic id and partition, the last offset of a seal that was judged.

    Raises:
        StorageError: As `service_rows`.
    """
    rows = clickhouse.query(
        "SELECT kafka_topic_id, kafka_partition, max(kafka_offset) FROM seal_checks GROUP BY ALL"
    ).rows
    return {(str(topic_id), int(partition)): int(last) for topic_id, partition, last in rows}


class Drawn(NamedTuple):
    """Seals that an earlier run has seen: how many there are, and the keys of those that are looked at again."""

    total: int
    keys: Collection[bytes]


def drawn_seals(clickhouse: ClickHouse, new: Unseen, secret: bytes) -> Drawn:
    """Return some seals that are not *new*, drawn by *secret*: who changes what they say cannot know which are left.

    Raises:
        StorageError: As `service_rows`.
    """
    first, last = (int.from_bytes(part, "big") for part in (secret[:8], secret[8:16]))
    values = {**new.parameters, "key_0": first, "key_1": last, "most": DRAWN_SEALS}
    rows = clickhouse.query(_DRAWN.format(new.condition), values).rows
    return Drawn(int(rows[0][1]) if rows else 0, frozenset(key for key, _ in rows))


def rounds(
    clickhouse: ClickHouse, new: Unseen, drawn: Collection[bytes] = ()
) -> Iterator[list[Carrier]]:
    """Yield the events that carry seals, in the order of their places, as many as are judged at a time.

    Of those that are not *new*, the last seals, those that were judged more than once or lack records, and those that
    nobody has judged: what is shown of these changes later. And those with the keys *drawn*.

    Raises:
        StorageError: As `service_rows`.
    """
    after: tuple[str, int, int] = ("", 0, -1)
    sql = _CARRIERS.format(new.condition)
    while True:
        place = {"topic_id": after[0], "partition": after[1], "offset": after[2]}
        values = {**new.parameters, **place, "drawn": [key.hex().upper() for key in drawn]}
        each = [Carrier(*row) for row in clickhouse.query(sql, values).rows]
        yield from _fitting(each)
        if len(each) < CARRIERS_AT_ONCE:
            return
        last = each[-1]
        after = (last.topic_id, last.partition, last.offset)


def _fitting(carriers: Sequence[Carrier]) -> Iterator[list[Carrier]]:
    taken: list[Carrier] = []
    total = 0
    for each in carriers:
        size = each.size_bytes if each.size_bytes <= MAX_SEAL_BYTES else 0
        if taken and (total + size > ROUND_BYTES or len(taken) >= SEALS_A_ROUND):
            yield taken
            taken, total = [], 0
        taken.append(each)
        total += size
    if taken:
        yield taken


def checks_of(clickhouse: ClickHouse, carriers: Sequence[Carrier]) -> dict[bytes, list[SealCheck]]:
    """Return what is stored of the seals of *carriers*, by the keys of their events.

    Raises:
        StorageError: As `service_rows`.
    """
    keys = list({each.record_key.hex().upper() for each in carriers})
    found: dict[bytes, list[SealCheck]] = {}
    for row in clickhouse.query(_CHECKS, {"keys": keys}).rows:
        found.setdefault(row[0], []).append(SealCheck(*row))
    return found


def standings_of(
    clickhouse: ClickHouse,
    carriers: Sequence[Carrier],
    events: Collection[tuple[int, bytes]],
    closing: Collection[tuple[int, bytes]],
) -> dict[tuple[int, bytes], tuple[str, int]]:
    """Return standing and version of *events*, as stored: those that the seals of *carriers* name, and *closing*.

    Raises:
        StorageError: As `service_rows`.
    """
    if not events:
        return {}
    times = [at_us for at_us, _ in events]
    rows = clickhouse.query(
        _STANDINGS,
        {
            "first": min(times),
            "last": max(times),
            "keys": list({each.record_key.hex().upper() for each in carriers}),
            "closing": [key.hex().upper() for _, key in closing],
        },
    ).rows
    return {(int(at_us), key): (str(standing), int(ver)) for at_us, key, standing, ver in rows}


def loggers_of_erased_seals(clickhouse: ClickHouse) -> list[str]:
    """Return the producer ids of loggers of which a seal was erased, by its own row or by its session's name.

    Raises:
        StorageError: As `service_rows`.
    """
    return [str(logger) for (logger,) in clickhouse.query(_ERASED_SEALS).rows if logger]


def unnamed_standings(clickhouse: ClickHouse, beside: Unnamed = UNNAMED) -> list[tuple[int, bytes]]:
    """Return events with a standing that no seal names, nor are excepted by *beside*; at most `MOST_TOLD`.

    Raises:
        StorageError: As `service_rows`.
    """
    rows = int(clickhouse.query("SELECT count() FROM event_standings").rows[0][0])
    buckets = rows // ROWS_PER_BUCKET + 1
    found: list[tuple[int, bytes]] = []
    sql = _UNNAMED.replace("{spared}", _OF_LOGGERS if beside.loggers else "true")
    excepted = {
        "loggers": list(beside.loggers),
        "uncounted": [key.hex().upper() for key in beside.uncounted],
    }
    for bucket in range(buckets):
        left = b""
        values = {"buckets": buckets, "bucket": bucket, **excepted}
        for piece in clickhouse.stream(sql, values, format="RowBinary"):
            content = left + piece
            whole = len(content) - len(content) % _KEY.size
            for pair in _KEY.iter_unpack(content[:whole]):
                if pair not in beside.closing and len(found) < MOST_TOLD:
                    found.append(pair)
            left = content[whole:]
    return found


def standings_at_two_times(clickhouse: ClickHouse) -> list[tuple[int, bytes]]:
    """Return events that have a standing at another time as well: a record has one time, which its bytes say.

    Raises:
        StorageError: As `service_rows`.
    """
    rows = int(clickhouse.query("SELECT count() FROM event_standings").rows[0][0])
    buckets = rows // KEYS_PER_BUCKET + 1
    return [
        (int(at_us), key)
        for bucket in range(buckets)
        for at_us, key in clickhouse.query(
            _AT_TWO_TIMES, {"buckets": buckets, "bucket": bucket}
        ).rows
    ]


def checks_of_no_record(clickhouse: ClickHouse) -> list[tuple[str, str, int, int]]:
    """Return topic, topic id, partition and offset of rows of `seal_checks` whose seal no leaf and no row has there.

    Raises:
        StorageError: As `service_rows`.
    """
    rows = clickhouse.query(_STRANGERS).rows
    return [
        (str(topic), str(topic_id), int(partition), int(offset))
        for topic, topic_id, partition, offset in rows
    ]
