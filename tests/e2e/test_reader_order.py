"""Append order and filters against the real engine: what is asked for, in the order of Kafka."""

import datetime as dt
import itertools
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from stored import START_MS, Placed, a_session, event, in_order, store
from trailhouse.query import AuditReader
from trailhouse.schemas import AuditEvent, EventType
from trailhouse.schemas.errors import (
    QueryError,
)
from trailhouse.store import ClickHouseConfig

pytestmark = pytest.mark.cluster

ON_ONE_DATABASE = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
any_text = st.text(st.characters(exclude_categories=[]), max_size=60)
# fmt: off
AWKWARD = [
    "", "'", '"', "`", "\\", "\\N", "\\'", "%", "%00", "+", "?", ";", "&", "a=b&param_x=1", "NULL", "[]", "  ",
    "\0", "\t", "\n", "\r\n", "\b", "\x7f", "é", "🙂", "\u202e", "\ufeff", "\ud800", "x" * 256, "🙂" * 5_000,
    "'; DROP TABLE event_log; --", "' OR 1=1 --", "{x:String}", "{session_id:String}", "%(x)s", "$1",
]
# fmt: on


MOMENTS = [
    dt.datetime.min.replace(tzinfo=dt.UTC),
    dt.datetime(1899, 12, 31, 23, 59, 59, 999_999, tzinfo=dt.UTC),
    dt.datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=dt.UTC),
    dt.datetime(2026, 1, 1, 0, 0, 0, 0, tzinfo=dt.UTC),
    dt.datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=dt.UTC),
    dt.datetime(2026, 1, 1, 0, 0, 0, 2, tzinfo=dt.UTC),
    dt.datetime(2262, 4, 12, tzinfo=dt.UTC),
    dt.datetime(2300, 1, 1, tzinfo=dt.UTC),
    dt.datetime.max.replace(tzinfo=dt.UTC),
]


@pytest.fixture
def reader(database: ClickHouseConfig) -> Iterator[AuditReader]:
    """Return a reader of all tenants over a fresh database."""
    with AuditReader(config=database) as opened:
        yield opened


def records(events: Sequence[AuditEvent]) -> list[bytes]:
    """Return the bytes of *events*."""
    return [each.record for each in events]


def test_the_offset_decides_within_a_partition(
    reader: AuditReader, database: ClickHouseConfig
) -> None:
    """Neither the time of an event, nor the order of inserts, nor a broker clock that steps back."""
    session = a_session()
    emitted = [
        event(
            session, occurred_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC) - dt.timedelta(hours=place)
        )
        for place in range(6)
    ]
    clock = [5, 4, 9, 1, 1, 0]
    placed = [
        Placed(each, 0, 100 + place, START_MS + clock[place]) for place, each in enumerate(emitted)
    ]
    for each in reversed(placed):
        store(database, [each])
    assert reader.get_audit_log(session) == emitted


def test_the_broker_s_clock_decides_between_partitions(
    reader: AuditReader, database: ClickHouseConfig
) -> None:
    """A topic that was widened: what was appended later comes later, whatever its offset."""
    session = a_session()
    first, second, third = (event(session) for _ in range(3))
    store(
        database,
        [
            Placed(first, 0, 900, START_MS),
            Placed(second, 5, 3, START_MS + 10),
            Placed(third, 5, 4, START_MS + 11),
        ],
    )
    assert reader.get_audit_log(session) == [first, second, third]


def test_a_clock_that_steps_back_does_not_tear_a_partition(
    reader: AuditReader, database: ClickHouseConfig
) -> None:
    """Between partitions an event counts as no earlier than those before it in its own."""
    session = a_session()
    early, late, stepped_back, between = (event(session) for _ in range(4))
    store(
        database,
        [
            Placed(early, 0, 1, START_MS + 10),
            Placed(late, 0, 2, START_MS + 100),
            Placed(stepped_back, 0, 3, START_MS + 20),
            Placed(between, 1, 1, START_MS + 50),
        ],
    )
    assert reader.get_audit_log(session) == [early, between, late, stepped_back]


def test_a_topic_made_anew_goes_on_by_the_clock(
    reader: AuditReader, database: ClickHouseConfig
) -> None:
    """Offsets start again at 0; the events of the old topic stay in front."""
    session = a_session()
    old, new = event(session), event(session)
    store(
        database,
        [Placed(old, 0, 500, START_MS, "topic-1"), Placed(new, 0, 0, START_MS + 1, "topic-2")],
    )
    assert reader.get_audit_log(session) == [old, new]


@ON_ONE_DATABASE
@given(data=st.data())
def test_a_filter_never_changes_the_order(
    reader: AuditReader, database: ClickHouseConfig, data: st.DataObject
) -> None:
    """What a filter lets through stands in the order of the whole log, which keeps each partition's order."""
    session = a_session()
    drawn = st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 30))
    placed = [
        Placed(
            event(session, f"type_{kind}", run_id=f"run-{run}"),
            partition,
            offset,
            START_MS + late_ms,
        )
        for partition in range(3)
        for offset, (kind, run, late_ms) in enumerate(data.draw(st.lists(drawn, max_size=8)))
    ]
    assume(placed)
    store(database, data.draw(st.permutations(placed)))
    whole = reader.get_audit_log(session)
    assert sorted(records(whole)) == sorted(each.event.record for each in placed)
    for partition in range(3):
        own = [each.event for each in placed if each.partition == partition]
        assert [each for each in whole if each in own] == own
    kind, run = (
        data.draw(st.sampled_from(["type_0", "type_1", "type_2"])),
        data.draw(st.sampled_from(["run-0", "run-1"])),
    )
    expected = [each for each in whole if each.type == kind and each.run_id == run]
    assert reader.get_audit_log(session, type=kind, run_id=run) == expected
    limit = data.draw(st.integers(1, len(placed) + 1))
    assert reader.get_audit_log(session, limit=limit) == whole[:limit]
    assert (
        reader.get_audit_log(session, type=kind, limit=limit)
        == [each for each in whole if each.type == kind][:limit]
    )


@pytest.fixture(scope="module")
def awkward(database_of_module: ClickHouseConfig) -> dict[str, AuditEvent]:
    """Return what the module's database holds beside a bait: an event of each awkward string that may name one."""
    stored = {
        text: event(text, run_id=text, tenant_id=text)
        for text in AWKWARD
        if 0 < len(text) <= 256 and text != "\ud800"
    }
    bait = event("bait", run_id="run", tenant_id="tenant")
    store(database_of_module, in_order([bait, *stored.values()]))
    return stored


@pytest.mark.long
@pytest.mark.parametrize("text", AWKWARD, ids=lambda text: ascii(text[:20]))
def test_an_awkward_string_is_data(
    database_of_module: ClickHouseConfig, awkward: dict[str, AuditEvent], text: str
) -> None:
    """Quotes, backslashes, control characters, SQL and placeholders match themselves and nothing else."""
    hits = [awkward[text]] if text in awkward else []
    with (
        AuditReader(config=database_of_module) as reader,
        AuditReader(text, config=database_of_module) as bound,
    ):
        assert reader.get_audit_log(text) == hits
        assert reader.get_audit_log(text, run_id=text) == hits
        assert reader.get_audit_log("bait", run_id=text) == []
        assert reader.get_audit_log("bait", type=text) == []
        assert reader.get_audit_log("bait", type=["run_started", text]) == []
        assert bound.get_audit_log(text) == hits
        assert bound.get_audit_log("bait") == []
        assert bound.overview().stored == len(hits)
        assert reader.conflicts(text) == []
        assert reader.overview().stored == 1 + len(awkward)


@ON_ONE_DATABASE
@given(text=any_text)
def test_any_string_may_be_asked_for(
    reader: AuditReader, database: ClickHouseConfig, text: str
) -> None:
    """A run of any name is found by that name alone."""
    session = a_session()
    emitted = [event(session), event(session, run_id="other")]
    if text and not any(0xD800 <= ord(character) <= 0xDFFF for character in text):
        emitted.append(event(session, run_id=text))
    store(database, in_order(emitted))
    assert reader.get_audit_log(session, run_id=text) == [
        each for each in emitted if each.run_id == text
    ]


def test_one_type_or_several(reader: AuditReader, database: ClickHouseConfig) -> None:
    """A name, a member of EventType, or several of either; none of several is none."""
    session = a_session()
    emitted = [
        event(session, kind) for kind in ("run_started", "custom.a", "run_failed", "custom.a")
    ]
    store(database, in_order(emitted))
    assert reader.get_audit_log(session, type="custom.a") == [emitted[1], emitted[3]]
    assert reader.get_audit_log(session, type=EventType.RUN_FAILED) == [emitted[2]]
    assert reader.get_audit_log(session, type=["run_started", EventType.RUN_FAILED]) == [
        emitted[0],
        emitted[2],
    ]
    assert reader.get_audit_log(session, type=iter({"custom.a"})) == [emitted[1], emitted[3]]
    assert reader.get_audit_log(session, type=()) == []


def test_since_and_until_include_their_microsecond(
    reader: AuditReader, database: ClickHouseConfig
) -> None:
    """For every pair of bounds, from year 1 to 9999, exactly the events between them, both ends included."""
    session = a_session()
    emitted = [event(session, occurred_at=moment) for moment in MOMENTS]
    store(database, in_order(emitted))
    zone = dt.timezone(dt.timedelta(hours=5, minutes=45))
    for since, until in itertools.product([None, *MOMENTS], repeat=2):
        shown = since if since is None or since.year in (1, 9999) else since.astimezone(zone)
        expected = [
            each
            for each in emitted
            if (since is None or each.occurred_at >= since)
            and (until is None or each.occurred_at <= until)
        ]
        assert reader.get_audit_log(session, since=shown, until=until) == expected, (since, until)


def test_what_cannot_be_answered_is_refused_before_any_question(
    clickhouse: ClickHouseConfig,
) -> None:
    """A wrong argument needs no ClickHouse to be wrong."""
    with AuditReader(config=clickhouse) as reader:
        with pytest.raises(QueryError, match="since: must have a time zone"):
            reader.get_audit_log("s", since=dt.datetime(2026, 1, 1))  # noqa: DTZ001 - what must be refused
        with pytest.raises(QueryError, match="limit: must be at least 1"):
            reader.get_audit_log("s", limit=0)
        with pytest.raises(QueryError, match="session_id: must be a string"):
            reader.get_audit_log(7)  # type: ignore[call-overload]  # what a caller without types does
    with pytest.raises(QueryError, match="tenant_id: must be a string"):
        AuditReader(7, config=clickhouse)  # type: ignore[arg-type]  # likewise
