"""What `verify` is asked to look at. Pure."""

import datetime as dt

import msgspec

from trailhouse.store.tables import LATEST_MS


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """All of the log, or only some of its rows; at most one way to narrow it.

    Attributes:
        session_id: Only this session's rows.
        tenant_id: Only this tenant's.
        since: Only what the broker took then or later.
        until: Only what it took until then.
    """

    session_id: str | None = None
    tenant_id: str | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None

    @property
    def is_all(self) -> bool:
        """Whether nothing is left out."""
        return self == Scope()

    @property
    def times_ms(self) -> tuple[int, int] | None:
        """The first and the last millisecond of the broker's that are meant; None for all of time."""
        if self.since is None and self.until is None:
            return None
        first, last = _milliseconds(self.since), _milliseconds(self.until)
        return 0 if first is None else first, LATEST_MS if last is None else last

    @property
    def condition(self) -> str:
        """Which rows of `event_log` are meant, as a condition of SQL over `parameters`."""
        parts = []
        if self.session_id is not None:
            parts.append("session_id = {session:String}")
        if self.tenant_id is not None:
            parts.append("tenant_id = {tenant:String}")
        if self.since is not None:
            parts.append("toUnixTimestamp64Milli(appended_at) >= {since_ms:Int64}")
        if self.until is not None:
            parts.append("toUnixTimestamp64Milli(appended_at) <= {until_ms:Int64}")
        return " AND ".join(parts) or "true"

    @property
    def derived_condition(self) -> str:
        """Which rows of tables that follow from the log are compared with it; these have no time of the broker's.

        Of a stretch of time: those that occurred between the first and the last of its events.
        """
        parts = []
        for column, value in (("session_id", self.session_id), ("tenant_id", self.tenant_id)):
            if value is not None:
                text = value.encode(errors="surrogatepass").hex()
                parts.append(f"{column} = unhex('{text}')")
        if (times := self.times_ms) is not None:
            first, last = (
                f"(SELECT {end}(occurred_us) FROM event_log"  # noqa: S608 - names and numbers of ours
                f" WHERE toUnixTimestamp64Milli(appended_at) BETWEEN {times[0]:d} AND {times[1]:d})"
                for end in ("min", "max")
            )
            parts.append(f"occurred_us BETWEEN {first} AND {last}")
        return " AND ".join(parts) or "true"

    @property
    def parameters(self) -> dict[str, object]:
        """The values in `condition`."""
        values = {
            "session": self.session_id,
            "tenant": self.tenant_id,
            "since_ms": _milliseconds(self.since),
            "until_ms": _milliseconds(self.until),
        }
        return {name: value for name, value in values.items() if value is not None}

    def __str__(self) -> str:
        parts = []
        if self.session_id is not None:
            parts.append(f"session {self.session_id}")
        if self.tenant_id is not None:
            parts.append(f"tenant {self.tenant_id}")
        if self.since is not None:
            parts.append(f"from {self.since.isoformat()}")
        if self.until is not None:
            parts.append(f"to {self.until.isoformat()}")
        return ", ".join(parts) or "all of the log"


def _milliseconds(moment: dt.datetime | None) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1_000)
