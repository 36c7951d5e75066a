"""Stored seals and the records that they are about, read for some loggers at a time."""

import time
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

import msgspec

from trailhouse.operate.verify.duties.seals.sealed_records import SealedRow
from trailhouse.operate.verify.duties.seals.sealed_runs import SealedRun
from trailhouse.operate.verify.leaves.stream import numbers
from trailhouse.operate.verify.rows.unseen import Unseen
from trailhouse.proof.seal import SEAL_TYPE, seal_session
from trailhouse.proof.seal_check import Claim
from trailhouse.store.clickhouse import ClickHouse
from trailhouse.store.native_read import NativeReader

BATCH_BYTES = 64 * 1024 * 1024
"""Seals of so many bytes are in memory at a time, but for those of one logger."""
MOST_LOGGERS = 2_000
MOST_SESSIONS = 64
NO_END = 2**64
_SESSION = seal_session("")

_LOGGER = "(JSONExtractString(record, 'data', 'service'), JSONExtractString(record, 'data', 'producer_id'))"
_IS_SEAL = f"type = '{SEAL_TYPE}' AND record != ''"
_LOGGERS = f"""
    SELECT {_LOGGER} AS logger, sum(length(record)), groupUniqArray({MOST_SESSIONS})(session_id)
    FROM event_log WHERE {_IS_SEAL} AND logger.1 IN {{services:Array(String)}}
        AND logger > ({{service:String}}, {{producer:String}})
    GROUP BY logger ORDER BY logger LIMIT {MOST_LOGGERS}
"""  # noqa: S608 - names of ours; every value is a bound parameter
_SEALS = f"""
    SELECT record, tenant_id, producer_id, seq, kafka_cluster, kafka_topic, kafka_topic_id, kafka_partition,
        kafka_offset, toUnixTimestamp64Milli(appended_at)
    FROM event_log FINAL
    WHERE session_id IN {{sessions:Array(String)}} AND {_IS_SEAL}
        AND {_LOGGER} IN {{loggers:Array(Tuple(String, String))}}
    ORDER BY appended_at, kafka_topic_id, kafka_partition, kafka_offset
"""  # noqa: S608 - as above
# The bound on numbers stands in PREWHERE: else ClickHouse reads every record of a logger for the service in it.
_RECORDS = """
    WITH JSONExtractString(record, 'source', 'service') AS service
    SELECT
        transform(
            concat(toString(length(service)), ':', service, producer_id),
            {keys:Array(String)}, {places:Array(UInt32)}, toUInt32(0)
        ) AS place,
        assumeNotNull(seq) AS number, toFixedString(SHA256(record), 32) AS digest, tenant_id,
        toUInt8(type = 'audit_sealed' AND tenant_id = '') AS is_seal
    FROM event_log
    PREWHERE producer_id IN {producers:Array(String)} AND isNotNull(seq)
        AND assumeNotNull(seq) >= transform(
            toString(producer_id), {producers:Array(String)}, {lowest:Array(UInt64)}, toUInt64(0)
        )
    WHERE record != '' AND place > 0 AND number >= {froms:Array(UInt64)}[place]
    ORDER BY place, number
"""
_NEW = """
    SELECT producer_id, min(assumeNotNull(seq)) FROM event_log
    WHERE producer_id IN {{producers:Array(String)}} AND seq IS NOT NULL AND {} GROUP BY producer_id
"""
_ERASED = """
    SELECT producer_id, assumeNotNull(seq), record_key, toString(tenant_id), type = 'audit_sealed'
    FROM event_log WHERE producer_id IN {producers:Array(String)} AND seq IS NOT NULL AND record = ''
"""
_ERASED_SEALS = """
    SELECT toString(producer_id), session_id, ifNull(seq, 0), record_key FROM event_log
    WHERE type = 'audit_sealed' AND record = ''
"""
_LAST = """
    SELECT toUnixTimestamp64Milli(max(appended_at)), count() FROM event_log
    WHERE producer_id = {producer:String} AND seq >= {first:UInt64} AND record != ''
        AND JSONExtractString(record, 'source', 'service') = {service:String} AND appended_at <= now64(3)
"""
_FIRST_LEAVES = """
    SELECT kafka_topic_id, tupleElement(first, 1), tupleElement(first, 2) FROM (
        SELECT kafka_topic_id, argMin((kafka_offset, appended_ms), (generation, kafka_offset)) AS first FROM log_leaves
        WHERE kafka_cluster = {cluster:String} AND kafka_topic = {topic:String}
        GROUP BY kafka_topic_id, kafka_partition
    )
"""
_SETTINGS = {"max_block_size": "65536"}

Logger = tuple[str, str]
"""Service and producer id, as a seal names them."""


class LoggerBatch(NamedTuple):
    """Loggers whose seals fit into memory, and the sessions that these lie in."""

    loggers: tuple[Logger, ...]
    sessions: tuple[str, ...]


class StoredSeal(NamedTuple):
    """A seal's event: what it says, the record that carries it, where it lies, and when it was appended."""

    data: object
    carried_by: Claim
    place: tuple[str, str, str, int]
    offset: int
    appended_ms: int


def logger_batches(clickhouse: ClickHouse, services: Sequence[str]) -> Iterator[LoggerBatch]:
    """Yield all loggers of *services* of which any seal is stored.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    after: Logger = ("", "")
    while True:
        values = {"services": list(services), "service": after[0], "producer": after[1]}
        rows = clickhouse.query(_LOGGERS, values).rows
        held: list[Logger] = []
        sessions: list[str] = []
        size_bytes = 0
        for (service, producer), seal_bytes, lie_in in rows:
            if held and size_bytes + seal_bytes > BATCH_BYTES:
                yield LoggerBatch(tuple(held), tuple(sessions))
                held, sessions, size_bytes = [], [], 0
            held.append((service, producer))
            sessions += lie_in
            size_bytes += seal_bytes
        if held:
            yield LoggerBatch(tuple(held), tuple(sessions))
        if len(rows) < MOST_LOGGERS:
            return
        after = tuple(rows[-1][0])


def seals_of(clickhouse: ClickHouse, batch: LoggerBatch) -> Iterator[StoredSeal]:
    """Yield the stored seals of *batch* in the order in which they were logged.

    Raises:
        StorageError: As `logger_batches`.
    """
    values = {"sessions": list(batch.sessions), "loggers": list(batch.loggers)}
    for row in clickhouse.query(_SEALS, values, bytes_columns=("record",)).rows:
        record, tenant_id, producer_id, seq, *place, offset, appended_ms = row
        said = _said(record)
        number = -1 if seq is None else int(seq)
        claim = Claim(
            _text(said, "source", "service"),
            producer_id,
            number,
            tenant_id,
            sha256(record).digest(),
        )
        data = said.get("data") if isinstance(said, dict) else None
        cluster, topic, topic_id, partition = place
        yield StoredSeal(
            data, claim, (cluster, topic, topic_id, int(partition)), int(offset), int(appended_ms)
        )


def log_began_ms(clickhouse: ClickHouse, cluster: str, topic: str) -> int:
    """Return since when all that was logged to *topic* is in its logs: by the broker's clock, in Unix milliseconds.

    That is since the first leaf under this name, however often the topic was made anew since; and where Kafka had
    dropped something before a partition was first read, since that partition's first leaf.

    Raises:
        StorageError: As `logger_batches`.
    """
    rows = clickhouse.query(_FIRST_LEAVES, {"cluster": cluster, "topic": topic}).rows
    if not rows:
        return 0
    began_ms, first_id = min((int(ms), topic_id) for topic_id, _, ms in rows)
    late = (int(ms) for topic_id, offset, ms in rows if topic_id == first_id and offset > 0)
    return max(began_ms, *late, 0)


def last_record_seconds(clickhouse: ClickHouse, logger: Logger, first_seq: int) -> float | None:
    """Return when the last record of *logger* was appended whose number is *first_seq* or more; None without one.

    Raises:
        StorageError: As `logger_batches`.
    """
    values = {"service": logger[0], "producer": logger[1], "first": first_seq}
    at_ms, count = clickhouse.query(_LAST, values).rows[0]
    return int(at_ms) / 1_000 if int(count) else None


def _said(record: bytes) -> object:
    try:
        return msgspec.json.decode(record)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _text(said: object, *names: str) -> str:
    for name in names:
        said = said.get(name) if isinstance(said, dict) else None
    return said if isinstance(said, str) else ""


def erased_rows(
    clickhouse: ClickHouse, loggers: Sequence[Logger], erased: Mapping[bytes, bytes]
) -> list[tuple[Logger, SealedRow]]:
    """Return what is left of records of *loggers* that were erased, in the order of loggers and numbers.

    Args:
        clickhouse: The database.
        loggers: Of whom. A blank row does not say of which service it was: it is returned for each of its producer.
        erased: The SHA-256 of each record that is ordered to be erased, by the key that its row keeps. That a row's is
            that of its leaf is another duty's.

    Raises:
        StorageError: As `logger_batches`.
    """
    if not erased:
        return []
    places: dict[str, list[int]] = {}
    for place, (_, producer) in enumerate(loggers):
        places.setdefault(producer, []).append(place)
    found: list[tuple[int, SealedRow]] = []
    for producer, seq, key, tenant, is_seal in clickhouse.query(
        _ERASED, {"producers": list(places)}
    ).rows:
        if (digest := erased.get(key)) is not None:
            row = SealedRow(
                int(seq), digest, tenant, is_seal=bool(is_seal) and not tenant, is_erased=True
            )
            found += [(place, row) for place in places[producer]]
    found.sort(key=lambda pair: (pair[0], pair[1].seq))
    return [(loggers[place], row) for place, row in found]


def erased_seals(clickhouse: ClickHouse, erased: Mapping[bytes, bytes]) -> dict[str, int]:
    """Return the producers of which a seal was erased, each with the number below which all lie that it may have named.

    A logger that seals what another has left behind does so under its own number: of that other nothing is known then.

    Raises:
        StorageError: As `logger_batches`.
    """
    found: dict[str, int] = {}
    for carrier, session, seq, key in clickhouse.query(_ERASED_SEALS).rows if erased else ():
        if key in erased:
            name = str(session)
            sealed = name[len(_SESSION) :] if name.startswith(_SESSION) else str(carrier)
            end = int(seq) if sealed == carrier else NO_END
            found[sealed] = max(end, found.get(sealed, 0))
    return found


def new_numbers(clickhouse: ClickHouse, loggers: Sequence[Logger], new: Unseen) -> dict[str, int]:
    """Return the lowest number among the *new* rows of each producer that has any.

    Raises:
        StorageError: As `logger_batches`.
    """
    values = {"producers": [producer for _, producer in loggers], **new.parameters}
    rows = clickhouse.query(_NEW.format(new.condition), values).rows
    return {str(producer): int(seq) for producer, seq in rows}


def records_of(
    clickhouse: ClickHouse, loggers: Sequence[Logger], froms: Sequence[int]
) -> Iterator[tuple[Logger, SealedRun]]:
    """Yield the records that name one of *loggers*, logger by logger, in the order of their numbers.

    Of each logger, those whose number is the one in *froms* or above.

    ClickHouse hashes them: that each row's digest is that of its leaf is another duty's.

    Raises:
        StorageError: As `logger_batches`.
    """
    lowest: dict[str, int] = {}
    for (_, producer), first in zip(loggers, froms, strict=True):
        lowest[producer] = min(first, lowest.get(producer, first))
    values = {
        "keys": [f"{len(service.encode())}:{service}{producer}" for service, producer in loggers],
        "places": list(range(1, len(loggers) + 1)),
        "froms": list(froms),
        "producers": list(lowest),
        "lowest": list(lowest.values()),
    }
    reader = NativeReader(clickhouse.stream(_RECORDS, values, format="Native", settings=_SETTINGS))
    while (header := reader.block()) is not None:
        rows = header.row_count
        places = reader.values("place", rows)
        seqs = numbers(reader.column("number", 8 * rows))
        digests = bytes(reader.column("digest", 32 * rows))
        keys, which = reader.low_cardinality("tenant_id", rows)
        seals = bytes(reader.column("is_seal", rows))
        whole = SealedRun(seqs, digests, [_tenant(key) for key in keys], which, seals)
        begin = 0
        while begin < rows:
            end = bisect_right(places, places[begin], begin)
            yield loggers[places[begin] - 1], whole.part(begin, end)
            begin = end


def _tenant(key: bytes) -> str:
    return key.decode(errors="backslashreplace")


def stored_until_seconds(clickhouse: ClickHouse) -> float:
    """Return the newest broker time of all that is stored, by which what is due is told: a worker may be behind."""
    now = time.time()
    rows = clickhouse.query(
        "SELECT max(appended_ms) FROM log_leaves WHERE appended_ms <= {now:UInt64}",
        {"now": round(now * 1_000)},
    ).rows
    return min(now, int(rows[0][0]) / 1_000)
