"""What a caller may ask for, checked and brought into the form that SQL is given."""

import datetime as dt
from collections.abc import Iterable
from typing import Any

import msgspec

from trailhouse.proof.standing import Standing
from trailhouse.schemas.errors import QueryError

MAX_LIMIT = 2**63 - 1
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


class EventFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which events are wanted; None is "all". Times are microseconds since 1970 UTC.

    `limit` is of answers, the first ones: events of a session, or sessions of all. What a caller may
    narrow by is a field here and a condition in `conditions.py`, the same for one session as for all.
    """

    tenant_id: str | None = None
    run_id: str | None = None
    types: tuple[str, ...] | None = None
    since_us: int | None = None
    until_us: int | None = None
    limit: int | None = None

    @property
    def takes_all(self) -> bool:
        """Whether every event that the reader may see there is wanted."""
        return not self.narrowing

    @property
    def narrowing(self) -> dict[str, Any]:
        """What was asked for beside session and tenant, as SQL takes it."""
        given = {
            "run_id": self.run_id,
            "types": None if self.types is None else list(self.types),
            "since_us": self.since_us,
            "until_us": self.until_us,
            "limit": self.limit,
        }
        return {name: value for name, value in given.items() if value is not None}

    @property
    def is_hopeless(self) -> bool:
        """Whether nothing can match, so that nothing need be asked.

        No event carries an empty string in one of these fields, or text that UTF-8 cannot carry.
        """
        return self.types == () or any(
            text is not None and not can_be_stored(text) for text in self._names()
        )

    def _names(self) -> tuple[str | None, ...]:
        return self.tenant_id, self.run_id


class SessionFilter(EventFilter, frozen=True, kw_only=True):
    """Which events of one session are wanted."""

    session_id: str
    without_tenant: bool = False
    """Whether an empty `tenant_id` asks for what has no tenant; else nothing has it."""
    standings: tuple[Standing, ...] | None = None

    @property
    def narrowing(self) -> dict[str, Any]:
        """As of any filter, and the standings, which are asked of a session alone."""
        given = {} if self.standings is None else {"standings": list(self.standings)}
        return super().narrowing | given

    @property
    def is_hopeless(self) -> bool:
        """Whether nothing can match, so that nothing need be asked."""
        return self.standings == () or super().is_hopeless

    def _names(self) -> tuple[str | None, ...]:
        tenant_id = None if self.without_tenant else self.tenant_id
        return self.session_id, tenant_id, self.run_id


class FleetFilter(EventFilter, frozen=True, kw_only=True):
    """Which events of all sessions are wanted."""


def session_filter(
    session_id: str,
    *,
    tenant_id: str | None,
    without_tenant: bool = False,
    run_id: str | None = None,
    type: str | Iterable[str] | None = None,
    standing: str | Iterable[str] | None = None,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
    limit: int | None = None,
) -> SessionFilter:
    """Return what a caller asked for; any string at all is a legal value.

    Raises:
        QueryError: An argument is of the wrong kind, a time has no time zone, or `limit` is below 1.
            Permanent.
    """
    return SessionFilter(
        session_id=_text(session_id, "session_id"),
        tenant_id=tenant_id,
        without_tenant=without_tenant,
        run_id=None if run_id is None else _text(run_id, "run_id"),
        types=None if type is None else _types(type),
        standings=None if standing is None else standings_of(standing),
        since_us=None if since is None else microseconds(since, "since"),
        until_us=None if until is None else microseconds(until, "until"),
        limit=None if limit is None else whole_number(limit),
    )


def standings_of(value: object) -> tuple[Standing, ...]:
    """Return the standings that *value* names, one or several.

    Raises:
        QueryError: One of them is none. Permanent.
    """
    several: object = (value,) if isinstance(value, str) else value
    try:
        return tuple(dict.fromkeys(Standing(each) for each in several))  # type: ignore[attr-defined]  # else a TypeError
    except (TypeError, ValueError):
        raise QueryError(f"standing: must be of {', '.join(Standing)}") from None


def fleet_filter(
    *, tenant_id: str | None, since: dt.datetime | None = None, limit: int | None = None
) -> FleetFilter:
    """Return what a caller asked for of all sessions.

    Raises:
        QueryError: As for `session_filter`. Permanent.
    """
    return FleetFilter(
        tenant_id=tenant_id,
        since_us=None if since is None else microseconds(since, "since"),
        limit=None if limit is None else whole_number(limit),
    )


def tenant(value: object) -> str | None:
    """Return *value* as the tenant a reader is bound to.

    Raises:
        QueryError: It is neither a string nor None. Permanent.
    """
    return None if value is None else _text(value, "tenant_id")


def microseconds(moment: object, field: str) -> int:
    """Return the exact microseconds from 1970 UTC to *moment*, negative before.

    Raises:
        QueryError: It is not a datetime, or has no time zone. Permanent.
    """
    if not isinstance(moment, dt.datetime):
        raise QueryError(f"{field}: must be a datetime with a time zone, got {_kind(moment)}")
    if moment.utcoffset() is None:
        raise QueryError(f"{field}: must have a time zone, got a naive datetime")
    return (moment - _EPOCH) // _MICROSECOND


def whole_number(value: object) -> int:
    """Return *value* as a limit.

    Raises:
        QueryError: It is not a whole number from 1. Permanent.
    """
    # True is an int to Python, and 1 to SQL: as a limit it is a mistake.
    if not isinstance(value, int) or isinstance(value, bool):
        raise QueryError(f"limit: must be a whole number, got {_kind(value)}")
    if value < 1:
        raise QueryError("limit: must be at least 1; leave it out for all events")
    # ClickHouse counts in 64 bits; more than that is as good as all.
    return min(int(value), MAX_LIMIT)


def _text(value: object, field: str) -> str:
    if not isinstance(value, str):
        raise QueryError(f"{field}: must be a string, got {_kind(value)}")
    # An exact str: a subclass may have a `__str__` of its own.
    return str.__str__(value)


def _types(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        value = (value,)
    # Bytes can be iterated over, and would be taken for a list of numbers.
    if isinstance(value, (bytes, bytearray)) or not isinstance(value, Iterable):
        raise QueryError(f"type: must be a string or several, got {_kind(value)}")
    return tuple(
        name for name in dict.fromkeys(_text(name, "type") for name in value) if can_be_stored(name)
    )


def can_be_stored(text: str) -> bool:
    """Tell whether an event can carry *text* as an id: not empty, and not without a UTF-8 form."""
    try:
        return text.encode() != b""
    except UnicodeEncodeError:
        return False


def _kind(value: object) -> str:
    return type(value).__name__
