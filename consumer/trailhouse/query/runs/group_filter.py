"""A filter asked of runs or sessions: what docs/reads.md says a run or a session meets, as SQL. Pure.

A condition on a field of the event is met by whatever has an event that meets it; negated, by what has none.
"""

from collections.abc import Callable
from decimal import Decimal

import msgspec

from trailhouse.query.books import IN_INCREMENTS, IN_TOTALS
from trailhouse.query.filtering.by_standing import chosen_sql, without_standing
from trailhouse.query.filtering.conditions import where
from trailhouse.query.filtering.search_filter import FIELDS, Condition, SearchFilter
from trailhouse.query.run_status import ENDED_US, ENDS_RUN, RUN_STATUS
from trailhouse.query.runs.newest_first import Grouping, Witness
from trailhouse.schemas.errors import QueryError

AMOUNTS = {
    "cost": ("cost_usd", "Decimal(76, 18)"),
    "tokens": ("total_tokens", "UInt128"),
    "input_tokens": ("input_tokens", "UInt128"),
    "output_tokens": ("output_tokens", "UInt128"),
}
"""Fields that are sums of one or the other book, with their column and how they are added."""
_RUN_OUTCOMES = ("completed", "failed", "cancelled", "timeout", "abandoned")

Bound = Callable[[object, str], str]


def run_grouping(every: Grouping, wanted: SearchFilter, tenant_id: str | None) -> Grouping:
    """Return *every* run narrowed to what *wanted* asks of runs; times are asked of by the walk.

    Raises:
        QueryError: It asks what cannot be asked of runs. Permanent.
    """
    return _narrowed(every, wanted, tenant_id, _of_run)


def session_grouping(every: Grouping, wanted: SearchFilter, tenant_id: str | None) -> Grouping:
    """Return *every* session narrowed to what *wanted* asks of sessions, likewise.

    Raises:
        QueryError: It asks what cannot be asked of sessions. Permanent.
    """
    return _narrowed(every, wanted, tenant_id, _of_session)


def with_status(
    grouping: Grouping, status_sql: str, says_status: str, statuses: tuple[str, ...]
) -> Grouping:
    """Return *grouping* narrowed to what has one of *statuses* by the aggregate *status_sql*.

    Args:
        grouping: What it is of.
        status_sql: The aggregate.
        says_status: What types of events say a status begin with.
        statuses: The statuses that are wanted; none: all.
    """
    if not statuses:
        return grouping
    types = [f"{says_status}{status}" for status in statuses]
    if statuses == ("running",):
        return msgspec.structs.replace(
            grouping, having=(*grouping.having, f"countIf({ENDS_RUN}) = 0")
        )
    # No event says that a run is running.
    witness = () if "running" in statuses else (Witness("type IN {status_types:Array(String)}", 4),)
    return msgspec.structs.replace(
        grouping,
        having=(*grouping.having, f"{status_sql} IN {{statuses:Array(String)}}"),
        witnesses=(*grouping.witnesses, *witness),
        parameters=grouping.parameters | {"statuses": list(statuses), "status_types": types},
    )


def _narrowed(
    every: Grouping,
    wanted: SearchFilter,
    tenant_id: str | None,
    asked: Callable[[Condition, Bound], str | None],
) -> Grouping:
    if wanted.words:
        raise QueryError(
            "text: runs and sessions are not searched for words; name a field, as session:ID or agent:ID;"
            " search for events by words"
        )
    parts = _Parts(every, tenant_id, asked)
    wanted, chosen = without_standing(wanted)
    for place, each in enumerate(wanted.conditions):
        parts.add(place, each)
    if chosen:
        # Which events are looked at at all, wherever: what none of them is of is not there.
        counted, values = chosen_sql(
            chosen, within="occurred_us >= {low_us:Int64}", prefix="standing_"
        )
        parts.of_each.append(counted)
        parts.values |= values
    return Grouping(
        key=every.key,
        events_of_each=every.events_of_each,
        of_each=tuple(parts.of_each),
        having=tuple(parts.having),
        witnesses=tuple(parts.witnesses),
        sessions=tuple(parts.sessions),
        needs_once=any(each.field in AMOUNTS for each in wanted.conditions),
        by_session=any(_names_sessions(each) for each in wanted.conditions),
        parameters=parts.values,
    )


class _Parts:
    """The parts of a grouping, as one condition after the other is added to it."""

    def __init__(
        self,
        every: Grouping,
        tenant_id: str | None,
        asked: Callable[[Condition, Bound], str | None],
    ) -> None:
        self._every = every
        self._asked = asked
        self._tenant_id = tenant_id
        self._scope, self.values = where(SearchFilter(), tenant_id=tenant_id, prefix="tenant")
        self.of_each = [*every.of_each, *([] if tenant_id is None else [self._scope])]
        self.having: list[str] = []
        self.witnesses: list[Witness] = []
        self.sessions: list[str] = []

    def add(self, place: int, each: Condition) -> None:
        """Add one condition, the one at *place*."""
        of_event, named = where(
            SearchFilter(conditions=(_positive(each),)),
            tenant_id=self._tenant_id,
            prefix=f"any_{place}_",
        )
        if FIELDS[each.field].column in self._every.key:
            self.of_each.append(_negated(each, of_event))
            self.values |= named
        elif (of_all := self._asked(each, self._bound)) is not None:
            self.having.append(of_all)
            if each.field in AMOUNTS and not each.negated:
                self.sessions.append(_spenders(self._every.key, self._scope, of_all))
        else:
            self.having.append(f"countIf({of_event}) {'=' if each.negated else '>'} 0")
            self.values |= named
            if not each.negated:
                self.witnesses.append(Witness(of_event, self._every.events_of_each))
                self.sessions.append(_sessions_with(self._scope, of_event))

    def _bound(self, value: object, kind: str) -> str:
        name = f"group_{len(self.values)}"
        self.values[name] = value
        return f"{{{name}:{kind}}}"


def _sessions_with(scope: str, of_event: str) -> str:
    """Return a select of the sessions that have such an event: in no other can there be what is wanted."""
    return f"""
        SELECT session_id FROM events_by_time_as_stored
        WHERE {scope} AND occurred_us >= {{low_us:Int64}} AND {of_event}
    """  # noqa: S608 - names of ours


def _spenders(key: tuple[str, ...], scope: str, of_all: str) -> str:
    """Return a select of the sessions that have what spent so much: the small table has both books."""
    return f"""
        SELECT session_id FROM usage_by_time WHERE {scope} AND occurred_us >= {{low_us:Int64}}
        GROUP BY {", ".join(key)} HAVING {of_all}
    """  # noqa: S608 - names of ours


def _positive(each: Condition) -> Condition:
    return msgspec.structs.replace(each, negated=False)


def _names_sessions(each: Condition) -> bool:
    return each.field == "session" and each.operator == "=" and not each.negated


def _of_run(each: Condition, bound: Bound) -> str | None:
    if each.field == "duration":
        lasted = f"if(countIf({ENDS_RUN}) = 0, NULL, ({ENDED_US} - min(occurred_us)) / 1000)"
        return _compared(each, [lasted], "Float64", bound)
    if each.field == "outcome":
        statuses = list(_RUN_OUTCOMES if each.operator == "has" else map(str, each.values))
        return _negated(each, f"{RUN_STATUS} IN {bound(statuses, 'Array(String)')}")
    return _amount(each, bound)


def _of_session(each: Condition, bound: Bound) -> str | None:
    if each.field == "duration":
        lasted = "(max(occurred_us) - min(occurred_us)) / 1000"
        return _compared(each, [lasted], "Float64", bound)
    return _amount(each, bound)


def _amount(each: Condition, bound: Bound) -> str | None:
    if each.field not in AMOUNTS:
        return None
    column, kind = AMOUNTS[each.field]
    added = f"toDecimal256({column}, 18)" if each.field == "cost" else f"toUInt128({column})"
    return _compared(
        each, [f"sumIf({added}, {IN_INCREMENTS})", f"sumIf({added}, {IN_TOTALS})"], kind, bound
    )


def _compared(each: Condition, sums: list[str], kind: str, bound: Bound) -> str:
    """Return that one of *sums* is as *each* asks; one that is unknown is not."""
    if each.operator == "has":
        return _negated(each, " OR ".join(f"isNotNull({one})" for one in sums))
    found = [
        f"ifNull({one} {each.operator} {value}, false)"
        for value in (bound(format(Decimal(amount), "f"), kind) for amount in each.values)
        for one in sums
    ]
    return _negated(each, " OR ".join(found))


def _negated(each: Condition, sql: str) -> str:
    return f"NOT ({sql})" if each.negated else f"({sql})"
