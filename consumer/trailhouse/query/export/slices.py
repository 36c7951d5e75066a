"""An export in slices, each some sessions: what one slice holds, how much of it, and where the next begins."""

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from trailhouse.query.export.formats import SETTINGS, ExportFormat, columns_of, wire_format
from trailhouse.query.follow.position import Position
from trailhouse.schemas.errors import StorageRejectedError
from trailhouse.store import ClickHouse

_DAY_US = 86_400_000_000
_EPOCH_DAY = dt.date(1970, 1, 1).toordinal()


class Slice(NamedTuple):
    """The sessions after one and up to another, both None at the ends."""

    after: str | None
    last: str | None


class Slices:
    """Reads what one condition finds as of one position. Each method raises StorageError as `ClickHouse.query` does.

    Sessions are the key of the log: a slice of them is read in one piece, however much is stored beside it, while a
    day of events lies scattered over all of it.
    """

    def __init__(
        self, clickhouse: ClickHouse, condition: str, values: Mapping[str, Any], as_of: Position
    ) -> None:
        self._clickhouse = clickhouse
        topics = sorted({home.topic_id for home in as_of.next})
        self._values = dict(values) | {
            f"topic{number}": topic for number, topic in enumerate(topics)
        }
        self._condition = f"({condition}) AND ({_as_of(as_of, topics)})"
        self._sees_erasures = _sees_erasures(clickhouse)

    def after(self, session: str | None, rows: int) -> Slice:
        """Return the slice after *session* of about *rows* events, whole sessions."""
        where, values = self._where(Slice(session, None))
        found = self._clickhouse.query(
            f"SELECT session_id FROM events_as_stored WHERE {where}"  # noqa: S608 - no value in it
            f" ORDER BY session_id LIMIT 1 OFFSET {rows - 1:d}",
            values,
        ).rows
        return Slice(session, found[0][0] if found else None)

    def days(self, part: Slice) -> dict[str, int]:
        """Return how many events of *part* occurred on each day of UTC, each once."""
        where, values = self._where(part)
        rows = self._clickhouse.query(
            f"SELECT intDiv(occurred_us - positiveModulo(occurred_us, {_DAY_US}), {_DAY_US}) AS day, count()"  # noqa: S608
            f" FROM events WHERE {where} GROUP BY day ORDER BY day",
            values,
        ).rows
        return {str(dt.date.fromordinal(_EPOCH_DAY + day)): count for day, count in rows}

    def pieces(self, part: Slice, format: ExportFormat, *, is_ordered: bool) -> Iterator[bytes]:
        """Yield what *part* holds, as ClickHouse writes it."""
        where, values = self._where(part)
        # A session stands in one partition but for a topic that was widened: there the broker's clock decides.
        columns = columns_of(format, sees_erasures=self._sees_erasures)
        order = " ORDER BY session_id, appended_at, kafka_topic_id, kafka_partition, kafka_offset"
        return self._clickhouse.stream(
            f"SELECT {columns} FROM events WHERE {where}{order if is_ordered else ''}",  # noqa: S608
            values,
            format=wire_format(format),
            settings=SETTINGS,
        )

    def _where(self, part: Slice) -> tuple[str, dict[str, Any]]:
        conditions, values = [self._condition], dict(self._values)
        if part.after is not None:
            conditions.append("session_id > {after:String}")
            values["after"] = part.after
        if part.last is not None:
            conditions.append("session_id <= {last:String}")
            values["last"] = part.last
        return " AND ".join(conditions), values


def _sees_erasures(clickhouse: ClickHouse) -> bool:
    """Tell whether this reader may see the orders of erasure; where they are hidden, a blank row is an altered one."""
    try:
        clickhouse.query("SELECT number FROM erasures LIMIT 1")
    except StorageRejectedError:
        return False
    return True


def _as_of(position: Position, topics: list[str]) -> str:
    """Return the condition that leaves out what was stored after *position*."""
    of_topic: list[str] = []
    for number, topic in enumerate(topics):
        homes = [home for home in position.next if home.topic_id == topic]
        partitions = ", ".join(f"{home.partition:d}" for home in homes)
        offsets = ", ".join(f"toUInt64({position.next[home]:d})" for home in homes)
        of_topic.append(
            f"kafka_topic_id = {{topic{number}:String}}"
            f" AND kafka_offset < transform(toUInt64(kafka_partition), [{partitions}], [{offsets}], toUInt64(0))"
        )
    return " OR ".join(of_topic) or "false"
