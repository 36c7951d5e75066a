"""Followers against the real engine: each event once, in order, from whatever a token says."""

import random
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing

import pytest

from stored import Placed, a_session, block_of, event, in_order, store
from trailhouse.query import (
    AlteredEvent,
    AuditReader,
    ClickHouseConfig,
    Follower,
    QueryError,
    SlowFollowerError,
)
from trailhouse.query.follow import hub as hub_module
from trailhouse.query.follow import walk as walk_module
from trailhouse.schemas import AuditEvent
from trailhouse.store import BATCH_LEDGER, ClickHouse
from waiting import DEADLINE_SECONDS

pytestmark = pytest.mark.cluster

Ids = list[str]


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for partitions that are new, and for what is late, without much waiting."""
    monkeypatch.setattr(walk_module, "LOOK_SECONDS", 0.1)


@pytest.fixture
def reader(database: ClickHouseConfig) -> Iterator[AuditReader]:
    """Return a reader of all tenants over a fresh database."""
    with AuditReader(config=database) as opened:
        yield opened


def enter(
    config: ClickHouseConfig,
    first: int,
    last: int,
    *,
    partition: int = 0,
    stored: int | None = None,
    written_ms: int = 1,
) -> None:
    """Write a row of the ledger, as a worker does once all of its rows are stored."""
    size = last - first + 1
    values = {
        "kafka_cluster": "cluster-1",
        "kafka_topic": "trailhouse.events",
        "kafka_topic_id": "topic-1",
        "kafka_partition": partition,
        "first_offset": first,
        "last_offset": last,
        "stored_rows": size if stored is None else stored,
        "quarantined_rows": 0 if stored is None else size - stored,
        "records_hash": b"\0" * 32,
        "worker_version": "test",
        "written_at": written_ms,
    }
    with ClickHouse(config) as clickhouse:
        clickhouse.insert(BATCH_LEDGER.block({name: [value] for name, value in values.items()}))


def read(follower: Follower, count: int) -> list[AuditEvent]:
    """Return the next *count* events."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    found: list[AuditEvent] = []
    while len(found) < count and time.monotonic() < deadline:
        for each in follower.read(0.2, count - len(found)).items:
            assert not isinstance(each, AlteredEvent)
            found.append(each)
    return found


def nothing_more(follower: Follower) -> bool:
    """Tell whether nothing comes any more once everything that is stored has been looked at, twice."""
    return all(not follower.read(walk_module.LOOK_SECONDS + 0.2).items for _ in range(2))


def ids(events: Sequence[AuditEvent]) -> Ids:
    """Return the ids of *events*."""
    return [each.event_id for each in events]


def test_a_follower_starts_now_and_sees_what_is_stored_next(
    reader: AuditReader, database: ClickHouseConfig
) -> None:
    """What was stored before is not given, what comes is, to the byte; `from_start` gives all."""
    old = [event("s") for _ in range(3)]
    new = [event("s", data={"n": number}) for number in range(5)]
    store(database, in_order(old))
    with reader.follow() as follower, reader.follow(from_start=True) as whole:
        store(database, in_order(new, first_offset=3))
        found = read(follower, 5)
        assert [each.record for each in found] == [each.record for each in new]
        assert ids(read(whole, 8)) == ids([*old, *new])
        assert nothing_more(follower)


def test_copies_and_replays_are_never_given_again(
    reader: AuditReader, database: ClickHouseConfig
) -> None:
    """Stored twice, appended twice, in another partition, long ago: an event is given once, resumed or not."""
    events = [event(a_session()) for _ in range(20)]
    store(database, in_order(events))
    with reader.follow(from_start=True) as follower:
        assert ids(read(follower, 20)) == ids(events)
        store(database, in_order(events))  # replayed
        store(database, in_order(events, first_offset=20))  # sent again
        store(database, in_order(events, partition=3))  # after the topic was widened
        fresh = event("fresh")
        store(database, [Placed(fresh, 0, 40)])
        enter(database, 20, 39)
        assert ids(read(follower, 1)) == [fresh.event_id]
        token = follower.token
    with reader.follow(token=token) as resumed:
        store(database, in_order(events, first_offset=41))
        last = event("last")
        store(database, [Placed(last, 0, 61)])
        assert ids(read(resumed, 1)) == [last.event_id]
        assert nothing_more(resumed)


def test_what_is_stored_out_of_order_comes_in_order(
    reader: AuditReader, database: ClickHouseConfig
) -> None:
    """Rows that are seen before those below them wait for these, as long as the ledger has not passed them."""
    events = [event("s") for _ in range(10)]
    placed = in_order(events)
    with reader.follow(from_start=True) as follower:
        store(database, [placed[0], *placed[5:]])
        assert ids(read(follower, 1)) == ids(events[:1])
        assert nothing_more(follower)
        store(database, placed[1:5])
        assert ids(read(follower, 9)) == ids(events[1:])


def test_records_that_are_no_events_hold_nothing_up(
    reader: AuditReader, database: ClickHouseConfig
) -> None:
    """An offset that the ledger has, and no table, is passed by at once; replayed as an event, it is given."""
    events = [event("s") for _ in range(6)]
    placed = in_order(events)
    with reader.follow(from_start=True) as follower:
        store(database, [*placed[:2], *placed[3:]])
        enter(database, 0, 5, stored=5)
        assert ids(read(follower, 5)) == ids([*events[:2], *events[3:]])
        token = follower.token
        store(database, [placed[2]])
        enter(database, 2, 2)
        assert ids(read(follower, 1)) == [events[2].event_id]
        assert nothing_more(follower)
    with reader.follow(token=token) as resumed:
        assert ids(read(resumed, 1)) == [events[2].event_id]


def test_a_gap_that_the_ledger_has_overtaken_is_passed_and_its_event_comes_late(
    reader: AuditReader, database: ClickHouseConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that died may leave a gap nobody fills; what is after it is not held up, what fills it is not lost."""
    monkeypatch.setattr(walk_module, "PATIENCE_SECONDS", 0.3)
    events = [event("s") for _ in range(4)]
    placed = in_order(events)
    with reader.follow(from_start=True) as follower:
        store(database, [placed[0], *placed[2:]])
        enter(database, 2, 3)
        assert ids(read(follower, 3)) == ids([events[0], *events[2:]])
        store(database, [placed[1]])
        enter(database, 1, 1)
        assert ids(read(follower, 1)) == [events[1].event_id]
        assert nothing_more(follower)


def test_a_session_keeps_its_order_when_its_topic_is_widened(
    reader: AuditReader, database: ClickHouseConfig
) -> None:
    """Two partitions, and a topic made anew, are merged by the broker's clock; new ones are found while following."""
    events = [event("s") for _ in range(900)]
    old, new, anew = events[:300], events[300:600], events[600:]
    with reader.follow(from_start=True) as follower:
        store(database, in_order(new, partition=7, first_offset=300))
        store(database, in_order(old))
        placed = [
            each._replace(topic_id="topic-2", offset=n)
            for n, each in enumerate(in_order(anew, 600))
        ]
        enter(database, 0, 299)
        enter(database, 0, 299, partition=7, stored=0)
        store(database, placed)
        assert ids(read(follower, 900)) == ids(events)
        more = event("s")
        store(database, [Placed(more, 11, 0)])
        enter(database, 0, 0, partition=11)
        assert ids(read(follower, 1)) == [more.event_id]


def test_a_filter_and_a_tenant_choose_what_is_given(
    reader: AuditReader, database: ClickHouseConfig
) -> None:
    """A filter's rows are those of SQL; a reader of one tenant is given nothing of another's."""
    events = [
        event("s", type=name, tenant_id=tenant)
        for name in ("run_failed", "run_completed")
        for tenant in ("a", "b", None)
    ]
    store(database, in_order(events))
    with AuditReader("a", config=database) as of_a, of_a.follow(from_start=True) as follower:
        assert ids(read(follower, 2)) == [events[0].event_id, events[3].event_id]
        assert nothing_more(follower)
        token = follower.token
        with pytest.raises(QueryError, match="of another tenant"):
            reader.follow(token=token)
    with reader.follow("type:run_failed -tenant:b", from_start=True) as follower:
        assert ids(read(follower, 2)) == [events[0].event_id, events[2].event_id]
        with pytest.raises(QueryError, match="of another query"):
            reader.follow(token=follower.token)
    altered = follower.token[:-4] + "AAAA"
    with pytest.raises(QueryError, match="altered"):
        reader.follow("type:run_failed -tenant:b", token=altered)
    store(database, [Placed(event("s", data={"text": "a red herring"}), 0, 6)])
    with reader.follow('"red herring"', from_start=True) as follower:
        assert [each.data["text"] for each in read(follower, 1)] == ["a red herring"]


def test_followers_share_one_poll(reader: AuditReader, database: ClickHouseConfig) -> None:
    """Ten that wait at the same time cost ClickHouse about what one costs."""
    events = [event("s", data={"n": n}) for n in range(50)]
    with closing(Readers(reader, 10)) as readers:
        hub = hub_module.take_hub(database)
        for number in range(5):
            store(
                database, in_order(events[10 * number : 10 * number + 10], first_offset=10 * number)
            )
            readers.wait_for(10 * number + 10)
        began, polls = time.monotonic(), hub.polls
        threading.Event().wait(1.0)
        most = (time.monotonic() - began) / hub_module.POLL_SECONDS + 2
        assert 0 < hub.polls - polls <= most
        hub_module.release_hub(database)
    assert all(found == ids(events) for found in readers.found)


class Readers:
    """Followers in threads of their own, and what each was given."""

    def __init__(self, reader: AuditReader, count: int) -> None:
        self.followers = [reader.follow() for _ in range(count)]
        self.found: list[Ids] = [[] for _ in range(count)]
        self._is_over = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number,)) for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def _run(self, number: int) -> None:
        while not self._is_over.is_set():
            items = self.followers[number].read(0.2).items
            self.found[number] += [each.event_id for each in items]

    def wait_for(self, count: int) -> None:
        """Return when each has been given *count* events."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while min(map(len, self.found)) < count:
            assert time.monotonic() < deadline
            threading.Event().wait(0.02)

    def close(self) -> None:
        """End them all."""
        self._is_over.set()
        for thread in self._threads:
            thread.join()
        for follower in self.followers:
            follower.close()


def test_a_slow_follower_is_cut_off_with_its_token(
    reader: AuditReader, database: ClickHouseConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever falls out of what is kept for followers is told so, and goes on with the token without a loss."""
    monkeypatch.setattr(hub_module, "KEPT_ROWS", 20)
    events = [event("s") for _ in range(100)]
    with reader.follow() as slow, reader.follow() as quick:
        store(database, in_order(events[:1]))
        assert ids(read(slow, 1)) == ids(read(quick, 1)) == ids(events[:1])
        for number in range(1, 100, 33):
            store(database, in_order(events[number : number + 33], first_offset=number))
            assert len(read(quick, 33)) == 33
        with pytest.raises(SlowFollowerError, match="cut off") as caught:
            read(slow, 99)
    with reader.follow(token=caught.value.token) as resumed:
        assert ids(read(resumed, 99)) == ids(events[1:])


def test_kills_and_replays_lose_and_repeat_nothing(
    reader: AuditReader, database: ClickHouseConfig
) -> None:
    """Batches of three partitions in any order, stored again at random, followers ended ten times at any event."""
    chance = random.Random(20)  # noqa: S311 - nothing secret
    sessions = [f"s-{uuid.uuid4()}" for _ in range(12)]
    placed: list[Placed] = []
    for partition in range(3):
        of_partition = [event(sessions[3 * chance.randrange(4) + partition]) for _ in range(600)]
        placed += in_order(of_partition, partition=partition)
    writer = threading.Thread(target=_write_out_of_order, args=(database, placed, chance.random()))
    writer.start()
    given: list[AuditEvent] = []
    token: str | None = None
    while len(given) < len(placed):
        with reader.follow(token=token, from_start=True) as follower:
            few = read(follower, min(chance.randrange(100, 250), len(placed) - len(given)))
            if not few:
                break
            given += few
            token = follower.token
    writer.join()
    assert sorted(ids(given)) == sorted(each.event.event_id for each in placed)
    for session in sessions:
        assert [each.event_id for each in given if each.session_id == session] == [
            each.event.event_id for each in placed if each.event.session_id == session
        ]
    with reader.follow(token=token) as follower:
        assert nothing_more(follower)


def _write_out_of_order(config: ClickHouseConfig, placed: Sequence[Placed], seed: float) -> None:
    """Store batches in order of each partition, the rows of each in two halves, the later first, some twice."""
    chance = random.Random(seed)  # noqa: S311 - nothing secret
    batches = [placed[at : at + 50] for at in range(0, len(placed), 50)]
    # Of one partition the batches stay in order; those of different ones come as they come.
    queues = [batches[at : at + 12] for at in range(0, len(batches), 12)]
    done: list[Sequence[Placed]] = []
    with ClickHouse(config) as clickhouse:
        while any(queues):
            queue = chance.choice([each for each in queues if each])
            batch = queue.pop(0)
            for part in (batch[25:], batch[:25]):
                clickhouse.insert(block_of(part))
            done.append(batch)
            if chance.random() < 0.4:
                clickhouse.insert(block_of(chance.choice(done)))


def test_a_row_that_was_altered_is_marked(reader: AuditReader, database: ClickHouseConfig) -> None:
    """It hides none of the others, and is no event."""
    good, bad = event("s"), event("s")
    block = block_of(in_order([good, bad]))
    store(database, in_order([good]))
    with ClickHouse(database) as clickhouse:
        clickhouse.insert(block)
        clickhouse.command(
            "ALTER TABLE event_log UPDATE record = replaceOne(record, 'message_sent', 'message_lost')"
            " WHERE event_id = {id:UUID} SETTINGS mutations_sync = 2",
            {"id": bad.event_id},
        )
    with reader.follow(from_start=True) as follower:
        found = [*follower.read(5.0).items]
    assert found[0] == good
    assert isinstance(found[1], AlteredEvent)


def test_a_heavy_record_comes_whole(reader: AuditReader, database: ClickHouseConfig) -> None:
    """A record that is too large to be polled with the others is the same to the byte."""
    heavy = event("s", data={"text": "x" * 200_000})
    store(database, in_order([heavy]))
    with reader.follow(from_start=True) as follower:
        [found] = read(follower, 1)
    assert found.record == heavy.record
