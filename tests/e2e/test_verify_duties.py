"""Duties of verify that look at all of a database: views and tables, the ledger, numbers, times."""

import datetime as dt
import hashlib
import time
from collections.abc import Iterator, Sequence

import pytest

from stored import Placed
from trailhouse.operate.verify.duties import numbers, times
from trailhouse.operate.verify.duties.ledger import ledger
from trailhouse.operate.verify.duties.views import views
from trailhouse.operate.verify.duty import Duty
from trailhouse.operate.verify.logs import LogId
from trailhouse.operate.verify.state import Kept
from trailhouse.operate.verify.verifying import verify
from trailhouse.proof.config import ProofConfig
from trailhouse.schemas import AuditEvent, Source
from trailhouse.store import BATCH_LEDGER, ClickHouse, ClickHouseConfig
from trailhouse.store.tables import LATEST_MS, LOG_LEAVES
from worker_rows import store_rows

pytestmark = pytest.mark.cluster

ORIGIN = ("cluster-1", "trailhouse.events", "topic-1")
NOW_MS = round(time.time() * 1_000) - 3_600_000


@pytest.fixture
def store(database: ClickHouseConfig) -> Iterator[ClickHouse]:
    """Return a database of its own."""
    with ClickHouse(database) as clickhouse:
        yield clickhouse


def event(seq: int, producer: str = "p") -> AuditEvent:
    """Return an event of a producer."""
    source = Source(service="s", producer_id=producer, seq=seq)
    return AuditEvent(type="message_sent", session_id="s", source=source)


def put(
    store: ClickHouse, placed: Sequence[Placed], batches: Sequence[tuple[int, int]] = ()
) -> None:
    """Store rows, their leaves, and ledger rows over *batches* of offsets."""
    store_rows(store.config, placed)
    digests = {each.offset: hashlib.sha256(each.event.record).digest() for each in placed}
    put_leaves(store, [(each.offset, each.appended_ms, digests[each.offset]) for each in placed])
    for first, last in batches:
        held = [digests[offset] for offset in sorted(digests) if first <= offset <= last]
        put_batch(store, first, last, len(held), hashlib.sha256(b"".join(held)).digest())


def put_leaves(
    store: ClickHouse, leaves: Sequence[tuple[int, int, bytes]], generation: str = "1"
) -> None:
    """Insert leaves: offset, broker's time, digest."""
    count = len(leaves)
    offsets, times_ms, digests = zip(*leaves, strict=True)
    columns: dict[str, Sequence[object]] = {
        name: (value,) * count
        for name, value in zip(
            ("kafka_cluster", "kafka_topic", "kafka_topic_id"), ORIGIN, strict=True
        )
    }
    columns |= {
        "kafka_partition": (0,) * count,
        "generation": (generation,) * count,
        "kind": (1,) * count,
    }
    columns |= {"kafka_offset": offsets, "appended_ms": times_ms, "digest": digests}
    store.insert(LOG_LEAVES.block(columns))


def put_batch(store: ClickHouse, first: int, last: int, records: int, digest: bytes) -> None:
    """Insert a row of the ledger."""
    values = (*ORIGIN, 0, first, last, records, 0, digest, "1", NOW_MS)
    row = dict(zip(BATCH_LEDGER.columns, values, strict=True))
    store.insert(BATCH_LEDGER.block({name: [value] for name, value in row.items()}))


def kinds(store: ClickHouse, duty: Duty, seen: int = 0) -> set[tuple[str, int | None, str]]:
    """Return what *duty* finds, where an earlier run has *seen* so many offsets: kind, first offset or None, table."""
    log = LogId(*ORIGIN, 0, "1")
    kept = Kept(log=log, size=seen, roots=("00" * 32,) * seen.bit_count(), checkpoint="")
    since = {log: kept} if seen else None
    report = verify(store, proof=ProofConfig(), duties=(duty,), since=since)
    assert not report.duties[0].reasons
    return {(each.kind, each.place.first_offset, each.place.table) for each in report.findings}


def a_log(count: int = 6) -> list[Placed]:
    """Return events of two producers in one partition, a second apart."""
    return [
        Placed(event(place // 2, f"p{place % 2}"), 0, place, NOW_MS + 1_000 * place)
        for place in range(count)
    ]


def test_what_was_stored_by_a_worker_is_in_order(store: ClickHouse) -> None:
    """Numbers that rise, times that rise, batches that are true and overlap, and a resend's copy."""
    placed = a_log()
    put(
        store,
        [*placed, placed[1]._replace(offset=6, appended_ms=NOW_MS + 9_000)],
        [(0, 2), (2, 6), (3, 4)],
    )
    for duty in (numbers.DUTY, times.DUTY, ledger.DUTY, views.DUTY):
        assert kinds(store, duty) == set(), duty.name


@pytest.mark.parametrize(
    ("change", "table"),
    [
        ("CREATE OR REPLACE VIEW events AS SELECT * FROM event_log FINAL WHERE type != 'x'", "events"),
        ("CREATE OR REPLACE VIEW runs AS SELECT 1 AS run_id", "runs"),
        ("DROP VIEW approvals", "approvals"),
        ("DROP VIEW event_usage_filled", "event_usage_filled"),
        ("ALTER TABLE event_index_filled MODIFY QUERY SELECT occurred_us FROM event_log", "event_index_filled"),
        ("ALTER TABLE event_log MODIFY COLUMN run_id String DEFAULT 'r'", "event_log"),
        ("ALTER TABLE event_log MODIFY TTL toDateTime(appended_at) + INTERVAL 1 DAY", "event_log"),
        ("ALTER TABLE log_leaves MODIFY TTL toDateTime(intDiv(appended_ms, 1000)) + INTERVAL 1 DAY", "log_leaves"),
        ("ALTER TABLE event_quarantine ADD CONSTRAINT no CHECK kafka_offset < 5", "event_quarantine"),
        ("ALTER TABLE batch_ledger ADD COLUMN mine String DEFAULT toString(first_offset)", "batch_ledger"),
        ("CREATE MATERIALIZED VIEW mine TO event_index AS SELECT * FROM event_usage", "mine"),
        ("DETACH TABLE event_usage", "event_usage"),
        ("DROP TABLE log_nodes", "log_nodes"),
        ("DROP TABLE log_leaves", "log_leaves"),
    ],
)  # fmt: skip
def test_what_is_not_as_the_migrations_make_it_is_told(
    store: ClickHouse, change: str, table: str
) -> None:
    """A view that shows other rows, a table that keeps or fills in others, and what is gone."""
    store.command(change)
    assert {each[2] for each in kinds(store, views.DUTY)} == {table}


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE event_log DROP INDEX by_session",
        "ALTER TABLE event_log MODIFY COMMENT 'ours'",
        "ALTER TABLE batch_ledger ADD COLUMN mine String",
        "ALTER TABLE event_log MODIFY SETTING old_parts_lifetime = 60",
        "CREATE VIEW mine AS SELECT count() AS events FROM events",
        "CREATE TABLE mine (a UInt8) ENGINE = MergeTree ORDER BY a",
        "OPTIMIZE TABLE event_log FINAL",
    ],
)
def test_what_changes_no_answer_is_not_told(store: ClickHouse, change: str) -> None:
    """An administrator may tune tables and make views of his own."""
    store.command(change)
    assert kinds(store, views.DUTY) == set()


def test_no_database_is_left_of_the_comparison(store: ClickHouse) -> None:
    """What the migrations were repeated in is dropped again."""
    kinds(store, views.DUTY)
    names = [name for (name,) in store.query("SELECT name FROM system.databases").rows]
    assert not [name for name in names if "_shape_" in str(name)]


@pytest.mark.parametrize(
    ("batches", "found"),
    [
        ([(0, 5, 6, "")], set()),
        ([(0, 5, 5, "")], {("ledger_false", 0)}),
        ([(0, 5, 6, "other")], {("ledger_false", 0)}),
        ([(0, 2, 3, ""), (4, 5, 2, "")], {("leaf_without_batch", 3)}),
        ([(0, 3, 4, "")], set()),
        ([(0, 5, 6, ""), (7, 9, 3, "other")], {("ledger_false", 7)}),
        ([(0, 5, 6, ""), (1, 2**62, 3, "")], {("ledger_impossible", 1)}),
        ([(0, 5, 6, ""), (4, 3, 3, "")], {("ledger_impossible", 4)}),
    ],
)
def test_a_false_claim_of_the_ledger_is_told(
    store: ClickHouse, batches: list[tuple[int, int, int, str]], found: set[tuple[str, int]]
) -> None:
    """Count, hash and range of each batch, and what no batch holds, but for what is on its way."""
    placed = a_log()
    put(store, placed)
    digests = [hashlib.sha256(each.event.record).digest() for each in placed]
    for first, last, records, other in batches:
        right = hashlib.sha256(b"".join(digests[first : last + 1])).digest()
        put_batch(store, first, last, records, hashlib.sha256(b"x").digest() if other else right)
    assert {each[:2] for each in kinds(store, ledger.DUTY)} == found


def test_numbers_that_fall_or_come_twice_are_told(store: ClickHouse) -> None:
    """Events in another order, and two of one number; another partition's, and another producer's, are apart."""
    put(
        store,
        [
            Placed(event(5), 0, 0, NOW_MS),
            Placed(event(4), 0, 1, NOW_MS),
            Placed(event(7), 0, 2, NOW_MS),
            Placed(event(7), 0, 3, NOW_MS),
            Placed(event(1, "other"), 0, 4, NOW_MS),
            Placed(event(8), 0, 5, NOW_MS),
        ],
    )
    assert kinds(store, numbers.DUTY) == {
        ("number_falls", 1, "event_log"),
        ("number_twice", 3, "event_log"),
    }


def test_new_numbers_are_held_against_the_largest_that_an_earlier_run_has_seen(
    store: ClickHouse,
) -> None:
    """What was seen is not told again; a row that was stored twice, and a copy, are one."""
    old = [(0, "p"), (5, "p"), (9, "q"), (8, "q"), (2, "r")]
    new = [(3, "p"), (6, "p"), (10, "q"), (3, "r"), (4, "r")]
    placed = [
        Placed(event(seq, producer), 0, at, NOW_MS + at)
        for at, (seq, producer) in enumerate([*old, *new])
    ]
    put(store, [*placed, placed[8]._replace(offset=10, appended_ms=NOW_MS + 10)])
    store_rows(store.config, placed[-2:])
    assert kinds(store, numbers.DUTY, seen=5) == {("number_falls", 5, "event_log")}
    assert ("number_falls", 3, "event_log") in kinds(store, numbers.DUTY)


def test_numbers_rise_in_each_generation_for_itself(store: ClickHouse) -> None:
    """What another leader gave in place of lost records is in order after what both had, not after what was lost."""
    both = [Placed(event(seq), 0, seq, NOW_MS) for seq in range(3)]
    lost = [Placed(event(seq), 0, seq, NOW_MS) for seq in (3, 4)]
    other = [Placed(event(seq), 0, at, NOW_MS + 1) for at, seq in ((3, 5), (4, 6))]
    put(store, [*both, *lost])
    again = other_leaves(store, other)

    assert kinds(store, numbers.DUTY) == set()

    false = [Placed(event(9, "q"), 0, 5, NOW_MS), Placed(event(2), 0, 6, NOW_MS)]
    other_leaves(store, [*false, Placed(event(8, "q"), 0, 8, NOW_MS)], again)
    assert kinds(store, numbers.DUTY) == {
        ("number_falls", 6, "event_log"),
        ("number_falls", 8, "event_log"),
    }


def other_leaves(
    store: ClickHouse, placed: Sequence[Placed], generation: str = f"2-{'a' * 32}"
) -> str:
    """Store rows, and their leaves in another generation; return its name."""
    store_rows(store.config, placed)
    rows = [
        (each.offset, each.appended_ms, hashlib.sha256(each.event.record).digest())
        for each in placed
    ]
    put_leaves(store, rows, generation)
    return generation


@pytest.mark.parametrize(
    ("at_ms", "kind"),
    [
        (0, "no_time"),
        (NOW_MS - 86_400_000, "time_goes_back"),
        (round(dt.datetime(2299, 6, 1, tzinfo=dt.UTC).timestamp() * 1_000), "after_anchor"),
        (LATEST_MS, "sender_time"),
    ],
    ids=["1970", "a day back", "2299", "sender"],
)
def test_a_time_that_cannot_be_is_told(store: ClickHouse, at_ms: int, kind: str) -> None:
    """A broker's time of 1970, a day back, in 2299, and a sender's; at its own offset alone."""
    digest = bytes(32)
    put_leaves(store, [(0, NOW_MS, digest), (1, at_ms, digest), (2, NOW_MS, digest)])
    assert kinds(store, times.DUTY) == {(kind, 1, "log_leaves")}
