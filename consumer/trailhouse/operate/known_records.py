"""Which records ClickHouse has already: asked by key, so that it costs little in a large table."""

from collections.abc import Iterable, Iterator, Sequence

from trailhouse.broker.origin import Origin
from trailhouse.broker.placeholder import Received
from trailhouse.consumer.batch.batch import BadRecord, event_keys, event_record_keys
from trailhouse.store.clickhouse import ClickHouse

KEYS_PER_QUERY = 500
SESSION_BYTES_PER_QUERY = 60_000
"""A statement's values travel in its address, which servers and proxies bound."""

_FIND = """
    SELECT DISTINCT record_key FROM event_log
    WHERE session_id IN {sessions:Array(String)} AND event_id IN {events:Array(UUID)}
"""
_FIND_BAD = """
    SELECT DISTINCT kafka_offset FROM event_quarantine
    WHERE kafka_cluster = {cluster:String} AND kafka_topic_id = {topic_id:String} AND kafka_topic = {topic:String}
        AND kafka_partition = {partition:UInt16} AND kafka_offset IN {offsets:Array(UInt64)}
"""


def stored_record_keys(storage: ClickHouse, events: Sequence[Received]) -> set[bytes]:
    """Return the keys of those *events* that readers see, wherever in the topic they came from.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    found: set[bytes] = set()
    for part in _parts(events):
        parameters = {
            "sessions": list(dict.fromkeys(session for session, _ in part)),
            "events": list(dict.fromkeys(event_id for _, event_id in part)),
        }
        found.update(digest for (digest,) in storage.query(_FIND, parameters).rows)
    return found & set(event_record_keys(events))


def quarantined_places(
    storage: ClickHouse, origin: Origin, bad: Iterable[BadRecord]
) -> set[tuple[int, int]]:
    """Return partition and offset of those *bad* records that are in quarantine.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    offsets: dict[int, list[int]] = {}
    for record in bad:
        offsets.setdefault(record.received.partition(), []).append(record.received.offset())
    found: set[tuple[int, int]] = set()
    for partition, wanted in offsets.items():
        for begin in range(0, len(wanted), KEYS_PER_QUERY):
            parameters = origin._asdict() | {
                "partition": partition,
                "offsets": wanted[begin : begin + KEYS_PER_QUERY],
            }
            rows = storage.query(_FIND_BAD, parameters).rows
            found.update((partition, offset) for (offset,) in rows)
    return found


def _parts(events: Sequence[Received]) -> Iterator[list[tuple[str, str]]]:
    part: list[tuple[str, str]] = []
    sessions: dict[str, int] = {}
    # Sorted, so that a statement names few sessions and reads one stretch of the key.
    for session, event_id in sorted(event_keys(events)):
        sessions[session] = len(session)
        part.append((session, event_id))
        if len(part) >= KEYS_PER_QUERY or sum(sessions.values()) * 4 > SESSION_BYTES_PER_QUERY:
            yield part
            part, sessions = [], {}
    if part:
        yield part
