"""What follows from the log: found where it does not, filled on an upgrade, made anew while others write and read."""

import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from airline_fleet import fleet, store_fleet, store_records
from command_line import run_command, settings_of
from trailhouse.operate import rebuild as rebuild_module
from trailhouse.operate.derived_rows import DerivedRows, compare_derived, compare_table
from trailhouse.operate.rebuild import TAKEN, Rebuilt, rebuild
from trailhouse.operate.setup import fill_derived_tables
from trailhouse.schemas import AuditEvent, KafkaConfig
from trailhouse.schemas.errors import StorageRejectedError, StorageUnavailableError
from trailhouse.schemas.migrations import migrations
from trailhouse.store import ClickHouse, ClickHouseConfig
from trailhouse.store.derived_tables import DerivedTable, derived_tables
from trailhouse.store.migrate import migrate
from waiting import DEADLINE_SECONDS

pytestmark = pytest.mark.cluster

EVENTS = fleet()[:900]
BOOKED = sum(event.type in {"token_usage_updated", "run_completed"} for event in EVENTS)


@pytest.fixture
def storage(database: ClickHouseConfig) -> ClickHouse:
    """Return a database that holds some runs, a third of their events twice."""
    store_fleet(database, EVENTS)
    return ClickHouse(database)


def counts(storage: ClickHouse) -> tuple[int, int, str]:
    """Return what readers see: how many events by time, how much usage, and a digest of all."""
    [[events, digest]] = storage.query(
        "SELECT count(), toString(groupBitXor(cityHash64(record_key, type, run_id))) FROM events_by_time"
    ).rows
    [[usage]] = storage.query("SELECT count() FROM usage_by_time").rows
    return events, usage, digest


def faults(found: Sequence[DerivedRows]) -> list[tuple[str, int, int, int]]:
    """Return by table what is missing, too much and altered."""
    return [
        (
            table.table,
            sum(day.missing for day in table.differing),
            sum(day.extra for day in table.differing),
            sum(day.altered for day in table.differing),
        )
        for table in found
    ]


def lose(storage: ClickHouse, table: str, condition: str) -> None:
    """Take rows out of a derived table, as a broken disk or a hand would."""
    storage.command(f"ALTER TABLE {table} DELETE WHERE {condition} SETTINGS mutations_sync = 1")


def test_what_an_insert_fills_follows_from_the_log(storage: ClickHouse) -> None:
    """Copies and unmerged parts are no difference; each table has its row for each event."""
    found = compare_derived(storage)
    assert [(each.table, each.rows, each.is_sound) for each in found] == [
        ("event_index", len(EVENTS), True),
        ("event_usage", BOOKED, True),
    ]
    assert [each.action for each in rebuild(storage)] == ["kept", "kept"]


def test_records_are_not_read_for_their_lengths(database: ClickHouseConfig) -> None:
    """The index says how long each record is; ClickHouse knows it without the record."""
    heavy = {"text": "x" * 100_000}
    store_fleet(
        database, [AuditEvent(type="message_sent", session_id="s", data=heavy) for _ in range(60)]
    )
    with ClickHouse(database) as storage:
        lengths = "SELECT min(record_bytes) FROM events_by_time"
        assert storage.query(lengths).rows[0][0] > 100_000
        read = "SELECT value FROM system.events WHERE event = 'SelectedBytes'"
        before = int(storage.query(read).rows[0][0])
        assert [each.is_sound for each in compare_derived(storage)] == [True, True]
        assert int(storage.query(read).rows[0][0]) - before < 3_000_000


def test_rows_that_are_missing_are_named_by_day_and_added(storage: ClickHouse) -> None:
    """One event or all of a type: the days are named, the rows come back, and a second call finds nothing to do."""
    before = counts(storage)
    lose(storage, "event_index", "run_id = 'airline-01-trial-0'")
    lose(storage, "event_usage", "type = 'run_completed'")
    gone = sum(event.run_id == "airline-01-trial-0" for event in EVENTS)
    completed = sum(event.type == "run_completed" for event in EVENTS)
    assert faults(compare_derived(storage)) == [
        ("event_index", gone, 0, 0),
        ("event_usage", completed, 0, 0),
    ]
    done = rebuild(storage)
    assert [(each.action, each.added) for each in done] == [("mended", gone), ("mended", completed)]
    assert counts(storage) == before
    assert [each.action for each in rebuild(storage)] == ["kept", "kept"]


def test_rows_too_many_and_rows_that_say_otherwise_make_the_table_anew(storage: ClickHouse) -> None:
    """What follows from no event is gone, what was altered says again what its event says, by every way of reading."""
    before = counts(storage)
    storage.command(
        "INSERT INTO event_index (occurred_us, session_id, record_key) VALUES (1790000000000000, 'forged', 'x')"
    )
    storage.command(
        "ALTER TABLE event_index UPDATE cost_usd = 5 WHERE type = 'run_completed' SETTINGS mutations_sync = 1"
    )
    completed = sum(event.type == "run_completed" for event in EVENTS)
    [index, usage] = compare_derived(storage)
    assert faults([index]) == [("event_index", 0, 1, completed)]
    assert usage.is_sound
    done = rebuild(storage)
    assert [(each.action, each.removed, each.corrected) for each in done] == [
        ("remade", 1, completed),
        ("kept", 0, 0),
    ]
    assert counts(storage) == before
    [[odd]] = storage.query("SELECT count() FROM events_by_time_as_stored WHERE cost_usd = 5").rows
    assert odd == 0
    assert leftovers(storage) == []


def leftovers(storage: ClickHouse) -> list[str]:
    """Return the names of tables and views that no migration makes."""
    return [
        name
        for (name,) in storage.query(
            "SELECT name FROM system.tables WHERE database = currentDatabase() AND name LIKE '%rebuil%'"
        ).rows
    ]


class Traffic:
    """A worker that stores and a reader that counts, each in a thread of its own, until the worker has stored all."""

    def __init__(self, config: ClickHouseConfig, arriving: Sequence[AuditEvent]) -> None:
        self._config = config
        self._arriving = arriving
        self.least = self.most = len(EVENTS)
        self.is_stored = threading.Event()

    def write(self) -> None:
        """Store a few events at a time."""
        with ClickHouse(self._config) as worker:
            for first in range(0, len(self._arriving), 25):
                part = self._arriving[first : first + 25]
                self.most += len(part)
                store_records(worker, [event.record for event in part], 200_000 + first)
                self.least += len(part)
        self.is_stored.set()

    def read(self) -> list[tuple[int, int, int]]:
        """Return again and again what was stored before, what was counted, and what was being stored after."""
        seen = []
        with ClickHouse(self._config) as reader:
            while not self.is_stored.is_set():
                least = self.least
                [[counted]] = reader.query("SELECT count() FROM events_by_time").rows
                seen.append((least, counted, self.most))
        return seen


def test_readers_see_nothing_less_or_twice_while_all_is_made_anew(
    storage: ClickHouse, database: ClickHouseConfig
) -> None:
    """Events arrive and are counted all the time: no count falls, and none is beyond what was stored."""
    traffic = Traffic(database, fleet()[900:1400])
    done: list[Rebuilt] = []
    with ThreadPoolExecutor(2) as threads:
        reading, writing = threads.submit(traffic.read), threads.submit(traffic.write)
        try:
            while not done or not writing.done():
                done += rebuild(storage, is_anew=True)
            writing.result(DEADLINE_SECONDS)
        finally:
            traffic.is_stored.set()
        seen = reading.result(DEADLINE_SECONDS)
    assert {each.action for each in done} == {"remade"}
    assert len(seen) > 10
    assert [row for row in seen if not row[0] <= row[1] <= row[2]] == []
    assert all(table.is_sound for table in compare_derived(storage))
    assert counts(storage)[0] == 1400


@pytest.mark.parametrize(
    "at",
    [
        "CREATE MATERIALIZED VIEW",
        "INSERT INTO event_index_rebuilt",
        "EXCHANGE",
        "DROP VIEW",
        "DROP TABLE",
    ],
)
def test_whatever_cuts_it_off_the_next_call_ends_in_the_same(
    storage: ClickHouse, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """Killed before any of its steps, it leaves readers with all; a plain call says so, and another takes over."""
    before = counts(storage)
    command = ClickHouse.command

    def dies(self: ClickHouse, sql: str, *rest: object, **options: object) -> None:
        if is_dead or sql.startswith(at):
            is_dead.append(True)
            raise StorageUnavailableError("gone")
        command(self, sql, *rest, **options)  # type: ignore[arg-type]

    is_dead: list[bool] = []
    with monkeypatch.context() as patched:
        patched.setattr(ClickHouse, "command", dies)
        with pytest.raises(StorageUnavailableError, match="gone"):
            rebuild(storage, is_anew=True)
    assert counts(storage) == before
    store_records(storage, [fleet()[900].record], 300_000)
    if leftovers(storage):
        with pytest.raises(
            StorageRejectedError, match="`trailhouse rebuild --take-over` begins anew"
        ):
            rebuild(storage)
    assert [each.action for each in rebuild(storage, takes_over=True)] == ["kept", "kept"]
    assert counts(storage)[0] == before[0] + 1
    assert leftovers(storage) == []


def test_who_lost_the_table_to_another_call_exchanges_nothing(
    storage: ClickHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that was thought dead and goes on finds another's table beside, and leaves it alone."""
    seen: list[str] = []

    def taken_over(
        own: ClickHouse, table: DerivedTable, name: str, report: Callable[[str], None]
    ) -> DerivedRows:
        seen.append(name)
        found = compare_table(own, table, name, report)
        if name == "event_index_rebuilt":
            storage.command("DROP VIEW event_index_rebuilding SYNC")
            storage.command("DROP TABLE event_index_rebuilt SYNC")
            storage.command("CREATE TABLE event_index_rebuilt AS event_index")
        return found

    monkeypatch.setattr(rebuild_module, "compare_table", taken_over)
    with pytest.raises(StorageRejectedError, match="has taken over"):
        rebuild(storage, is_anew=True)
    assert counts(storage)[0] == len(EVENTS)
    assert leftovers(storage) == ["event_index_rebuilt"]
    assert seen == ["event_index", "event_index_rebuilt"]


def test_an_upgrade_fills_what_it_makes(clickhouse: ClickHouseConfig) -> None:
    """A log of an earlier version gets its tables with its rows in them, and a second call does nothing."""
    migrate(clickhouse, migrations()[:2])
    store_fleet(clickhouse, EVENTS)
    said: list[str] = []
    steps = fill_derived_tables(clickhouse, migrate(clickhouse), (), said.append)
    assert [(step.subject.split(" in ")[0], step.action, step.detail) for step in steps] == [
        ("rows of event_index", "create", f"{len(EVENTS)} rows from the log"),
        ("rows of event_usage", "create", f"{BOOKED} rows from the log"),
    ]
    assert said
    with ClickHouse(clickhouse) as storage:
        assert counts(storage)[:2] == (len(EVENTS), BOOKED)
    assert fill_derived_tables(clickhouse, migrate(clickhouse), (), said.append) == ()


def test_a_fill_that_was_killed_is_named_by_the_next_init(
    storage: ClickHouse, database: ClickHouseConfig
) -> None:
    """What it left behind shows that rows may be missing; `init` leaves it alone and says the way out."""
    create, _ = derived_tables()[0].beside("event_index_rebuilt", "event_index_rebuilding")
    storage.command(create.replace("{database}.", ""))
    [step] = fill_derived_tables(database, (), (), lambda _: None)
    assert step.action == "differs"
    assert "`trailhouse rebuild --take-over` begins anew" in step.detail


def test_two_at_a_time_do_no_harm(storage: ClickHouse, database: ClickHouseConfig) -> None:
    """One makes the table anew; the other is refused, or comes after it."""
    before = counts(storage)

    def run(_: int) -> str:
        with ClickHouse(database) as own:
            try:
                return ",".join(each.action for each in rebuild(own, is_anew=True))
            except StorageRejectedError as error:
                assert error.name == TAKEN, error
                return "taken"

    with ThreadPoolExecutor(2) as threads:
        results: list[str] = list(threads.map(run, range(2)))
    assert set(results) <= {"remade,remade", "taken"}
    assert "remade,remade" in results
    assert counts(storage) == before
    assert leftovers(storage) == []


@pytest.mark.long
def test_a_shell_is_told_what_lacks_and_mends_it(
    kafka: KafkaConfig, storage: ClickHouse, database: ClickHouseConfig
) -> None:
    """`reconcile` names table, day and count and exits with 1, `rebuild` says what it did, and then all is in order."""
    settings = settings_of(kafka, database)
    lose(storage, "event_index", "run_id = 'airline-01-trial-0'")
    gone = sum(event.run_id == "airline-01-trial-0" for event in EVENTS)
    on_day = sum(f"{event.occurred_at:%F}" == "2026-10-01" for event in EVENTS)
    told = run_command("reconcile", settings=settings)
    assert told.returncode == 1, told
    assert (
        f"event_index, 2026-10-01: lacks {gone} of {on_day} rows, has 0 too many, 0 say".encode()
        in told.stdout
    )
    assert f"event_usage follows from the log: {BOOKED} rows".encode() in told.stdout
    mended = run_command("rebuild", settings=settings)
    assert mended.returncode == 0, mended
    assert mended.stdout.decode().splitlines() == [
        f"event_index: added {gone} rows that it lacked; {len(EVENTS)} rows",
        f"event_usage: follows from the log, nothing was done; {BOOKED} rows",
    ]
    again = run_command("reconcile", settings=settings)
    assert again.returncode == 0, again
    assert f"event_index follows from the log: {len(EVENTS)} rows".encode() in again.stdout
    anew = run_command("rebuild", "--anew", "--format", "json", settings=settings)
    assert [each["action"] for each in json.loads(anew.stdout)] == ["remade", "remade"]
