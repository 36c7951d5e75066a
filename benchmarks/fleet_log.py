"""Fills a log as a fleet would over a month: recorded sessions again and again, in order of time.

The recorded runs go into a table of their own by the worker's steps, with costs added where the recording has
none. Copies of them, each with ids, times, agents and tenants of its own, are made within ClickHouse, record and
columns alike, an insert for each 17,394 events.
"""

import datetime as dt
import random
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec

from benchmarks.loading import ORIGIN, Loaded
from benchmarks.records import recorded_fields
from trailhouse.consumer.batch.batch import Batch, Limits
from trailhouse.consumer.batch.blocks import event_block
from trailhouse.schemas import Actor, Source, event_of
from trailhouse.store import ClickHouse

AGENTS, TENANTS, ACTORS, DAYS = 200, 20, 500, 30
COPIES_PER_INSERT = 3
"""Three copies of the recording are 17,394 events."""
STEP = dt.timedelta(seconds=3)
_BASE = "recorded_base"


class Fleet(NamedTuple):
    """What was loaded: how many events, in how many inserts, from when until when."""

    events: int
    inserts: int
    began: dt.datetime
    ended: dt.datetime


def load_fleet(store: ClickHouse, events: int, say: Callable[[str], None]) -> Fleet:
    """Write about *events* events that end an hour ago into an empty database; return what they are."""
    recorded = _load_base(store)
    inserts = max(1, round(events / (recorded * COPIES_PER_INSERT)))
    # No session is longer than an hour, and none reaches ahead of now.
    ended = dt.datetime.now(dt.UTC).replace(microsecond=0) - dt.timedelta(hours=1)
    began = ended - dt.timedelta(days=DAYS)
    width_us = DAYS * 86_400_000_000 // inserts
    names = [
        str(name)
        for (name,) in store.query(
            "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = 'event_log'"
            " AND default_kind NOT IN ('ALIAS', 'MATERIALIZED') ORDER BY position"
        ).rows
    ]
    sql = _copies(names)
    said = time.monotonic()
    for number in range(inserts):
        store.command(
            sql,
            {
                "number": number,
                "first_us": int(began.timestamp()) * 1_000_000 + number * width_us,
                "width_us": width_us,
            },
        )
        if time.monotonic() - said > 10 or number + 1 == inserts:
            said = time.monotonic()
            say(f"fleet: {(number + 1) * recorded * COPIES_PER_INSERT:,} events loaded")
    return Fleet(inserts * recorded * COPIES_PER_INSERT, inserts, began, ended)


def store_again(store: ClickHouse, share: int) -> None:
    """Store every *share*-th session once more, as a replay would."""
    store.command(
        "INSERT INTO event_log SELECT * FROM event_log WHERE cityHash64(session_id) % {share:UInt32} = 0"
        " SETTINGS max_insert_block_size = 16000, min_insert_block_size_rows = 16000, max_insert_threads = 1",
        {"share": share},
    )


def _load_base(store: ClickHouse) -> int:
    store.command(
        f"CREATE TABLE {_BASE} ENGINE = MergeTree ORDER BY tuple() EMPTY AS SELECT * FROM event_log"
    )
    batch = Batch(Limits(100_000, 1 << 30), time.monotonic)
    records = list(_records())
    batch.add([Loaded(0, number, record) for number, record in enumerate(records)])
    store.insert(msgspec.structs.replace(event_block(ORIGIN, batch.rows), table=_BASE))
    return len(records)


def _records() -> Iterator[bytes]:
    chance = random.Random(5)  # noqa: S311 - nothing secret
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    of_session: dict[object, int] = {}
    for number, fields in enumerate(recorded_fields()):
        place = of_session[fields["session_id"]] = of_session.get(fields["session_id"], -1) + 1
        changed = dict(fields)
        if fields["type"] in {"token_usage_updated", "run_completed"}:
            changed |= {"data": _priced(fields["data"], chance), "provider": "openai"}
        yield event_of(
            changed
            | {
                "occurred_at": start + place * STEP,
                "agent_id": "@agent@",
                "tenant_id": "@tenant@",
                "actor": Actor(type="user", id="@actor@"),
                "source": Source(
                    service="bench", host="host", pid=1, producer_id="bench", seq=number
                ),
            }
        ).record


def _priced(data: object, chance: random.Random) -> dict[str, object]:
    tokens_in, tokens_out = chance.randint(800, 9_000), chance.randint(50, 900)
    usage: dict[str, object] = {
        "model": "gpt-4o",
        "input_tokens": tokens_in,
        "output_tokens": tokens_out,
        "total_tokens": tokens_in + tokens_out,
        "cost_usd": round(tokens_in * 2.5e-6 + tokens_out * 1e-5, 6),
    }
    given: dict[str, object] = data if isinstance(data, dict) else {}
    return given | usage


_NEW = {
    "session_id": "new_session",
    "run_id": "if(run_id = '', '', concat(run_id, '-', mark))",
    "event_id": "toUUID(new_id)",
    "agent_id": "agent",
    "tenant_id": "tenant",
    "actor_id": "actor",
    "occurred_us": "new_us",
    "record": "new_record",
    "record_key": "toFixedString(substring(SHA256(new_record), 1, 16), 16)",
    "kafka_partition": "toUInt16(hash % 12)",
    "kafka_offset": "{number:UInt64} * 20000 + kafka_offset",
    "appended_at": "fromUnixTimestamp64Milli(intDiv(new_us, 1000) + 200, 'UTC')",
}


def _copies(names: list[str]) -> str:
    values = ", ".join(f"{_NEW[name]} AS {name}" if name in _NEW else name for name in names)
    return f"""
        INSERT INTO event_log ({", ".join(names)})
        SELECT {values} FROM (
            SELECT b.* EXCEPT (kafka_offset), b.kafka_offset * {COPIES_PER_INSERT} + copy AS kafka_offset,
                concat(toString({{number:UInt64}}), '-', toString(copy)) AS mark,
                concat(session_id, '-', mark) AS new_session,
                cityHash64(new_session) AS hash,
                concat('agent-', toString(hash % {AGENTS})) AS agent,
                concat('tenant-', toString(intDiv(hash, 1000) % {TENANTS})) AS tenant,
                concat('user-', toString(intDiv(hash, 100000) % {ACTORS})) AS actor,
                {{first_us:Int64}} + toInt64(intDiv(hash, 7) % {{width_us:UInt64}})
                    + occurred_us - 1767225600000000 AS new_us,
                leftPad(lower(hex(toUInt64(intDiv(new_us, 1000)))), 12, '0') AS ms,
                leftPad(lower(hex(cityHash64(mark, b.kafka_offset))), 16, '0') AS random,
                concat(substring(ms, 1, 8), '-', substring(ms, 9, 4), '-7', substring(random, 1, 3),
                    '-8', substring(random, 4, 3), '-', substring(random, 5, 12)) AS new_id,
                replaceOne(replaceOne(replaceOne(replaceOne(replaceOne(replaceOne(replaceOne(
                    record,
                    concat('"session_id":"', session_id, '"'), concat('"session_id":"', new_session, '"')),
                    concat('"run_id":"', run_id, '"'), concat('"run_id":"', run_id, '-', mark, '"')),
                    toString(event_id), new_id),
                    '@agent@', agent), '@tenant@', tenant), '@actor@', actor),
                    formatDateTime(fromUnixTimestamp64Micro(occurred_us, 'UTC'), '%Y-%m-%dT%H:%i:%S.%fZ'),
                    formatDateTime(fromUnixTimestamp64Micro(new_us, 'UTC'), '%Y-%m-%dT%H:%i:%S.%fZ')) AS new_record
            FROM {_BASE} AS b CROSS JOIN (SELECT number AS copy FROM numbers({COPIES_PER_INSERT})) AS c
        )
        SETTINGS max_threads = 1, max_insert_threads = 1, max_insert_block_size = 20000,
            min_insert_block_size_rows = 20000, min_insert_block_size_bytes = 0, optimize_on_insert = 0
    """
