"""Read the timeline of a session or a run: which runs belong to it, their events, and what had to be left out."""

import datetime as dt
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

import msgspec

from trailhouse.query.answer import Answer, LeftOut
from trailhouse.query.budget import Asks, Meter, Metered
from trailhouse.query.filtering.conditions import of_standing
from trailhouse.query.filtering.filters import SessionFilter, session_filter
from trailhouse.query.filtering.search_filter import MAX_FILTER_BYTES
from trailhouse.query.positions import stored_positions
from trailhouse.query.steps.event_facts import MAX_FACTS, Facts, moment, read_session_facts
from trailhouse.query.steps.timeline import Timeline, timeline_of
from trailhouse.schemas.errors import QueryError
from trailhouse.store import ClickHouse

MAX_RUN_ID_BYTES = MAX_FILTER_BYTES
"""So many bytes of ids of runs below one are asked for; a session without a run named is read whole."""
MAX_SESSIONS_OF_A_RUN = 10


class RunFacts(NamedTuple):
    """The events of a session or a run, and where they are from."""

    session_id: str | None
    facts: Facts
    left_out: tuple[LeftOut, ...]


NOTHING = Facts([], 0, 0, 0)


def read_timeline(
    clickhouse: ClickHouse,
    meter: Meter,
    *,
    tenant_id: str | None,
    session_id: str | None,
    run_id: str | None,
    standing: str | Iterable[str] | None = None,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
    limit: int | None = None,
) -> Answer[Timeline]:
    """Return the timeline of a session, or of a run with all that it started.

    Raises:
        QueryError: Neither is named, or several sessions have that run. Permanent.
        StorageLimitError: The budget is spent. Retriable.
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    as_of = stored_positions(clickhouse)
    found = read_run_facts(
        Metered(clickhouse, meter),
        tenant_id=tenant_id,
        session_id=session_id,
        run_id=run_id,
        standing=standing,
        since=since,
        until=until,
        limit=limit,
        with_children=True,
    )
    return Answer(
        value=timeline_of(found.facts.events, session_id=found.session_id, run_id=run_id),
        exact=not found.left_out,
        complete=not found.left_out,
        left_out=found.left_out,
        as_of=as_of,
    )


def read_run_facts(
    clickhouse: Asks,
    *,
    tenant_id: str | None,
    session_id: str | None,
    run_id: str | None,
    with_children: bool,
    without_tenant: bool = False,
    standing: str | Iterable[str] | None = None,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
    limit: int | None = None,
) -> RunFacts:
    """Return the first events of a session or a run, MAX_FACTS at most; `without_tenant` as in `SessionFilter`.

    Raises:
        QueryError, StorageError: As for `read_timeline`.
    """
    if session_id is None and run_id is None:
        raise QueryError("session: must be given, or a run")
    wanted = session_filter(
        "" if session_id is None else session_id,
        tenant_id=tenant_id,
        without_tenant=without_tenant,
        run_id=run_id,
        standing=standing,
        since=since,
        until=until,
        limit=limit,
    )
    if since is not None and until is not None and since > until:
        raise QueryError("since: must not be after until")
    if session_id is None:
        session_id = _session_of_run(clickhouse, wanted)
        if session_id is None:
            return RunFacts(None, NOTHING, ())
        wanted = msgspec.structs.replace(wanted, session_id=session_id)
    if wanted.is_hopeless:
        return RunFacts(session_id, NOTHING, ())
    runs, more_runs = None, 0
    if with_children and run_id is not None:
        runs, more_runs = _with_descendants(clickhouse, wanted, run_id)
    most = MAX_FACTS if wanted.limit is None else min(wanted.limit, MAX_FACTS)
    facts = read_session_facts(clickhouse, wanted, most, runs)
    return RunFacts(session_id, facts, left_out_of(facts, more_runs))


def left_out_of(facts: Facts, more_runs: int = 0) -> tuple[LeftOut, ...]:
    """Return what *facts* lack, by name."""
    found = []
    if facts.more:
        last = max((each.occurred_us for each in facts.events), default=0)
        found.append(
            LeftOut(
                what="later events",
                how_many=facts.more,
                why=f"one answer holds {len(facts.events)} events, so that calls may look open,"
                " and runs running, whose end is further on;"
                f" go on with since={moment(last).isoformat()}",
            )
        )
    if facts.heavy:
        found.append(
            LeftOut(
                what="data of heavy events",
                how_many=facts.heavy,
                why="their records are too many bytes for one answer: they stand in it with their columns, and what"
                " only data says (a model call's id, an approver) is missing; get_event reads one",
            )
        )
    if facts.altered:
        found.append(
            LeftOut(
                what="data of altered or erased events",
                how_many=facts.altered,
                why="their records are not what was appended, or were erased; get_audit_log with on_altered='mark'"
                " tells which",
            )
        )
    if more_runs:
        found.append(
            LeftOut(
                what="runs below this one",
                how_many=more_runs,
                why="their ids are too many for one question; ask for one of those below, or for the whole session",
            )
        )
    return tuple(found)


def _session_of_run(clickhouse: Asks, wanted: SessionFilter) -> str | None:
    """Return the one session that has a run of this id, None without.

    Raises:
        QueryError: There are several. Permanent.
    """
    if msgspec.structs.replace(wanted, session_id="-").is_hopeless:
        return None
    of_tenant, tenant = "", {}
    if wanted.tenant_id is not None:
        # With the tenant in one, for the index: a run of another tenant costs what one of nobody does.
        of_tenant = (
            " AND tenant_id = {tenant_id:String}"
            " AND concat(tenant_id, '/', run_id) = {tenant_run:String}"
        )
        tenant = {
            "tenant_id": wanted.tenant_id,
            "tenant_run": f"{wanted.tenant_id}/{wanted.run_id}",
        }
    rows = clickhouse.query(
        "SELECT DISTINCT session_id FROM events_by_time_as_stored WHERE run_id = {run_id:String}"  # noqa: S608 - no value in it
        f"{of_tenant} AND {of_standing(wanted, 'run_id = {run_id:String}')} LIMIT {MAX_SESSIONS_OF_A_RUN}",
        {"run_id": wanted.run_id, "standings": list(wanted.standings or ()), **tenant},
    ).rows
    if len(rows) > 1:
        raise QueryError(
            f"run: {len(rows)} sessions or more have a run of this id; name the session too"
        )
    return str(rows[0][0]) if rows else None


def _with_descendants(
    clickhouse: Asks, wanted: SessionFilter, run_id: str
) -> tuple[list[str], int]:
    """Return *run_id* and the runs of its session that it started, and they; how many more there are."""
    of_tenant = "" if wanted.tenant_id is None else " AND tenant_id = {tenant_id:String}"
    rows = clickhouse.query(
        "SELECT DISTINCT parent_run_id, run_id FROM events WHERE session_id = {session_id:String}"  # noqa: S608 - as above
        f"{of_tenant} AND parent_run_id != '' AND run_id != ''"
        f" AND {of_standing(wanted, 'session_id = {session_id:String}')}",
        {
            "session_id": wanted.session_id,
            "tenant_id": wanted.tenant_id,
            "standings": list(wanted.standings or ()),
        },
    ).rows
    below = descendants(rows, run_id)
    sizes = accumulate(len(each.encode()) for each in below)
    fitting = bisect_right(list(sizes), MAX_RUN_ID_BYTES)
    return below[:fitting], len(below) - fitting


def descendants(pairs: Sequence[Sequence[str]], run_id: str) -> list[str]:
    """Return *run_id* and all that *pairs* of parent and child lead to from it, the nearest first."""
    children: dict[str, list[str]] = {}
    for parent, child in pairs:
        children.setdefault(parent, []).append(child)
    return _walked(children, run_id)


def _walked(children: Mapping[str, Sequence[str]], run_id: str) -> list[str]:
    found = {run_id: None}
    todo = [run_id]
    for each in todo:
        for child in children.get(each, ()):
            if child not in found:
                found[child] = None
                todo.append(child)
    return list(found)
