"""Approvals of a stored fleet: as the SQL view has them, found by any filter, and calls that nobody was asked about."""

from collections.abc import Iterator

import pytest

from airline_fleet import GUARDED, START, fleet, store_fleet, store_records
from trailhouse.query import AuditReader, QueryError
from trailhouse.query.steps.approvals import Approval
from trailhouse.schemas import AuditEvent
from trailhouse.store import ClickHouse, ClickHouseConfig

pytestmark = pytest.mark.cluster

UNASKED = [
    AuditEvent(type="tool_call_started", session_id="unasked", tenant_id=tenant, run_id="u", occurred_at=START,
               data={"tool_name": tool, **({"tool_call_id": call} if call else {})})
    for tenant, tool, call in (("acme", sorted(GUARDED)[0], "1"), ("acme", sorted(GUARDED)[0], ""),
                               ("acme", "think", "2"), ("nobody asks", sorted(GUARDED)[0], "3"),
                               ("acme", sorted(GUARDED)[0], "by its approval"))
]  # fmt: skip
BY_APPROVAL_ID = AuditEvent(
    type="tool_approval_requested", session_id="unasked", tenant_id="acme", run_id="u", occurred_at=START,
    data={"approval_id": "by its approval", "tool_name": sorted(GUARDED)[0]},
)  # fmt: skip


@pytest.fixture(scope="module")
def stored(database_of_module: ClickHouseConfig) -> ClickHouseConfig:
    """Return a database that holds the fleet, a third of it twice, and calls that nobody was asked about."""
    store_fleet(database_of_module, fleet())
    with ClickHouse(database_of_module) as clickhouse:
        for first_offset in (900_000, 910_000):
            store_records(
                clickhouse, [each.record for each in (*UNASKED, BY_APPROVAL_ID)], first_offset
            )
    return database_of_module


@pytest.fixture(scope="module")
def reader(stored: ClickHouseConfig) -> Iterator[AuditReader]:
    """Return a reader of all tenants."""
    with AuditReader(config=stored) as opened:
        yield opened


def every(reader: AuditReader, text: str = "") -> tuple[Approval, ...]:
    """Return every approval that a filter finds."""
    answer = reader.approvals(text, limit=1_000)
    assert answer.complete
    return answer.value.approvals


def test_every_approval_is_as_the_view_has_it(
    reader: AuditReader, stored: ClickHouseConfig
) -> None:
    """The same question gets the same answer from Python and from SQL."""
    with ClickHouse(stored) as clickhouse:
        rows = clickhouse.query(
            "SELECT tenant_id, session_id, run_id, approval_id, tool_call_id, tool_name, status, requested_at,"
            " answered_at, answer_ms, answered_by_type, answered_by, reason, answers, called_at, ran_ungranted"
            " FROM approvals"
        ).rows
    found = [
        (
            each.tenant_id or "",
            each.session_id,
            each.run_id or "",
            each.approval_id or "",
            each.tool_call_id or "",
            each.tool_name or "",
            each.status,
            each.requested_at,
            each.answered_at,
            None if each.answer_seconds is None else each.answer_seconds * 1_000,
            each.answered_by_type or "",
            each.answered_by or "",
            each.reason or "",
            each.answers,
            each.called_at,
            each.ran_ungranted,
        )
        for each in every(reader)
    ]
    assert len(found) > 100
    assert sorted(found, key=repr) == sorted(map(tuple, rows), key=repr)


def test_a_filter_chooses_approvals_by_any_of_their_events(reader: AuditReader) -> None:
    """By tenant, session, outcome or tool: those of which an event meets it, whole."""
    whole = every(reader)
    acme = every(reader, "tenant:acme")
    assert [each for each in whole if each.tenant_id == "acme"] == list(acme)
    session = next(each.session_id for each in whole if each.status == "denied")
    denied = every(reader, f"outcome:denied session:{session}")
    assert denied
    assert [
        each for each in whole if each.session_id == session and each.status == "denied"
    ] == list(denied)


def test_a_page_of_approvals_says_that_there_are_more(reader: AuditReader) -> None:
    """The latest first, no more than asked for, and how to get at the others."""
    answer = reader.approvals(limit=3)
    assert answer.value.approvals == every(reader)[:3]
    assert not answer.complete
    assert "(until)" in answer.left_out[0].why


def test_calls_that_nobody_was_asked_about(reader: AuditReader) -> None:
    """Of tools that others of the same tenant asked about; not those whose approval names them by another id."""
    unasked = reader.approvals("tenant:acme", limit=1_000).value.unasked
    assert {(each.tool_name, each.tool_call_id) for each in unasked} == {
        (sorted(GUARDED)[0], None),
        (sorted(GUARDED)[0], "1"),
    }
    assert reader.approvals('tenant:"nobody asks"', limit=10).value.unasked == ()


def test_a_reader_of_one_tenant_sees_its_own_alone(stored: ClickHouseConfig) -> None:
    """Whatever it asks for, another's approvals and calls are not there."""
    with AuditReader("acme", config=stored) as bound:
        found = bound.approvals(limit=1_000).value
        assert {each.tenant_id for each in found.approvals} == {"acme"}
        assert {each.tenant_id for each in found.unasked} == {"acme"}
        theirs = bound.approvals("tenant:globex").value
        assert (theirs.approvals, theirs.unasked) == ((), ())
    with AuditReader("\ud800", config=stored) as nobody:
        assert nobody.approvals().value.approvals == ()


def test_what_cannot_be_asked_of_approvals_is_refused(reader: AuditReader) -> None:
    """Words, a limit of 0 or of too many."""
    with pytest.raises(QueryError, match="words"):
        reader.approvals('"refund"')
    for limit in (0, 1_001):
        with pytest.raises(QueryError, match="limit"):
            reader.approvals(limit=limit)
