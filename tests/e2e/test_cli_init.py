"""`trailhouse init` against a real Kafka and the real ClickHouse engine: what is missing, and what differs."""

import subprocess
import uuid

import msgspec
import pytest

from command_line import PROGRAM, environment, one_error, run_command, settings_of
from stored import in_order, store
from trailhouse.broker.admin import KafkaAdmin
from trailhouse.operate.setup import apply_init, plan_init
from trailhouse.schemas import AuditEvent, KafkaConfig
from trailhouse.schemas.migrations import migrations
from trailhouse.store import ClickHouse, ClickHouseConfig
from waiting import DEADLINE_SECONDS

pytestmark = pytest.mark.cluster

NOWHERE = "127.0.0.1:1"


@pytest.fixture
def settings(kafka: KafkaConfig, database: ClickHouseConfig) -> dict[str, str]:
    """Return the variables of a fresh topic and a fresh database with tables."""
    return settings_of(kafka, database)


def test_init_makes_what_is_missing_once(kafka: KafkaConfig, clickhouse: ClickHouseConfig) -> None:
    """A dry run changes nothing, the first run makes topic and tables, the second nothing."""
    fresh = msgspec.structs.replace(kafka, topic=f"init-{uuid.uuid4().hex[:12]}", partitions=3)
    ours = settings_of(fresh, clickhouse)
    for _ in range(2):
        planned = run_command("init", "--dry-run", settings=ours)
        assert planned.returncode == 0, planned
        assert planned.stdout.count(b"would create") == 1 + len(migrations()), planned.stdout
    assert KafkaAdmin(fresh).topic() is None
    made = run_command("init", settings=ours)
    assert made.returncode == 0, made
    assert made.stdout.count(b"created") == 1 + len(migrations()), made.stdout
    again = run_command("init", settings=ours)
    assert (again.returncode, again.stdout.count(b"is there")) == (0, 2), again.stdout
    topic = KafkaAdmin(fresh).topic()
    assert topic is not None
    assert topic.partitions == 3
    assert topic.options["message.timestamp.type"] == "LogAppendTime"


@pytest.mark.long
def test_init_mends_what_was_dropped(settings: dict[str, str], database: ClickHouseConfig) -> None:
    """Running it again makes what is missing, says what, and leaves the events as they are."""
    event = AuditEvent(type="a", session_id="s")
    store(database, in_order([event]))
    with ClickHouse(database) as clickhouse:
        clickhouse.command("DROP VIEW events SYNC")
    assert "run `trailhouse init`" in one_error(run_command("log", "s", settings=settings))
    planned = run_command("init", "--dry-run", settings=settings)
    assert (
        f"view events in {database.database}: would create (it was missing)".encode()
        in planned.stdout
    )
    made = run_command("init", settings=settings)
    assert f"view events in {database.database}: created (it was missing)".encode() in made.stdout
    told = run_command("log", "s", "--format", "jsonl", settings=settings)
    assert (told.returncode, told.stdout) == (0, event.record + b"\n")
    assert b"is there (all migrations are applied)" in run_command("init", settings=settings).stdout


def test_init_names_a_column_that_no_migration_brings_back(
    kafka: KafkaConfig, database: ClickHouseConfig
) -> None:
    """A column that somebody renamed is named; one that a migration adds is made anew."""
    with ClickHouse(database) as clickhouse:
        clickhouse.command("ALTER TABLE event_log DROP COLUMN seq")
        clickhouse.command("ALTER TABLE event_log RENAME COLUMN model TO other")
    for steps in (plan_init(kafka, database), apply_init(kafka, database)):
        assert [(step.subject.partition(" in ")[0], step.action) for step in steps[1:]] == [
            ("column event_log.seq", "create"),
            ("table event_log", "differs"),
        ]
        assert steps[-1].detail.startswith("lacks model: ")


def test_init_tells_a_difference_and_leaves_it(
    kafka: KafkaConfig, database: ClickHouseConfig
) -> None:
    """A topic that is not as the settings say is reported with both values and not touched."""
    wanted = msgspec.structs.replace(kafka, partitions=7, retention_hours=1)
    for steps in (plan_init(wanted, database), apply_init(wanted, database)):
        assert [step.action for step in steps] == ["differs", "keep"]
        assert steps[0].detail == (
            "partitions is 4, settings say 7; retention.ms is 604800000, settings say 3600000"
        )
    topic = KafkaAdmin(kafka).topic()
    assert topic is not None
    assert topic.partitions == 4


def test_init_by_two_processes_at_once_is_one(
    kafka: KafkaConfig, clickhouse: ClickHouseConfig
) -> None:
    """Two that start together both succeed, and what they made is whole."""
    fresh = msgspec.structs.replace(kafka, topic=f"race-{uuid.uuid4().hex[:12]}")
    ours = settings_of(fresh, clickhouse)
    both = [
        subprocess.Popen([*PROGRAM, "init"], env=environment(ours), stdout=subprocess.DEVNULL)
        for _ in range(2)
    ]
    assert [process.wait(DEADLINE_SECONDS) for process in both] == [0, 0]
    assert {step.action for step in plan_init(fresh, clickhouse)} == {"keep"}


@pytest.mark.long
@pytest.mark.parametrize(
    ("away", "named"),
    [
        ({"TRAILHOUSE_KAFKA_BOOTSTRAP_SERVERS": NOWHERE}, "Kafka at 127.0.0.1:1 does not answer"),
        ({"TRAILHOUSE_CLICKHOUSE_URL": f"http://{NOWHERE}"}, f"ClickHouse at http://{NOWHERE}"),
    ],
    ids=["Kafka", "ClickHouse"],
)
def test_init_says_which_part_is_away(
    settings: dict[str, str], away: dict[str, str], named: str
) -> None:
    """A part that does not answer is named with its address, in one line, within the deadline."""
    result = run_command("init", settings=settings | away)
    assert named in one_error(result)
    assert len(result.stderr.splitlines()) == 1
