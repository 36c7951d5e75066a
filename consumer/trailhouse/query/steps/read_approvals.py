"""Read approvals: the latest that a filter finds, what was called after them, and calls that nobody was asked about."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from trailhouse.proof.standing import Standing, weakest
from trailhouse.query.answer import Answer, LeftOut
from trailhouse.query.budget import Asks, Meter, Metered
from trailhouse.query.filtering.by_standing import counted_sql
from trailhouse.query.filtering.conditions import where
from trailhouse.query.filtering.filters import can_be_stored, whole_number
from trailhouse.query.filtering.search_filter import MAX_FILTER_BYTES, SearchFilter
from trailhouse.query.positions import stored_positions
from trailhouse.query.standing.standings import Standings, stored_subjects
from trailhouse.query.steps.approvals import (
    APPROVAL_TYPES,
    Approval,
    ApprovalReport,
    UnaskedCall,
    approvals_of,
    named_calls,
)
from trailhouse.query.steps.event_facts import (
    MAX_FACTS,
    EventFacts,
    Facts,
    moment,
    read_columns,
    read_facts,
)
from trailhouse.schemas.errors import QueryError
from trailhouse.store import ClickHouse

DEFAULT_APPROVALS = 100
MAX_APPROVALS = 1_000
_EVENTS_OF_AN_APPROVAL = 4
"""So many events are looked for to have one approval: a request, an answer, and some to spare."""
_TYPES = ", ".join(f"'{name}'" for name in APPROVAL_TYPES)
_ASKED_TOOLS = "SELECT tenant_id, tool_name FROM events_by_time_as_stored WHERE type = 'tool_approval_requested'"
_NAMED_CALLS = (
    "SELECT tenant_id, session_id, run_id, tool_call_id FROM events_by_time_as_stored"  # noqa: S608 - names of ours
    f" WHERE type IN ({_TYPES}) AND tool_call_id != ''"
)


class _Found(NamedTuple):
    """Event ids of approvals that the filter finds, where they are, and whether there may be more."""

    sessions: list[str]
    keys: set[tuple[str, str, int, bytes]]
    has_more: bool


def read_approvals(
    clickhouse: ClickHouse,
    meter: Meter,
    wanted: SearchFilter,
    standings: Standings,
    *,
    tenant_id: str | None,
    limit: int,
) -> Answer[ApprovalReport]:
    """Return the latest approvals of which an event meets *wanted*, and the latest calls without one.

    Raises:
        QueryError: The filter asks for words, or the limit is no number from 1 to MAX_APPROVALS. Permanent.
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    limit = _checked(wanted, limit)
    as_of = stored_positions(clickhouse)
    condition, values = where(wanted, tenant_id=tenant_id)
    scope, scoped = _scope(tenant_id, wanted)
    asks = Metered(clickhouse, meter)
    found = _found(asks, condition, values, limit * _EVENTS_OF_AN_APPROVAL)
    asked = _with_calls(asks, scope, scoped, found.sessions)
    met = {
        each.event_id
        for each in asked.events
        if (each.session_id, each.tenant_id, each.occurred_us, each.record_key) in found.keys
    }
    found_standings = _standings(asks, standings, asked)
    approvals = [
        each
        for each in approvals_of(asked.events, found_standings)
        if not met.isdisjoint(each.event_ids)
    ]
    unasked, more_unasked = _unasked(asks, condition, values, (scope, scoped), limit)
    left_out = [
        *_older_approvals(approvals, limit, has_more=found.has_more),
        *_older_calls(unasked, more_unasked),
        *_incomplete(asked),
    ]
    return Answer(
        value=ApprovalReport(approvals=tuple(approvals[:limit]), unasked=tuple(unasked)),
        exact=not left_out,
        complete=not left_out,
        left_out=tuple(left_out),
        as_of=as_of,
    )


def _checked(wanted: SearchFilter, limit: int) -> int:
    limit = whole_number(limit)
    if limit > MAX_APPROVALS:
        raise QueryError(f"limit: must be at most {MAX_APPROVALS}")
    if wanted.words:
        raise QueryError(
            "text: approvals are not searched for words; name a field, as tool_call:ID or session:ID;"
            " search for events by words"
        )
    return limit


def _standings(clickhouse: Asks, standings: Standings, asked: Facts) -> dict[str, Standing]:
    """Return the standing of each approval event, by id: the weakest, where several bear one; none without a policy."""
    if standings.policy(clickhouse) is None:
        return {}
    events = [each for each in asked.events if each.type in APPROVAL_TYPES]
    ids = {each.record_key: each.event_id for each in events}
    keys = [(each.session_id, each.tenant_id, each.occurred_us, each.record_key) for each in events]
    subjects = stored_subjects(clickhouse, keys)
    found: dict[str, Standing] = {}
    for subject, standing in zip(subjects, standings.of(clickhouse, subjects), strict=True):
        event_id = ids.get(subject.record_key)
        if event_id is not None and standing is not None:
            known = found.get(event_id, standing)
            found[event_id] = weakest((known, standing)) or standing
    return found


def _scope(tenant_id: str | None, wanted: SearchFilter) -> tuple[str, dict[str, Any]]:
    """Return what holds of every event that is looked at, and its values: the tenant, and the standing."""
    types = f"type IN ({_TYPES}, 'tool_call_started')"
    counted, values = counted_sql(wanted, types)
    if tenant_id is None:
        return counted, values
    of_tenant = "tenant_id = {tenant_id:String}" if can_be_stored(tenant_id) else "false"
    return f"{of_tenant} AND {counted}", {
        **values,
        "tenant_id": tenant_id if can_be_stored(tenant_id) else "",
    }


def _found(clickhouse: Asks, condition: str, values: Mapping[str, Any], most: int) -> _Found:
    # Read in order, from the end, without merging: copies are cut afterwards.
    rows = clickhouse.query(
        f"""
        SELECT session_id, tenant_id, occurred_us, record_key FROM events_by_time_as_stored
        WHERE type IN ({_TYPES}) AND ({condition})
        ORDER BY occurred_us DESC, session_id DESC, tenant_id DESC, record_key DESC
        LIMIT 1 BY occurred_us, session_id, tenant_id, record_key LIMIT {{most:UInt64}}
        """,  # noqa: S608 - names of ours; every value is a bound parameter
        {**values, "most": most + 1},
    ).rows
    return _Found(
        list(dict.fromkeys(row[0] for row in rows[:most])),
        {(row[0], row[1], row[2], row[3]) for row in rows[:most]},
        len(rows) > most,
    )


def _with_calls(
    clickhouse: Asks, scope: str, scoped: Mapping[str, Any], sessions: Sequence[str]
) -> Facts:
    """Return every approval event of *sessions* with its data, and the starts of the calls that they are about."""
    found: list[EventFacts] = []
    more = heavy = altered = 0
    for part in _parts(sessions):
        within = f"session_id IN {{sessions:Array(String)}} AND {scope}"
        values = {**scoped, "sessions": part}
        facts = read_facts(clickhouse, f"{within} AND type IN ({_TYPES})", values)
        asked, more = facts.events, more + facts.more
        heavy, altered = heavy + facts.heavy, altered + facts.altered
        found += asked
        calls = sorted({each.tool_call_id for each in asked if each.tool_call_id})
        for some in _parts(calls):
            found += read_columns(
                clickhouse,
                f"{within} AND type = 'tool_call_started' AND tool_call_id IN {{calls:Array(String)}}",
                {**values, "calls": some},
                MAX_FACTS,
            )
    return Facts(found, more, heavy, altered)


def _unasked(
    clickhouse: Asks,
    condition: str,
    values: Mapping[str, Any],
    scoped: tuple[str, Mapping[str, Any]],
    limit: int,
) -> tuple[list[UnaskedCall], int]:
    """Return the latest calls without approval of tools that *condition* finds requests of, and how many more."""
    rows = clickhouse.query(
        f"""
        SELECT tenant_id, session_id, run_id, tool_call_id, tool_name, agent_id, occurred_us, count() OVER ()
        FROM events_by_time
        WHERE type = 'tool_call_started' AND ({condition})
            AND (tenant_id, tool_name) IN ({_ASKED_TOOLS} AND tool_name != '' AND ({condition}))
            AND (tenant_id, session_id, run_id, tool_call_id) NOT IN ({_NAMED_CALLS} AND {scoped[0]})
        ORDER BY occurred_us DESC, session_id DESC, tenant_id DESC, record_key DESC LIMIT {{most:UInt64}}
        """,  # noqa: S608 - as above
        {**values, **scoped[1], "most": limit},
    ).rows
    # An approval may name its call as `approval_id` alone, which stands in its data.
    named = _named(clickhouse, scoped, {row[1] for row in rows})
    calls = [
        UnaskedCall(
            tenant_id=row[0] or None,
            session_id=row[1],
            run_id=row[2] or None,
            tool_call_id=row[3] or None,
            tool_name=row[4],
            agent_id=row[5] or None,
            called_at=moment(row[6]),
        )
        for row in rows
        if not row[3] or tuple(row[:4]) not in named
    ]
    return calls, rows[0][7] - len(rows) if rows else 0


def _named(
    clickhouse: Asks, scoped: tuple[str, Mapping[str, Any]], sessions: Collection[str]
) -> set[tuple[str, str, str, str]]:
    found: set[tuple[str, str, str, str]] = set()
    for part in _parts(sorted(sessions)):
        asked = read_facts(
            clickhouse,
            f"session_id IN {{sessions:Array(String)}} AND {scoped[0]} AND type IN ({_TYPES})",
            {**scoped[1], "sessions": part},
        ).events
        found |= named_calls(asked)
    return found


def _parts(texts: Sequence[str]) -> Iterator[list[str]]:
    """Cut *texts* so that each part fits the address of a statement."""
    part: list[str] = []
    size = 0
    for text in texts:
        if part and size + len(text.encode()) > MAX_FILTER_BYTES // 2:
            yield part
            part, size = [], 0
        part.append(text)
        size += len(text.encode()) + 3
    if part:
        yield part


def _older_approvals(
    approvals: Sequence[Approval], limit: int, *, has_more: bool
) -> Iterator[LeftOut]:
    if not has_more and len(approvals) <= limit:
        return
    yield LeftOut(
        what="older approvals",
        how_many=None if has_more else len(approvals) - limit,
        why=f"one answer holds {limit}; ask for those up to the first of them (until), or for more at once",
    )


def _older_calls(calls: Sequence[UnaskedCall], more: int) -> Iterator[LeftOut]:
    if more:
        yield LeftOut(
            what="older calls that nobody was asked about",
            how_many=more,
            why=f"one answer looks at {len(calls)} or more; ask for those up to the first of them (until),"
            " or for more at once",
        )


def _incomplete(asked: Facts) -> Iterator[LeftOut]:
    if asked.heavy or asked.altered:
        yield LeftOut(
            what="data of heavy, altered or erased events",
            how_many=asked.heavy + asked.altered,
            why="who answered, and an approval_id, are not known of these, and of an erased one not even its call,"
            " which may look as if nobody had been asked; get_event reads one",
        )
    if asked.more:
        yield LeftOut(
            what="approvals of sessions that have very many",
            why=f"{MAX_FACTS} events are looked at; ask for one session or run, and with until=",
        )
