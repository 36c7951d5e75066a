"""`trailhouse quarantine`: what is not an event can be seen, and comes back when it has become one."""

import json

import pytest

from balancing import HEADERS, Pipe, run_here
from command_line import settings_of
from producing import read_topic
from trailhouse.broker.requeuer import HEADER
from trailhouse.schemas import AuditEvent, KafkaConfig
from trailhouse.store import ClickHouse, ClickHouseConfig

pytestmark = pytest.mark.cluster
EVENT = AuditEvent(type="a", session_id="s", data={"secret": "personal"})
BAD = b'{"secret": "personal"\xff\x00'


@pytest.fixture
def pipe(kafka: KafkaConfig, database: ClickHouseConfig) -> Pipe:
    """Return a topic whose first three records are in quarantine; the third is an event today."""
    made = Pipe(kafka, database)
    made.send([BAD, None, EVENT.record], partition=1, key=b"k\xfe")
    made.store(1, 0, 1)
    with ClickHouse(database) as storage:
        storage.command(
            "INSERT INTO event_quarantine SELECT * REPLACE (2 AS kafka_offset, 2 AS last_offset,"
            " unhex({record:String}) AS record, toUInt64({size:UInt64}) AS size_bytes,"
            " SHA256(unhex({record:String})) AS record_hash,"
            " 'type: was unknown then' AS reason) FROM (SELECT * FROM event_quarantine WHERE kafka_offset = 0)",
            {"record": EVENT.record.hex(), "size": len(EVENT.record)},
        )
    return made


def test_list_shows_everything_but_contents(pipe: Pipe) -> None:
    """OffsetRef, time, reason and size of each, filtered as told; never a byte of the record."""
    settings = settings_of(pipe.kafka, pipe.database)
    result = run_here("quarantine", "list", "--format", "json", settings=settings)
    rows = json.loads(result.stdout)
    assert [(row["partition"], row["offset"], row["size_bytes"]) for row in rows] == [
        (1, 2, len(EVENT.record)),
        (1, 1, None),
        (1, 0, len(BAD)),
    ]
    assert [(row["decodes"], row["stored"]) for row in rows] == [
        (True, False),
        (False, False),
        (False, False),
    ]
    assert b"personal" not in result.stdout
    table = run_here(
        "quarantine",
        "list",
        "--reason",
        "UNKNOWN",
        "--since",
        "1h",
        "--limit",
        "5",
        settings=settings,
    )
    header, line = table.stdout.decode().splitlines()
    assert header.split() == [
        "partition:offset",
        "appended",
        "bytes",
        "decodes",
        "stored",
        "reason",
    ]
    assert line.startswith("1:2 ")
    none = run_here("quarantine", "list", "--until", "1h", settings=settings)
    assert (none.returncode, none.stdout) == (0, b"")
    assert none.stderr == (
        b"nothing in quarantine matches; without --since, --until and --reason all is listed\n"
    )


def test_an_empty_quarantine_is_told_from_a_filter_that_matches_nothing(
    kafka: KafkaConfig, database: ClickHouseConfig
) -> None:
    """What has nothing says so, whatever is asked of it."""
    settings = settings_of(kafka, database)

    empty = run_here("quarantine", "list", "--reason", "unknown", settings=settings)

    assert (empty.returncode, empty.stderr) == (0, b"nothing in quarantine\n")


def test_show_gives_the_exact_bytes(pipe: Pipe) -> None:
    """`--raw` is the record to the byte; without it place, reason, key and headers are told."""
    settings = settings_of(pipe.kafka, pipe.database)
    assert run_here("quarantine", "show", "1:0", "--raw", settings=settings).stdout == BAD
    told = run_here("quarantine", "show", "1:0", settings=settings).stdout.decode()
    for fact in (
        "1:0",
        "reason       record",
        "k\\xfe",
        "header       h = \\xff\\x00",
        "header       n = null",
    ):
        assert fact in told
    null = run_here("quarantine", "show", "1:1", "--raw", settings=settings)
    assert (null.returncode, null.stdout, null.stderr) == (0, b"", b"the record has no value\n")
    missing = run_here("quarantine", "show", "1:7", settings=settings)
    assert missing.returncode == 2
    assert b"has no record in quarantine from partition 1, offset 7" in missing.stderr


def test_requeue_sends_what_decodes_today_once(pipe: Pipe) -> None:
    """Bytes, key and headers are the same, with the place it came from; stored, it is not sent again."""
    settings = settings_of(pipe.kafka, pipe.database)
    before = len(read_topic(pipe.kafka))
    dry = run_here("quarantine", "requeue", "--all", "--dry-run", settings=settings)
    assert dry.stdout.splitlines()[-1] == b"1 record would be sent, 2 not"
    assert len(read_topic(pipe.kafka)) == before
    sent = run_here("quarantine", "requeue", "--all", settings=settings)
    assert sent.returncode == 0, sent
    assert b"1:0 not sent: it would come back: record" in sent.stdout
    assert sent.stdout.splitlines()[-1] == b"1 record sent, 2 not"
    (place,) = [line.split()[-1] for line in sent.stdout.splitlines() if b" sent to " in line]
    partition, offset = (int(number) for number in place.split(b":"))
    found = {(message.partition(), message.offset()): message for message in read_topic(pipe.kafka)}
    message = found[partition, offset]
    assert (message.value(), message.key()) == (EVENT.record, b"k\xfe")
    source = f"{pipe.origin().topic_id}:1:2".encode()
    assert message.headers() == [*HEADERS, (HEADER, source)]
    pipe.store(partition, offset, offset)
    again = run_here("quarantine", "requeue", "1:2", settings=settings)
    assert again.returncode == 1
    assert b"1:2 not sent: it is stored already" in again.stdout
    listed = run_here("quarantine", "list", "--format", "json", settings=settings).stdout
    assert [row["stored"] for row in json.loads(listed)] == [True, False, False]


def test_requeue_by_force_sends_the_rest_too(pipe: Pipe) -> None:
    """`--force` sends what does not decode, a null record too; it comes back with its origin."""
    settings = settings_of(pipe.kafka, pipe.database)
    sent = run_here("quarantine", "requeue", "1:0", "1:1", "--force", settings=settings)
    assert (sent.returncode, sent.stdout.splitlines()[-1]) == (0, b"2 records sent, 0 not")
    values = [message.value() for message in read_topic(pipe.kafka)]
    assert sorted(map(repr, values)) == sorted(map(repr, [BAD, None, EVENT.record, BAD, None]))


def test_wrong_use_and_a_missing_topic_are_one_line(pipe: Pipe) -> None:
    """Neither nor both of places and --all, a place that is none, a topic that is not there."""
    settings = settings_of(pipe.kafka, pipe.database)
    for arguments in ([], ["1:2", "--all"], ["1-2"], ["1:2", "--since", "1h"]):
        wrong = run_here("quarantine", "requeue", *arguments, settings=settings)
        assert (wrong.returncode, len(wrong.stderr.splitlines())) == (2, 1), wrong
    away = settings | {"TRAILHOUSE_KAFKA_TOPIC": "missing"}
    result = run_here("quarantine", "requeue", "1:2", settings=away)
    assert result.returncode == 2
    assert b"error: topic missing has no record in quarantine" in result.stderr
