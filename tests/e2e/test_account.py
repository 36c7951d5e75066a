"""`trailhouse account` and `missing_events`: every number that a producer gave is somewhere, or named."""

import datetime as dt
import json
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from balancing import Pipe, numbered, run_here
from command_line import running_worker, settings_of
from trailhouse.consumer.monitoring.missing_events import missing_events
from trailhouse.operate.account.balance import Account, account
from trailhouse.operate.account.snapshot import Scope
from trailhouse.operate.reconcile.comparison import reconcile
from trailhouse.producer import AuditLogger, ProducerConfig
from trailhouse.schemas import AuditEvent, KafkaConfig
from trailhouse.schemas.ranges import Range
from trailhouse.store import ClickHouse, ClickHouseConfig, sequence_gaps
from trailhouse.store.sequence_gaps import GapFinder
from trailhouse.store.tables import EVENT_INCIDENTS
from waiting import eventually

pytestmark = pytest.mark.cluster
MANY_HOLES_SECONDS = 240.0
"""It took more than five minutes on a machine that does it in three seconds now."""


@pytest.fixture
def pipe(kafka: KafkaConfig, database: ClickHouseConfig) -> Pipe:
    """Return a fresh topic and a fresh database."""
    return Pipe(kafka, database)


def balanced(
    pipe: Pipe, spooled: Sequence[bytes] = (), settle_seconds: float = 0.01, **scope: object
) -> Account:
    """Return the balance, which must be one."""
    with ClickHouse(pipe.database) as storage:
        found = account(
            pipe.kafka,
            storage,
            pipe.group_id,
            spooled=lambda: spooled,
            scope=Scope(**scope),  # type: ignore[arg-type]  # a session or a time
            settle_seconds=settle_seconds,
        )
    parts = (found.spooled, found.in_kafka, found.stored, found.quarantined, found.expired)
    assert found.emitted == sum(parts) + found.missing
    return found


def age(storage: ClickHouse, condition: str, seconds: int) -> None:
    """Let Kafka have taken some events so long ago."""
    storage.command(
        f"INSERT INTO event_log SELECT * REPLACE (appended_at - toIntervalSecond({seconds}) AS appended_at)"
        f" FROM (SELECT * FROM event_log WHERE {condition})"
    )
    storage.command(
        f"DELETE FROM event_log WHERE {condition} AND appended_at > now64(3) - toIntervalSecond({seconds - 60})"
    )


def seqs(found: Account) -> list[tuple[str, int, int]]:
    """Return what is missing."""
    return [(each.producer_id, each.first_seq, each.last_seq) for each in found.absent]


def test_each_event_counts_once_where_it_has_come_furthest(pipe: Pipe) -> None:
    """Stored, quarantined, in Kafka, spooled: nothing is missing, though some are in two places."""
    damaged = [record[:-20] for record in numbered("p", range(20, 22))]
    pipe.send([*numbered("p", range(20)), *damaged, AuditEvent(type="a", session_id="s").record])
    pipe.send(numbered("p", range(22, 30)), partition=1)
    pipe.store(0, 0, 22)
    pipe.store(1, 0, 3)  # stored and not committed yet
    pipe.commit({0: 23})
    found = balanced(pipe, numbered("p", range(28, 35)) + numbered("q", range(3)))
    assert found.absent == ()
    assert (found.emitted, found.spooled, found.in_kafka, found.stored, found.quarantined) == (
        38, 8, 4, 24, 2,
    )  # fmt: skip
    assert (found.unnumbered, found.producers) == (1, 2)


def test_what_is_nowhere_is_named_with_its_neighbours(pipe: Pipe) -> None:
    """A hole, a missing begin, each producer by itself: code 1, numbers, service, host and sessions."""
    pipe.send(numbered("p", [0, 1, 4, 5], "before") + numbered("p", [7], "behind"))
    pipe.send(numbered("q", [2, 3]), partition=1)
    pipe.store(0, 0, 4)
    pipe.store(1, 0, 1)
    pipe.commit({0: 5, 1: 2})
    found = balanced(pipe)
    assert seqs(found) == [("p", 2, 3), ("p", 6, 6), ("q", 0, 1)]
    assert (found.emitted, found.missing) == (12, 5)
    told = run_here("account", settings=settings_of(pipe.kafka, pipe.database))
    assert told.returncode == 1
    assert (
        "missing: 1 event of producer p, seq 6, service service on host,"
        " beside events of session 'before' and 'behind'"
    ) in told.stdout.decode().splitlines()


def test_a_session_has_its_own_balance(pipe: Pipe) -> None:
    """Only its events count, and of the holes those beside its events."""
    pipe.send(numbered("p", [0, 1, 4], "mine") + numbered("p", [5, 7, 8], "other"))
    pipe.send(numbered("p", [9], "mine"))
    pipe.store(0, 0, 6)
    pipe.commit({0: 7})
    mine = balanced(pipe, session_id="mine")
    assert (mine.emitted, mine.stored, seqs(mine)) == (6, 4, [("p", 2, 3)])
    assert balanced(pipe, session_id="nobody").emitted == 0


def test_a_session_that_nobody_knows_is_no_balance(pipe: Pipe) -> None:
    """A session without one event is told, with the way on and code 1: nothing missing was said of any name."""
    pipe.send([AuditEvent(type="a", session_id="mine").record])
    pipe.store(0, 0, 0)
    pipe.commit({0: 1})

    unknown, known = (
        run_here("account", "--session", name, settings=settings_of(pipe.kafka, pipe.database))
        for name in ("mien", "mine")
    )

    assert unknown.returncode == 1
    assert unknown.stderr.splitlines()[-1] == (
        b"no events of session 'mien'; `trailhouse sessions` lists the last ones"
    )
    assert (known.returncode, b"no events" in known.stderr) == (0, False)


def test_since_begins_with_what_kafka_took_then(pipe: Pipe) -> None:
    """A hole before it does not count; one behind it does; what came earlier fills no hole wrongly."""
    pipe.send(numbered("p", [0, 2]))
    pipe.store(0, 0, 1)
    with ClickHouse(pipe.database) as storage:
        age(storage, "true", 86_400)
    pipe.send(numbered("p", [3, 4, 7]))
    pipe.store(0, 2, 4)
    pipe.commit({0: 5})
    hour_ago = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)
    assert seqs(balanced(pipe)) == [("p", 1, 1), ("p", 5, 6)]
    recent = balanced(pipe, since=hour_ago)
    assert (seqs(recent), recent.emitted, recent.stored) == ([("p", 5, 6)], 5, 3)


def test_the_metric_counts_settled_holes_alone(pipe: Pipe) -> None:
    """What a younger event alone shows may be on its way; what an older one shows is missing."""
    pipe.send(numbered("p", [0, 1, 4, 5, 9]) + numbered("q", [0, 1, 2]))
    pipe.store(0, 0, 7)
    with ClickHouse(pipe.database) as storage:
        assert missing_events(storage) == 0
        assert missing_events(storage, since_seconds=3_600, settle_seconds=0) == 5
        age(storage, "seq < 5", 300)
        assert missing_events(storage) == 2
        assert missing_events(storage, since_seconds=200, settle_seconds=0) == 3


def test_what_expired_is_not_missing(pipe: Pipe) -> None:
    """As many events as offsets expired, of that time; what is beyond that is missing."""
    pipe.send(numbered("p", [0, 1, 8, 9]))
    pipe.store(0, 0, 3)
    pipe.commit({0: 4})
    origin = pipe.origin()
    row: dict[str, Sequence[object]] = {
        "kafka_cluster": [origin.cluster], "kafka_topic": [origin.topic], "kafka_topic_id": [origin.topic_id],
        "kafka_partition": [1], "first_offset": [0], "last_offset": [3], "kind": ["expired"], "detail": [""],
        "worker_version": ["0"], "noticed_at": [1_760_000_000_000],
    }  # fmt: skip
    with ClickHouse(pipe.database) as storage:
        storage.insert(EVENT_INCIDENTS.block(row))
    found = balanced(pipe)
    assert (found.expired, found.missing) == (4, 2)
    assert [(each.is_expired, each.first_seq, each.last_seq) for each in found.absent] == [
        (True, 2, 5),
        (False, 6, 7),
    ]


def test_the_spools_of_this_machine_count(pipe: Pipe, tmp_path: Path) -> None:
    """What a logger has spooled while Kafka is away is spooled, and not missing; code 0."""
    nowhere = ProducerConfig(
        spool_dir=str(tmp_path / "spool"),
        close_timeout_seconds=0.0,
        kafka=KafkaConfig(bootstrap_servers="127.0.0.1:1", topic=pipe.kafka.topic),
    )
    logger = AuditLogger(nowhere)
    for number in range(5):
        logger.log("a", session_id=f"s{number}")
    logger.close()
    settings = settings_of(pipe.kafka, pipe.database)
    settings["TRAILHOUSE_PRODUCER_SPOOL_DIR"] = str(tmp_path / "spool")
    told = run_here("account", "--format", "json", settings=settings)
    assert told.returncode == 0, told
    found = json.loads(told.stdout)
    assert (found["emitted"], found["spooled"], found["missing"]) == (5, 5, 0)


@pytest.mark.long
def test_a_running_pipeline_balances_at_every_moment(pipe: Pipe) -> None:
    """While events are logged, stored and replayed, none is ever missing, and no offset is a gap."""
    settings = settings_of(pipe.kafka, pipe.database)
    over = threading.Event()
    logged: list[int] = []

    def log() -> None:
        with AuditLogger(ProducerConfig(kafka=pipe.kafka)) as logger:
            while not over.wait(0.002):
                logger.log("a", session_id=f"s{len(logged) % 50}")
                logged.append(1)

    logging = threading.Thread(target=log)
    with running_worker(settings), ClickHouse(pipe.database) as storage:
        logging.start()
        try:
            for _ in range(2):
                found = balanced(pipe, settle_seconds=1.0)
                assert found.absent == ()
                assert run_here("replay", settings=settings).returncode == 0
                assert reconcile(pipe.kafka, storage, pipe.group_id).gaps == ()
        finally:
            over.set()
            logging.join()
        eventually(
            lambda: balanced(pipe).stored == len(logged), f"{len(logged)} events to be stored"
        )
        assert missing_events(storage, settle_seconds=0) == 0


def forged(pipe: Pipe, producer_id: str, numbers: str, rows: int) -> None:
    """Store events of a producer that gave itself these numbers, an SQL expression of `number`."""
    with ClickHouse(pipe.database) as storage:
        storage.command(
            f"""
            INSERT INTO event_log (session_id, event_id, record_key, type, occurred_us, record, producer_id, seq,
                kafka_partition, kafka_offset, appended_at)
            SELECT 'junk', generateUUIDv4(number), substring(SHA256(toString(number)), 1, 16), 'a', 0, '{{}}',
                '{producer_id}', {numbers}, 3, number, now64(3) - 1 FROM numbers({rows})
            """
        )


@pytest.mark.long
def test_a_hundred_thousand_holes_drown_nobody(pipe: Pipe) -> None:
    """Work per producer is bounded: its first holes are named, the rest are counted, and others stand beside it."""
    pipe.send(numbered("honest", [0, 1, 3]))
    pipe.store(0, 0, 2)
    pipe.commit({0: 3})
    forged(pipe, "every-other", "number * 2", 150_000)
    forged(pipe, "scattered", "number * 100000", 5_000)
    began_seconds = time.monotonic()
    found = balanced(pipe)
    assert time.monotonic() - began_seconds < MANY_HOLES_SECONDS
    assert ("honest", 2, 2) in seqs(found)
    of = {each.producer_id: each for each in found.incomplete}
    assert {name: each.missing for name, each in of.items()} == {
        "honest": 1,
        "every-other": 149_999,
        "scattered": 4_999 * 99_999,
    }
    assert found.missing == sum(each.missing for each in of.values())
    assert found.stored == 155_003
    named = Counter(each.producer_id for each in found.absent)
    assert named == {"honest": 1, "every-other": 100, "scattered": 100}
    assert of["every-other"].unnamed == 149_999 - 100
    with ClickHouse(pipe.database) as storage:
        assert missing_events(storage, settle_seconds=0) == found.missing
    told = run_here("account", settings=settings_of(pipe.kafka, pipe.database))
    assert told.returncode == 1
    assert (
        b"missing: 149899 more events of producer every-other, in holes between seq 201 and 299998"
        in told.stdout.splitlines()
    )


def test_another_look_sees_what_has_come_since(pipe: Pipe) -> None:
    """Holes are remembered of a producer of whom nothing has come since, and are looked for again of the others."""
    pipe.send(numbered("p", [0, 2, 4]) + numbered("q", [0, 2]) + numbered("p", [1]))
    pipe.store(0, 0, 4)
    between = {"p": Range(0, 4), "q": Range(0, 2)}
    with ClickHouse(pipe.database) as storage:
        gaps = GapFinder(storage)
        first = gaps.holes(between)
        assert {name: list(found.exact) for name, found in first.items()} == {
            "p": [(1, 1), (3, 3)],
            "q": [(1, 1)],
        }
        assert gaps.holes(between) == first
        pipe.store(0, 5, 5)
        second = gaps.holes(between)
        assert list(second["p"].exact) == [(3, 3)]
        assert second["q"] is first["q"]


def test_what_is_on_its_way_is_not_missing_however_many_holes_it_leaves(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Above the holes that are told apart, what waits in Kafka and in the spools still counts as there."""
    monkeypatch.setattr(sequence_gaps, "MAX_STRETCHES_PER_PRODUCER", 4)
    pipe.send(numbered("p", range(0, 60, 3)))
    pipe.send(numbered("p", range(1, 60, 3)), partition=1)
    pipe.store(0, 0, 19)
    pipe.commit({0: 20})
    spooled = numbered("p", range(2, 60, 3))
    found = balanced(pipe, spooled)
    assert (found.stored, found.in_kafka, found.spooled, found.missing) == (20, 20, 20, 0)
    found = balanced(pipe, spooled[1:10] + spooled[11:])
    assert (found.missing, found.incomplete[0].unnamed) == (2, 1)


def test_a_forged_number_drowns_nobody(pipe: Pipe) -> None:
    """A jump that no loss explains is named as such, by itself, and what is missing stays a number one can read."""
    pipe.send(numbered("p", [0, 2, 2**64 - 1]) + numbered("q", [0, 2]))
    pipe.store(0, 0, 4)
    pipe.commit({0: 5})
    found = balanced(pipe)
    assert (found.missing, found.implausible, found.emitted) == (2, 1, 7)
    assert [(each.producer_id, each.missing, each.implausible) for each in found.incomplete] == [
        ("p", 1, 1),
        ("q", 1, 0),
    ]
    with ClickHouse(pipe.database) as storage:
        assert missing_events(storage, settle_seconds=0) == 3
    told = run_here("account", settings=settings_of(pipe.kafka, pipe.database))
    assert told.returncode == 1
    assert f"implausible: producer p jumps over seq 3 to {2**64 - 2}".encode() in told.stdout
