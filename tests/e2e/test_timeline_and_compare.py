"""Timelines and comparisons of stored runs: what the recording holds, whatever was stored twice, and nobody else's."""

import datetime as dt
from collections.abc import Iterator
from typing import Any, Literal

import pytest

from airline_fleet import fleet, store_fleet, store_records
from facts import in_time
from trailhouse.query import AuditReader, QueryError
from trailhouse.query.steps import event_facts as limits
from trailhouse.query.steps.compare import Side, comparison_of
from trailhouse.query.steps.timeline import timeline_of
from trailhouse.schemas import AuditEvent
from trailhouse.store import ClickHouse, ClickHouseConfig

pytestmark = pytest.mark.cluster

SESSION, ACME = "airline-06", "acme"
HEAVY = "x" * 300_000


def heavy_events() -> list[AuditEvent]:
    """Return a session of light and heavy events."""
    return [
        AuditEvent(type="message_sent", session_id="heavy", run_id="h", data={"content": text})
        for text in ("light", HEAVY + "1", HEAVY + "2", "light too")
    ]


@pytest.fixture(scope="module")
def stored(database_of_module: ClickHouseConfig) -> ClickHouseConfig:
    """Return a database that holds the fleet, a third of it twice, and a session of heavy events."""
    store_fleet(database_of_module, fleet())
    with ClickHouse(database_of_module) as clickhouse:
        store_records(clickhouse, [each.record for each in heavy_events()], 900_000)
    return database_of_module


@pytest.fixture(scope="module")
def reader(stored: ClickHouseConfig) -> Iterator[AuditReader]:
    """Return a reader of all tenants."""
    with AuditReader(config=stored) as opened:
        yield opened


def mine(session: str) -> list[AuditEvent]:
    """Return the recorded events of a session."""
    return [each for each in fleet() if each.session_id == session]


def test_a_sessions_timeline_is_what_was_recorded(reader: AuditReader) -> None:
    """As many events, each once; runs, calls and costs as they come out of the events themselves."""
    answer = reader.timeline(SESSION)
    assert answer.complete
    found = answer.value
    events = mine(SESSION)
    assert found.events == len(events)
    expected = timeline_of(in_time(events), session_id=SESSION)
    assert found == expected


def test_a_run_is_found_without_its_session_and_with_what_it_started(reader: AuditReader) -> None:
    """The runs below it are in its timeline, those beside it are not."""
    found = reader.timeline(run_id=f"{SESSION}-trial-0").value
    assert found.session_id == SESSION
    assert [(run.run_id, run.depth) for run in found.runs] == [
        (f"{SESSION}-trial-0", 0),
        (f"{SESSION}-trial-3", 1),
    ]


def test_a_timeline_that_is_too_long_says_what_it_left_out(reader: AuditReader) -> None:
    """The first events, how many more there are, and how to go on."""
    answer = reader.timeline(SESSION, limit=10)
    assert answer.value.events == 10
    assert not answer.complete
    assert answer.left_out[0].how_many == len(mine(SESSION)) - 10
    assert "since=" in answer.left_out[0].why


def test_heavy_events_are_shown_without_their_data(
    reader: AuditReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the bytes of one answer the lightest are read; the others stand there with their size."""
    monkeypatch.setattr(limits, "MAX_RECORD_BYTES", 10_000)
    answer = reader.timeline("heavy")
    assert answer.value.events == 4
    assert [each.how_many for each in answer.left_out] == [2]
    (run,) = answer.value.runs
    assert sorted(step.record_bytes > len(HEAVY) for step in run.steps) == [
        False,
        False,
        True,
        True,
    ]


@pytest.mark.parametrize("name", ["session_id", "run_id"])
def test_another_tenants_is_as_if_it_were_not_there(
    stored: ClickHouseConfig, name: Literal["session_id", "run_id"]
) -> None:
    """A reader of one tenant gets for another's id what an unknown one gives; so does text that no id can be."""
    theirs = {"session_id": "airline-01", "run_id": "airline-01-trial-0"}[name]
    with AuditReader(ACME, config=stored) as bound:
        assert bound.timeline(mine("airline-00")[0].session_id).value.events > 0
        for unknown in (theirs, "no such thing", "", "\ud800", "' OR 1=1 --", "%"):
            found = (
                bound.timeline(unknown) if name == "session_id" else bound.timeline(run_id=unknown)
            ).value
            assert (found.events, found.runs) == (0, ())
            compared = bound.compare(unknown, "airline-00-trial-0").value
            assert compared.a.events == 0


def test_what_cannot_be_asked_is_refused(reader: AuditReader) -> None:
    """Neither session nor run, a naive time, times the wrong way round, a limit of 0."""
    now = dt.datetime.now(dt.UTC)
    mistakes: list[dict[str, Any]] = [
        {},
        {"session_id": "s", "since": dt.datetime(2026, 1, 1)},  # noqa: DTZ001 - it is the mistake
        {"session_id": "s", "since": now, "until": now - dt.timedelta(days=1)},
        {"session_id": "s", "limit": 0},
        {"session_id": 5},
    ]
    for asked in mistakes:
        with pytest.raises(QueryError):
            reader.timeline(**asked)


def test_two_stored_runs_compare_as_their_events_do(reader: AuditReader) -> None:
    """The same alignment, counts and costs as without a database."""
    a, b = f"{SESSION}-trial-0", f"{SESSION}-trial-1"
    answer = reader.compare(a, b)
    sides = [
        Side(
            session_id=SESSION,
            run_id=run,
            events=in_time(each for each in fleet() if each.run_id == run),
        )
        for run in (a, b)
    ]
    assert answer.complete
    assert answer.value == comparison_of(*sides)[0]
    assert answer.value.first_other_action is not None
    assert reader.compare(a, a, session_a=SESSION, session_b=SESSION).value.first_difference is None
