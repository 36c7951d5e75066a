"""Seals whose records are all there: whether these are shown as attested, without a row a record.

Nearly all seals are so, and the seals' duty has seen of which: their records are counted by ClickHouse, for all of
them together. Where the count is another, ClickHouse gives a row a seal, of which is decided here by what is signed:
how many records it names, and the hash over them. Of any other seal nothing is said: each of its records is looked at.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import NamedTuple

from trailhouse.attesting.stored_seals import SHORT_DIGESTS, SHORT_KEY, Carrier, of_carriers
from trailhouse.proof.seal import Seal
from trailhouse.proof.seal_check import CountedSeal
from trailhouse.proof.standing import Standing
from trailhouse.schemas.ranges import Range, Ranges
from trailhouse.store.clickhouse import ClickHouse

SEALED_WITHIN_US = 3_600_000_000
"""Standings are looked for so long before and after the seals that name their events; those of others are not seen."""
MOST_STRETCHES = 32
"""So many of one logger's numbers are in a statement: seals that were drawn lie apart."""


def attested_versions(
    clickhouse: ClickHouse, seals: Collection[Seal], times_us: tuple[int, int]
) -> set[int] | None:
    """Return the versions by which all records of *seals* are shown as attested; None where some may not be.

    Args:
        clickhouse: The database.
        seals: Their records are all there, under each number the one that is sealed.
        times_us: Their events occurred about then; standings of others are not seen.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    versions: set[int] = set()
    bounds = {"begin": times_us[0] - SEALED_WITHIN_US, "end": times_us[1] + SEALED_WITHIN_US}
    for stretches in _stretches(seals):
        numbers = _numbered(stretches)
        size = sum(each.size for some in stretches.values() for each in some)
        # One more under such a number is a copy, or somebody else's: it is not to stand for the one that is sealed.
        if _count(clickhouse, _EVENTS, numbers) != size and (
            _count(clickhouse, _DIFFERENT_EVENTS, numbers) != size
        ):
            return None
        sql = _ATTESTED.format(numbers=numbers.sql)
        count, said = clickhouse.query(sql, {**numbers.values, **bounds}).rows[0]
        if count != size or any(standing != Standing.ATTESTED for standing, _ in said):
            return None
        versions |= {int(version) for _, version in said}
    return versions


class _Condition(NamedTuple):
    sql: str
    values: Mapping[str, object]


def _count(clickhouse: ClickHouse, sql: str, numbers: _Condition) -> int:
    return int(clickhouse.query(sql.format(numbers=numbers.sql), numbers.values).rows[0][0])


def _stretches(seals: Iterable[Seal]) -> Iterator[dict[str, list[Range]]]:
    """Yield the numbers of *seals* by producer, some stretches of each at a time."""
    numbers: dict[str, list[tuple[int, int]]] = {}
    for seal in seals:
        numbers.setdefault(seal.producer_id, []).append((seal.first_seq, seal.last_seq))
    left = {producer: list(Ranges(each)) for producer, each in numbers.items()}
    while left:
        yield {producer: stretches[:MOST_STRETCHES] for producer, stretches in left.items()}
        left = {
            producer: stretches[MOST_STRETCHES:]
            for producer, stretches in left.items()
            if len(stretches) > MOST_STRETCHES
        }


def _numbered(stretches: Mapping[str, Sequence[Range]]) -> _Condition:
    """Return which events are of these producers and have one of these numbers."""
    values: dict[str, object] = {"producers": list(stretches)}
    parts = []
    for number, column in enumerate(zip_longest(*stretches.values(), fillvalue=_NO_NUMBERS)):
        values[f"firsts_{number}"] = [each.first for each in column]
        values[f"lasts_{number}"] = [each.last for each in column]
        parts.append(
            f"seq BETWEEN {{firsts_{number}:Array(UInt64)}}[place] AND {{lasts_{number}:Array(UInt64)}}[place]"
        )
    return _Condition(f"{_OF_PRODUCERS} AND ({' OR '.join(parts)})", values)


_NO_NUMBERS = Range(1, 0)
_OF_PRODUCERS = """
    producer_id IN {producers:Array(String)} AND isNotNull(seq)
    AND (indexOf({producers:Array(String)}, producer_id) AS place) > 0
"""
_EVENTS = "SELECT count() FROM event_log WHERE {numbers}"
_DIFFERENT_EVENTS = """
    SELECT count() FROM (SELECT DISTINCT occurred_us, record_key FROM event_log WHERE {numbers})
"""
_ATTESTED = """
    SELECT count(), groupUniqArray((toString(standing), ver)) FROM event_standings FINAL
    WHERE occurred_us BETWEEN {{begin:Int64}} AND {{end:Int64}} AND (occurred_us, record_key) IN (
        SELECT occurred_us, record_key FROM event_log WHERE {numbers}
    )
"""


class SealedRecords(NamedTuple):
    """The stored records that one seal names, and their standings.

    Attributes:
        records: How many, copies included.
        numbers: How many different numbers they have, and the first and the last of these.
        records_hash: SHA-256 over their digests, in the order of their numbers.
        writers: Of which service and tenant they are, and whether they are seals of no tenant.
        standings: Standing and version of all of them; ("", 0) of those that have none.
    """

    records: int
    numbers: tuple[int, int, int]
    records_hash: bytes
    writers: Collection[tuple[str, str, bool]]
    standings: Collection[tuple[str, int]]

    def are_sealed_by(self, counted: CountedSeal) -> bool:
        """Tell whether *counted* names just these, and may: the seal is whole, and attests each of them."""
        seal = counted.seal
        size = seal.last_seq - seal.first_seq + 1
        return (
            self.records == size
            and self.numbers == (size, seal.first_seq, seal.last_seq)
            and self.records_hash == seal.records_hash
            and all(
                service == seal.service and (is_seal or counted.key.may_write_for(tenant))
                for service, tenant, is_seal in self.writers
            )
        )


def sealed_records(
    clickhouse: ClickHouse, carriers: Sequence[Carrier]
) -> Mapping[bytes, SealedRecords]:
    """Return what the seals of *carriers* name, by the keys of their events; records that were erased are no records.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    condition, values = of_carriers(carriers)
    times = [each.occurred_us for each in carriers]
    bounds = {"begin": min(times) - SEALED_WITHIN_US, "end": max(times) + SEALED_WITHIN_US}
    rows = clickhouse.query(_SQL.format(condition), {**values, **bounds}).rows
    return {
        key: SealedRecords(
            int(count),
            (int(numbers), int(first), int(last)),
            records_hash,
            [(str(service), str(tenant), bool(is_seal)) for service, tenant, is_seal in writers],
            [(str(standing), int(version)) for standing, version in standings],
        )
        for key, count, numbers, first, last, records_hash, writers, standings in rows
    }


# Digests in hex: `arrayStringConcat` cuts the zero bytes off the end of a FixedString.
_SQL = f"""
    WITH sealed AS (
        SELECT record_key AS seal_key, JSONExtractString(record, 'data', 'producer_id') AS sealed_by,
            JSONExtractUInt(record, 'data', 'first_seq') AS first, {SHORT_DIGESTS} AS shorts
        FROM event_log WHERE {{}}
    ), named AS (
        SELECT seal_key, sealed_by, first + place AS number, short
        FROM sealed ARRAY JOIN shorts AS short, range(length(shorts)) AS place
    ), records AS (
        SELECT producer_id AS sealed_by, assumeNotNull(seq) AS number, {SHORT_KEY} AS short, occurred_us, record_key,
            JSONExtractString(record, 'source', 'service') AS service, toString(tenant_id) AS tenant,
            type = {{{{type:String}}}} AND tenant_id = '' AS is_seal, hex(SHA256(record)) AS digest
        FROM event_log
        PREWHERE producer_id IN (SELECT sealed_by FROM sealed) AND isNotNull(seq)
            AND (producer_id, assumeNotNull(seq), {SHORT_KEY}) IN (SELECT sealed_by, number, short FROM named)
        WHERE record != ''
    ), held AS (
        SELECT occurred_us, record_key, toString(standing) AS standing, ver FROM event_standings FINAL
        WHERE occurred_us BETWEEN {{{{begin:Int64}}}} AND {{{{end:Int64}}}} AND {SHORT_KEY} IN (SELECT short FROM named)
    )
    SELECT seal_key, count(), uniqExact(number), min(number), max(number),
        SHA256(unhex(arrayStringConcat(arrayMap(pair -> pair.2, arraySort(groupArray((number, digest))))))),
        groupUniqArray((service, tenant, is_seal)), groupUniqArray((standing, ver))
    FROM records INNER JOIN named USING (sealed_by, number, short) LEFT JOIN held USING (occurred_us, record_key)
    GROUP BY seal_key SETTINGS join_use_nulls = 0
"""  # noqa: S608 - names of ours; every value is a bound parameter
