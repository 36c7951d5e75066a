"""What does not fit in a stored log is found, counted by kind, and what fits is not."""

import datetime as dt
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from airline_fleet import fleet, store_fleet
from cluster import Cluster
from facts import an_event
from stored import START_MS, Placed
from trailhouse.query import AuditReader, QueryError
from trailhouse.query.budget import ReadBudget
from trailhouse.query.steps.anomalies import ANOMALY_KINDS, Anomaly, AnomalyKind, AnomalyThresholds
from trailhouse.schemas import AuditEvent, Source
from trailhouse.store import ClickHouse, ClickHouseConfig
from worker_rows import store_rows

pytestmark = pytest.mark.cluster

APPENDED = dt.datetime.fromtimestamp(START_MS / 1_000, dt.UTC)
NOT_LATE = AnomalyThresholds(late_seconds=3_000_000_000)


def happened(seconds: float, type: str, run: str, **fields: Any) -> AuditEvent:
    """Return an event that happened so long before Kafka took it."""
    at = APPENDED - dt.timedelta(seconds=seconds)
    return an_event(
        0, type, run_id=run, occurred_at=at, tenant_id="odd", session_id="odd", **fields
    )


def numbered(producer: str, *seqs: int, seconds: float = 1) -> list[AuditEvent]:
    """Return events with these numbers of a producer."""
    return [
        happened(seconds + place, "message_sent", "whole",
                 source=Source(service="s", host="h", pid=1, producer_id=producer, seq=seq))
        for place, seq in enumerate(seqs)
    ]  # fmt: skip


CALL = {"tool_name": "pay"}
CONFLICT_ID = "019a8c5e-7d2b-7c3f-9a41-0f6f8f0c2b11"
ODD = [
    happened(9, "run_started", "whole"),
    happened(1, "run_completed", "whole"),
    happened(9, "run_started", "no end"),
    happened(1, "run_failed", "no start"),
    happened(8, "tool_call_started", "whole", tool_call_id="open", **CALL),
    happened(7, "tool_call_completed", "whole", tool_call_id="no start", **CALL),
    happened(7, "tool_call_completed", "whole", **CALL),
    happened(6, "tool_call_started", "whole", tool_call_id="whole", **CALL),
    happened(5, "tool_call_failed", "whole", tool_call_id="whole", **CALL),
    happened(5, "message_sent", "whole", event_id=CONFLICT_ID, text="one"),
    happened(4, "message_sent", "whole", event_id=CONFLICT_ID, text="another"),
    *numbered("holes", 0, 1, 4, 7),
    *numbered("whole", 0, 1, 2, 3),
    *numbered("ahead", 0, seconds=-60),
    *numbered("behind", 0, 1, seconds=4_000),
    *numbered("was away", 0, seconds=5_000),
    *numbered("was away", 1, seconds=1),
]


@pytest.fixture(scope="module")
def stored(database_of_module: ClickHouseConfig) -> ClickHouseConfig:
    """Return a database that holds what does not fit, all of it twice, the copies an hour later."""
    for first_offset, later_ms in ((0, 0), (1_000, 3_600_000)):
        store_rows(
            database_of_module,
            [
                Placed(event, 0, first_offset + place, START_MS + later_ms)
                for place, event in enumerate(ODD)
            ],
        )
    return database_of_module


@pytest.fixture(scope="module")
def reader(stored: ClickHouseConfig) -> Iterator[AuditReader]:
    """Return a reader of all tenants."""
    with AuditReader(config=stored) as opened:
        yield opened


def of(reader: AuditReader, kind: AnomalyKind, text: str = "") -> list[Anomaly]:
    """Return the anomalies of a kind."""
    report = reader.anomalies(text).value
    found = [each for each in report.anomalies if each.kind == kind]
    assert report.counts[kind] == len(found)
    return found


def test_every_kind_is_looked_for(reader: AuditReader) -> None:
    """A report counts each kind, and holds nothing that was not counted."""
    answer = reader.anomalies()
    assert answer.complete
    assert tuple(answer.value.counts) == ANOMALY_KINDS
    assert Counter(each.kind for each in answer.value.anomalies) == answer.value.counts


def test_the_agent_of_a_run_is_that_which_its_first_event_names(database: ClickHouseConfig) -> None:
    """As of `runs`; of two at one moment it is the one with the smaller hash, however often it is asked."""
    agents = ("zoe", "amy", "bob")
    events = [happened(9, "run_started", "endless", agent_id=agent) for agent in agents]
    events.append(happened(8, "message_sent", "endless", agent_id="later"))
    store_rows(database, [Placed(event, 0, place, START_MS) for place, event in enumerate(events)])
    with AuditReader(config=database) as reader:
        (endless,) = of(reader, "run_without_end")
        (run,) = reader.runs().items
    assert endless.agent_id == run.agent_id
    assert endless.agent_id in agents


def test_runs_without_an_end_or_a_start(reader: AuditReader) -> None:
    """A run that has both is none of them; one that may be running still is not idle."""
    (endless,) = of(reader, "run_without_end")
    assert (endless.run_id, endless.session_id, endless.tenant_id) == ("no end", "odd", "odd")
    assert endless.seconds is None
    assert endless.last_at is not None
    assert reader.anomalies().value.looked_at > endless.last_at
    assert [each.run_id for each in of(reader, "run_without_start")] == ["no start"]
    patient = AnomalyThresholds(idle_seconds=3_000_000_000)
    assert reader.anomalies(thresholds=patient).value.counts["run_without_end"] == 0


def test_calls_without_an_end_or_a_start(reader: AuditReader) -> None:
    """An open call of a run that has ended, and an end alone; without an id nobody can say."""
    (unclosed,) = of(reader, "tool_call_never_closed")
    assert (unclosed.tool_call_id, unclosed.tool_name, unclosed.run_id) == ("open", "pay", "whole")
    assert [each.tool_call_id for each in of(reader, "tool_call_without_start")] == ["no start"]


def test_clocks_apart_and_late_arrivals_are_told_apart(reader: AuditReader) -> None:
    """Before it happened, all of it late, some of it late; a copy that came later makes nothing late."""
    (ahead,) = of(reader, "clock_ahead")
    assert (ahead.producer_id, ahead.seconds, ahead.count) == ("ahead", 60.0, 1)
    (behind,) = of(reader, "clock_behind")
    assert (behind.producer_id, behind.seconds, behind.count) == ("behind", 4_000.0, 2)
    (late,) = of(reader, "late_arrival")
    assert (late.producer_id, late.seconds, late.count) == ("was away", 5_000.0, 1)


def test_one_id_with_two_contents_is_a_conflict(reader: AuditReader) -> None:
    """Copies are not; whichever of the two a filter finds, both are counted."""
    for text in ("", "run:whole"):
        (conflict,) = of(reader, "conflict", text)
        assert (conflict.event_id, conflict.count) == (CONFLICT_ID, 2)


def test_missing_numbers_are_counted_by_producer(reader: AuditReader) -> None:
    """Three of one are missing; where a filter hides events, nobody can say, and that is said."""
    (missing,) = of(reader, "missing_numbers")
    assert (missing.producer_id, missing.count) == ("holes", 4)
    assert (missing.first_seq, missing.last_seq) == (2, 6)
    narrowed = reader.anomalies("run:whole")
    assert "missing_numbers" not in narrowed.value.counts
    assert [each.what for each in narrowed.left_out] == ["missing numbers"]


def test_a_filter_narrows_to_runs_and_calls_that_meet_it(reader: AuditReader) -> None:
    """Judged whole: a filter that finds the end of a run does not miss its start."""
    for text, runs in (("type:run_completed", set[str]()), ("type:run_failed", {"no start"})):
        report = reader.anomalies(text).value
        found = {each.run_id for each in report.anomalies if each.kind.startswith("run_")}
        assert found == runs
    assert reader.anomalies("tool:pay").value.counts["tool_call_never_closed"] == 1
    assert reader.anomalies("tool:other").value.counts["tool_call_never_closed"] == 0


def test_a_reader_of_one_tenant_sees_its_own_alone(stored: ClickHouseConfig) -> None:
    """Another's runs, clocks and conflicts are not counted."""
    for tenant in ("nobody", "\ud800"):
        with AuditReader(tenant, config=stored) as bound:
            report = bound.anomalies().value
            assert set(report.counts.values()) == {0}
    with AuditReader("odd", config=stored) as own:
        assert own.anomalies().value.counts["conflict"] == 1


def test_more_than_was_asked_for_is_counted(reader: AuditReader) -> None:
    """At most so many of each kind, and how many more there are."""
    answer = reader.anomalies(limit=1, thresholds=AnomalyThresholds(late_seconds=0))
    for kind, count in answer.value.counts.items():
        assert sum(each.kind == kind for each in answer.value.anomalies) == min(count, 1)
    assert {each.what for each in answer.left_out} == {
        f"more of {kind}" for kind, count in answer.value.counts.items() if count > 1
    }


def test_a_spent_budget_is_named_by_kind(reader: AuditReader) -> None:
    """What could not be looked for is not counted as 0: it is not there, and named."""
    answer = reader.anomalies(budget=ReadBudget(rows=1))
    assert not answer.complete
    assert {"runs", "tool calls"} <= {each.what for each in answer.left_out}
    assert "run_without_end" not in answer.value.counts


def test_what_cannot_be_asked_is_refused(reader: AuditReader) -> None:
    """Words, a limit of 0 or of too many, a threshold that is no number of seconds."""
    mistakes: list[dict[str, Any]] = [
        {"wanted": '"x"'},
        {"limit": 0},
        {"limit": 1_001},
        {"thresholds": AnomalyThresholds(idle_seconds=-1)},
        {"thresholds": AnomalyThresholds(late_seconds=float("nan"))},
    ]
    for asked in mistakes:
        with pytest.raises(QueryError):
            reader.anomalies(**asked)


def test_the_recorded_fleets_runs_without_an_end(
    cluster: Cluster, stored: ClickHouseConfig
) -> None:
    """As many as an oracle counts, though a third of them is stored twice."""
    with ClickHouse(stored) as clickhouse:
        before = clickhouse.query("SELECT count() FROM runs").rows[0][0]
    store_fleet(stored, fleet())
    ends = {"run_completed", "run_failed", "run_cancelled", "run_timeout", "run_abandoned"}
    runs = {each.run_id for each in fleet()}
    ended = {each.run_id for each in fleet() if each.type in ends}
    with AuditReader(config=stored) as opened:
        report = opened.anomalies("agent:airline-gpt-4o", thresholds=NOT_LATE, limit=1_000).value
    assert before == 3
    assert report.counts["run_without_end"] == len(runs - ended) > 0
    assert {
        each.run_id for each in report.anomalies if each.kind == "run_without_end"
    } == runs - ended
