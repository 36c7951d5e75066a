"""The reader against the real engine: each event once, equal to the last byte, and only one's own."""

import datetime as dt
import re
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from stored import START_MS, a_session, event, in_order, store
from trailhouse.query import AuditReader
from trailhouse.query.filtering.conditions import scope, scope_parameters
from trailhouse.query.filtering.filters import session_filter
from trailhouse.query.session_log.append_order import keys_sql
from trailhouse.schemas import Actor, AuditEvent, EventType, decode
from trailhouse.schemas.errors import (
    ConfigError,
    SchemaMismatchError,
    StorageRejectedError,
    StorageUnavailableError,
)
from trailhouse.schemas.migrations import Migration, migrations
from trailhouse.store import ClickHouse, ClickHouseConfig
from trailhouse.store.migrate import migrate

pytestmark = pytest.mark.cluster

ON_ONE_DATABASE = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | texts
    | st.floats(allow_nan=False, allow_infinity=False),
    st.lists,
    max_leaves=5,
)


@pytest.fixture
def reader(database: ClickHouseConfig) -> Iterator[AuditReader]:
    """Return a reader of all tenants over a fresh database."""
    with AuditReader(config=database) as opened:
        yield opened


def records(events: Sequence[AuditEvent]) -> list[bytes]:
    """Return the bytes of *events*."""
    return [each.record for each in events]


@ON_ONE_DATABASE
@given(
    fields=st.lists(
        st.fixed_dictionaries(
            {
                "type": st.sampled_from(EventType) | st.from_regex(r"[a-z][a-z0-9_.]{0,63}", fullmatch=True),
                "occurred_at": st.datetimes(timezones=st.timezones()),
                "data": st.dictionaries(texts, plain, max_size=5),
                "metadata": st.dictionaries(texts, texts, max_size=3),
            },
            optional={"tenant_id": ids, "run_id": ids, "agent_id": ids, "provider": ids, "trace_id": ids,
                      "actor": st.builds(Actor, type=texts, id=texts)},
        ),
        min_size=1, max_size=8,
    ),
    session=ids,
)  # fmt: skip
def test_an_event_comes_back_equal_to_the_last_byte(
    reader: AuditReader, database: ClickHouseConfig, fields: list[dict[str, Any]], session: str
) -> None:
    """Any session, any content, any time from year 1 to 9999: equal, and the same bytes."""
    assume(
        all(
            dt.datetime(1, 1, 2, tzinfo=dt.UTC)
            < each["occurred_at"]
            < dt.datetime(9999, 12, 30, tzinfo=dt.UTC)
            for each in fields
        )
    )
    session = f"{session[:30]}{uuid.uuid4()}"
    emitted = [event(session, **each) for each in fields]
    store(database, in_order(emitted))
    read = reader.get_audit_log(session)
    assert read == emitted
    assert records(read) == records(emitted)


def test_a_record_of_another_spelling_keeps_its_bytes(
    reader: AuditReader, database: ClickHouseConfig
) -> None:
    """White space, key order and fields of a newer schema come back as they were."""
    session = a_session()
    record = (
        f'{{ "type" : "custom.type", "session_id":"{session}", "from_the_future": {{"a": 1.0}},\n'
        f' "event_id":"{uuid.uuid4()}", "occurred_at":"0001-01-01T00:00:00Z", "schema_version": 7 }}'
    ).encode()
    foreign = decode(record)
    store(database, in_order([foreign]))
    (read,) = reader.get_audit_log(session)
    assert read == foreign
    assert read.record == record
    assert read.unknown_fields == {"from_the_future": {"a": 1.0}}


def test_a_copy_is_never_seen(reader: AuditReader, database: ClickHouseConfig) -> None:
    """An event that Kafka holds twice, or that was inserted twice, is one event at its first place."""
    session = a_session()
    emitted = [event(session) for _ in range(20)]
    for first_offset in (0, 1_000, 0):
        store(database, in_order(emitted, first_offset))
    store(database, in_order(list(reversed(emitted)), 5_000, partition=3))
    assert reader.get_audit_log(session) == emitted
    assert reader.conflicts(session) == []
    assert reader.overview().stored == 20


def test_a_session_that_nobody_recorded_is_empty(reader: AuditReader) -> None:
    """No events is an answer and not an error."""
    assert reader.get_audit_log(a_session()) == []
    assert reader.conflicts(a_session()) == []


def test_a_long_session_comes_back_whole(reader: AuditReader, database: ClickHouseConfig) -> None:
    """Thousands of events, with and without a filter, in order."""
    session = a_session()
    emitted = [
        event(session, run_id=f"run-{place % 2}", data={"place": place}) for place in range(5_000)
    ]
    store(database, in_order(emitted))
    assert reader.get_audit_log(session) == emitted
    assert reader.get_audit_log(session, run_id="run-1") == emitted[1::2]


def test_a_reader_of_one_tenant_sees_nothing_else(database: ClickHouseConfig) -> None:
    """Two tenants may use the same session, run and even the same id; each sees its own, and None sees all."""
    session = a_session()
    shared_id = str(uuid.uuid4())
    ours = [
        event(session, tenant_id="a", run_id="r"),
        event(session, tenant_id="a", event_id=shared_id),
    ]
    theirs = [
        event(session, tenant_id="b", run_id="r"),
        event(session, tenant_id="b", event_id=shared_id),
    ]
    nobodys = [event(session, run_id="r")]
    store(database, in_order([*ours, *theirs, *nobodys]))
    with AuditReader("a", config=database) as reader:
        assert reader.get_audit_log(session) == ours
        assert reader.get_audit_log(session, run_id="r") == ours[:1]
        assert reader.conflicts(session) == []
        assert reader.overview().stored == 2
        assert reader.overview().quarantined is None
    with AuditReader(config=database) as reader:
        assert reader.get_audit_log(session) == [*ours, *theirs, *nobodys]
        assert reader.get_audit_log(session, run_id="r") == [ours[0], theirs[0], nobodys[0]]
        assert reader.conflicts(session) == []


def test_one_id_with_different_contents_is_kept_and_named(database: ClickHouseConfig) -> None:
    """Every content is in the log, in order, and `conflicts` says which belong together."""
    session = a_session()
    twice, thrice = str(uuid.uuid4()), str(uuid.uuid4())
    moment = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    emitted = [
        event(session),
        event(session, event_id=twice, data={"version": 1}, occurred_at=moment),
        event(session, event_id=thrice, data={"version": 1}, tenant_id="a"),
        event(session, event_id=twice, data={"version": 2}, occurred_at=moment),
        event(session, event_id=thrice, data={"version": 2}, tenant_id="a"),
        event(session, event_id=thrice, data={"version": 3}, tenant_id="a"),
        event(session, event_id=thrice, data={"version": 4}, tenant_id="b"),
    ]
    store(database, in_order(emitted))
    store(database, in_order(emitted, 100))
    with AuditReader(config=database) as reader:
        assert reader.get_audit_log(session) == emitted
        first, second = reader.conflicts(session)
        assert (first.event_id, list(first.events)) == (twice, [emitted[1], emitted[3]])
        assert (second.event_id, list(second.events)) == (
            thrice,
            [emitted[2], emitted[4], emitted[5]],
        )
    with AuditReader("b", config=database) as reader:
        assert reader.conflicts(session) == []


def test_totals_count_each_event_once(reader: AuditReader, database: ClickHouseConfig) -> None:
    """Copies in other parts do not count; outcomes and the last event are those of the log."""
    session = a_session()
    kinds = (
        ["run_started"] * 4 + ["run_completed"] * 2 + ["run_failed", "run_cancelled", "custom.type"]
    )
    emitted = [
        event(session, kind, occurred_at=dt.datetime(2026, 1, 1 + place, tzinfo=dt.UTC))
        for place, kind in enumerate(kinds)
    ]
    for first_offset in (0, 50):
        store(database, in_order(emitted, first_offset))
    overview = reader.overview()
    assert overview.stored == len(kinds)
    assert overview.quarantined == 0
    assert overview.by_type == {
        "run_started": 4,
        "run_completed": 2,
        "custom.type": 1,
        "run_cancelled": 1,
        "run_failed": 1,
    }
    assert list(overview.by_type)[:2] == ["run_started", "run_completed"]
    assert overview.outcomes == {
        "completed": 2,
        "failed": 1,
        "cancelled": 1,
        "timeout": 0,
        "abandoned": 0,
    }
    assert overview.last_occurred_at == emitted[-1].occurred_at
    assert overview.last_appended_at == dt.datetime.fromtimestamp(
        START_MS / 1000, dt.UTC
    ) + dt.timedelta(milliseconds=len(kinds) - 1)
    assert reader.count_by_type() == overview.by_type


def test_totals_of_nothing_are_zero(reader: AuditReader) -> None:
    """An empty database has totals too."""
    overview = reader.overview()
    assert (overview.stored, overview.quarantined, overview.by_type) == (0, 0, {})
    assert (overview.last_occurred_at, overview.last_appended_at) == (None, None)


def test_a_session_is_read_from_one_granule(database: ClickHouseConfig) -> None:
    """The key leads to the rows of a session; the other granules are not read."""
    with ClickHouse(database) as clickhouse:
        clickhouse.command("SYSTEM STOP MERGES event_log")
        clickhouse.command(
            "INSERT INTO event_log (session_id, event_id, record_key, type, occurred_us, record, kafka_offset)"
            " SELECT concat('session-', toString(100000 + intDiv(number, 100))), generateUUIDv4(number),"
            " substring(SHA256(toString(number)), 1, 16), 'message_sent', 1770000000000000, repeat('x', 500), number"
            " FROM numbers(100000)"
        )
        for tenant_id in (None, ""):
            wanted = session_filter("session-100555", tenant_id=tenant_id)
            for sql in (
                keys_sql(wanted),
                "SELECT record FROM events WHERE session_id = {session_id:String}",
            ):
                plan = clickhouse.query(f"EXPLAIN indexes = 1 {sql}", scope_parameters(wanted)).rows
                lines = [line.strip() for (line,) in plan]
                granules = [line for line in lines if re.match(r"Granules: \d+/", line)]
                total = int(granules[0].rpartition("/")[2])
                chosen = int(re.findall(r"\d+", granules[-1])[0])
                assert total > 20
                assert "Name: by_session" in lines, "expected the index to choose the parts"
                assert chosen <= 2, (
                    f"{chosen} of {total} granules, where a session of 100 events lies in one or straddles two"
                )


def test_nothing_is_read_of_a_session_of_another_tenant(database: ClickHouseConfig) -> None:
    """Its id costs a reader what an id of nobody costs: the index tells them apart before any row is read."""
    first, theirs, ours, nobodys, last = (f"session-{place}" for place in "12345")
    named = {first: "a", theirs: "them", ours: "us", last: "z"}
    store(database, in_order([event(each, tenant_id=tenant) for each, tenant in named.items()]))
    chosen: dict[str, str] = {}
    with ClickHouse(database) as clickhouse:
        for session in (theirs, ours, nobodys):
            wanted = session_filter(session, tenant_id="us")
            sql = f"EXPLAIN indexes = 1 SELECT record FROM events WHERE {scope(wanted)}"
            plan = clickhouse.query(sql, scope_parameters(wanted)).rows
            granules = re.findall(r"Granules: (\d+)/", "\n".join(line for (line,) in plan))
            chosen[session] = granules[-1]
    assert chosen == {theirs: "0", ours: "1", nobodys: "0"}


def test_views_are_enough_for_any_client(database: ClickHouseConfig) -> None:
    """The view shows each event once with its columns, the exact time included."""
    session = a_session()
    moment = dt.datetime(2026, 3, 4, 5, 6, 7, 891_011, tzinfo=dt.UTC)
    emitted = event(session, "run_started", run_id="run", occurred_at=moment)
    for first_offset in (0, 9):
        store(database, in_order([emitted], first_offset))
    with ClickHouse(database) as clickhouse:
        found = clickhouse.query(
            "SELECT type, run_id, occurred_at, record FROM events WHERE session_id = {s:String}",
            {"s": session},
            bytes_columns=["record"],
        )
    assert found.rows == [("run_started", "run", moment, emitted.record)]


def test_a_database_without_tables_says_the_way_out(clickhouse: ClickHouseConfig) -> None:
    """Nothing was set up yet: one line names the command."""
    with (
        AuditReader(config=clickhouse) as reader,
        pytest.raises(StorageRejectedError, match="run `trailhouse init`"),
    ):
        reader.get_audit_log("s")


def test_a_newer_database_is_not_read(database: ClickHouseConfig) -> None:
    """A reader that does not know the tables says which trailhouse does."""
    number = migrations()[-1].number + 1
    newer = Migration(number=number, name="from_the_future", sha256="f" * 64, statements=())
    migrate(database, [*migrations(), newer])
    with (
        AuditReader(config=database) as reader,
        pytest.raises(SchemaMismatchError, match=f"needs trailhouse with migration {number}"),
    ):
        reader.get_audit_log("s")


def test_a_reader_takes_its_settings_from_the_environment(
    database: ClickHouseConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a configuration the variables decide, and a wrong one is named before any question."""
    for name in ("url", "user", "password", "database"):
        monkeypatch.setenv(f"TRAILHOUSE_CLICKHOUSE_{name.upper()}", getattr(database, name))
    store(database, in_order([emitted := event(a_session())]))
    with AuditReader() as reader:
        assert reader.get_audit_log(emitted.session_id) == [emitted]
    monkeypatch.setenv("TRAILHOUSE_CLICKHOUSE_URL", "http://127.0.0.1:9")
    with (
        AuditReader() as reader,
        pytest.raises(StorageUnavailableError, match=r"http://127\.0\.0\.1:9"),
    ):
        reader.get_audit_log("s")
    monkeypatch.setenv("TRAILHOUSE_CLICKHOUSE_URL", "nonsense")
    with pytest.raises(ConfigError, match="url"):
        AuditReader()


def test_a_closed_reader_may_be_closed_again(
    reader: AuditReader, database: ClickHouseConfig
) -> None:
    """Closing twice is no error."""
    store(database, in_order([emitted := event(a_session())]))
    assert reader.get_audit_log(emitted.session_id) == [emitted]
    reader.close()
    reader.close()
