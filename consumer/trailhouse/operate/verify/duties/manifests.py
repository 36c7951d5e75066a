"""Duty 14: the manifest of each day, made again from leaves and rows, is what is stored and what was anchored."""

import datetime as dt
from collections.abc import Collection, Sequence
from itertools import islice

from trailhouse.anchoring.day_manifests import (
    StoredDay,
    days_with_entries,
    finished_days,
    made_manifests,
    stored_days,
    stored_entries,
    together,
)
from trailhouse.anchoring.listed_days import ListedDay
from trailhouse.anchoring.stored_log import PLACE_COLUMNS, StoredLog, stored_logs
from trailhouse.operate.verify.duty import Checked, Duty
from trailhouse.operate.verify.finding import Findings
from trailhouse.operate.verify.logs import LogId
from trailhouse.operate.verify.run import Run
from trailhouse.proof.anchor import ManifestRoot
from trailhouse.proof.manifest import DAY_MS, Manifest, day_of
from trailhouse.schemas.errors import ProofError

_TABLE, _ENTRIES = "session_manifests", "session_manifest_entries"
_PLACE = ", ".join(PLACE_COLUMNS)
_IN_EITHER = f"SELECT DISTINCT {_PLACE} FROM session_manifests UNION DISTINCT SELECT DISTINCT {_PLACE} FROM {_ENTRIES}"  # noqa: S608 - names of ours
_OF_NO_LOG = f"""
    SELECT DISTINCT kafka_topic, kafka_topic_id, kafka_partition, day FROM {{table}}
    WHERE ({_PLACE}) NOT IN (SELECT DISTINCT {_PLACE} FROM log_checkpoints) LIMIT 1000
"""  # noqa: S608 - names of ours
MOST_DAYS = 40_000
"""More than a century has."""
_MADE_AGAIN = (
    "what is anchored counts: see what the other duties say of rows and leaves of that day"
)


def check(run: Run, found: Findings) -> Checked:
    """Make each manifest again that is stored, and look for each that was anchored."""
    name = run.policy.log_name
    count = 0
    days = _days(run)
    roots: dict[tuple[str, str], set[ManifestRoot]] = {}
    ends: dict[LogId, int] = {}
    listed = set(map(StoredLog._make, run.clickhouse.query(_IN_EITHER).rows))
    for log in stored_logs(run.clickhouse):
        if log in listed:
            each = _Listed(run, found, log, str(log.origin(name)), days)
            count += each.check()
            roots |= each.roots
            ends[LogId(*log)] = each.end
    _tell_of_no_log(run, found)
    for anchored in (run.anchored, run.anchored_outside):
        for key, manifests in anchored.manifests.items():
            if days is not None and key[0] not in days:
                continue
            for manifest, number in manifests.items():
                if manifest not in roots.get(key, ()):
                    found.add(
                        "anchored_manifest_differs",
                        table=_TABLE,
                        name=f"{key[0]} of {key[1]}, anchor {number}",
                        meaning="the sessions of that day are not those of the manifest that was anchored",
                        way_out=_MADE_AGAIN,
                    )
    if run.scope.is_all and not found:
        run.manifests_ends |= ends
    return Checked(count, "manifests")


def _tell_of_no_log(run: Run, found: Findings) -> None:
    """Tell manifests, and their entries, of logs of which no checkpoint is there: nobody has made them again here."""
    for table in (_TABLE, _ENTRIES):
        for topic, topic_id, partition, day in run.clickhouse.query(
            _OF_NO_LOG.format(table=table)
        ).rows:
            found.add(
                "manifest_of_no_log",
                log=f"{topic}/{topic_id}/{partition}",
                table=table,
                name=str(day),
                meaning="there is a manifest, or an entry of one, of a log of which no checkpoint is there: it was"
                " added, or the log taken away",
                way_out="delete it, after asking who wrote it; or restore the log from a backup",
            )


def _days(run: Run) -> set[str] | None:
    """Return the days of what is asked for; None for all."""
    if run.scope.is_all:
        return None
    rows = run.clickhouse.query(
        f"SELECT DISTINCT intDiv(toUnixTimestamp64Milli(appended_at), {DAY_MS}) FROM event_log"  # noqa: S608 - names of ours; every value is a bound parameter
        f" WHERE {run.scope.condition}",
        run.scope.parameters,
    ).rows
    return {day_of(int(number) * DAY_MS) for (number,) in rows}


class _Listed:
    """One log, its manifests, and what they are now.

    Attributes:
        roots: By day and log, what the manifests are, made again; or stored and anchored, where an earlier run has.
        end: Below which offset they follow each other from the first one on, as far as the log is signed.
    """

    def __init__(
        self, run: Run, found: Findings, log: StoredLog, origin: str, days: set[str] | None
    ) -> None:
        self._run = run
        self._found = found
        self._log = log
        self._origin = origin
        self._days = days
        self.roots: dict[tuple[str, str], set[ManifestRoot]] = {}
        self.end = 0

    def check(self) -> int:
        """Return how many were looked at; statements are as many as there are records, whatever days lie between."""
        run, log = self._run, self._log
        # What is stored is asked for before what is due, so that none that is made meanwhile is too many.
        listed = days_with_entries(run.clickhouse, log)
        stored = stored_days(run.clickhouse, log)
        known = self._known(stored)
        after = stored[known - 1].listed if known else None
        tomorrow = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=1)  # clocks differ
        finished = finished_days(run.clickhouse, log, tomorrow.isoformat(), after)
        due = set(islice(finished, MOST_DAYS))
        new = stored[known:]
        self._tell_other_days(new, due)
        self._tell_entries(listed - {day.day for day in stored} - {day.day for day in due})
        self.end = _end_of(stored, run.roots.held.get(LogId(*log), 0))
        wanted = [day for day in new if self._days is None or day.day in self._days]
        for day in wanted:
            if day.listed not in due:
                self._hold([day])
        in_order = sorted({day for day in wanted if day.listed in due}, key=_place)
        by_day = {day.listed: day for day in in_order}
        others = [day for day in in_order if by_day[day.listed] is not day]
        for days in together(by_day):
            self._hold([by_day[day] for day in days])
        for day in others:
            self._hold([day])
        return len(wanted)

    def _known(self, stored: Sequence[StoredDay]) -> int:
        """Return how many of *stored*, from the first one on, an earlier run has made again, and an anchor names."""
        end, until = 0, self._run.manifests_end(LogId(*self._log))
        for count, day in enumerate(stored):
            if day.first_offset != end or day.end_offset > until:
                return count
            key = day.day, self._origin
            said = ManifestRoot(*key, day.sessions, day.root)
            if said not in self._run.anchored.manifests.get(key, ()):
                return count
            self.roots.setdefault(key, set()).add(said)
            end = day.end_offset
        return len(stored)

    def _hold(self, days: Sequence[StoredDay]) -> None:
        """Make *days*, which follow each other, again, and compare what is stored of them."""
        clickhouse, log, origin = self._run.clickhouse, self._log, self._origin
        entries = stored_entries(clickhouse, log, days[0].day, days[-1].day)
        made = made_manifests(clickhouse, log, origin, [day.listed for day in days])
        for day, manifest in zip(days, made, strict=True):
            now = manifest.as_anchored
            self.roots.setdefault((day.day, origin), set()).add(now)
            try:
                kept = Manifest(day.header(origin), entries.get(day.day, [])).root
            except ProofError:
                kept = b""
            if not now.root == day.root == kept:
                self._tell(
                    "manifest_differs",
                    day,
                    "the stored manifest of that day, or its entries, are not those of leaves and rows",
                    "delete it, and have it made again (`trailhouse proof manifest`)",
                )

    def _tell_other_days(self, stored: Sequence[StoredDay], due: Collection[ListedDay]) -> None:
        """Tell manifests of other days, or of other offsets, than the leaves say: one of too few lists too few."""
        for day in stored:
            if day.listed not in due:
                self._tell(
                    "manifest_of_no_day",
                    day,
                    "the stored manifest is of offsets that are not those of its day, or of a day that is not over",
                    "delete it: those that are due are made anew (`trailhouse proof manifest`)",
                )

    def _tell_entries(self, days: Collection[str]) -> None:
        """Tell entries of *days* that have no manifest and are not due: the one to come would have them."""
        for day in sorted(days)[:MOST_DAYS]:
            if self._days is None or day in self._days:
                self._found.add(
                    "entries_of_no_day",
                    log=self._origin,
                    table=_ENTRIES,
                    name=day,
                    meaning="sessions are listed of a day that has no manifest and is not due: somebody added them",
                    way_out="delete them, after asking who wrote them",
                )

    def _tell(self, kind: str, day: StoredDay, meaning: str, way_out: str) -> None:
        self._found.add(
            kind,
            log=self._origin,
            first_offset=day.first_offset,
            last_offset=max(day.end_offset - 1, day.first_offset),
            table=_TABLE,
            name=day.day,
            meaning=meaning,
            way_out=way_out,
            count=1,
        )


def _end_of(stored: Sequence[StoredDay], size: int) -> int:
    """Return where those of *stored* end that follow each other from the first one on, and no later than *size*."""
    end = 0
    for day in stored:
        if day.first_offset != end or day.end_offset > size:
            break
        end = day.end_offset
    return end


def _place(day: StoredDay) -> tuple[int, str]:
    return day.first_offset, day.day


DUTY = Duty(
    14,
    "manifests",
    "each day's list of sessions, made again, against what is stored and anchored",
    check,
    is_scoped=True,
)
