"""Duty 14: the manifest of each day, made again from leaves and rows, is what is stored and what was anchored."""

import datetime as dt
from collections.abc import Sequence
from itertools import islice

from trailhouse.anchoring.day_manifests import (
    StoredDay,
    finished_days,
    made_manifest,
    stored_days,
    stored_manifest,
)
from trailhouse.anchoring.stored_log import PLACE_COLUMNS, StoredLog, stored_logs
from trailhouse.operate.verify.duty import Checked, Duty
from trailhouse.operate.verify.finding import Findings
from trailhouse.operate.verify.run import Run
from trailhouse.proof.anchor import ManifestRoot
from trailhouse.schemas.errors import ProofError

_TABLE = "session_manifests"
_PLACE = ", ".join(PLACE_COLUMNS)
_LISTED = f"SELECT DISTINCT {_PLACE} FROM session_manifests"  # noqa: S608 - names of ours
_OF_NO_LOG = f"""
    SELECT DISTINCT kafka_topic, kafka_topic_id, kafka_partition, day FROM session_manifests
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
    listed = set(map(StoredLog._make, run.clickhouse.query(_LISTED).rows))
    for log in stored_logs(run.clickhouse):
        if log not in listed:
            continue
        origin = str(log.origin(name))
        stored = stored_days(run.clickhouse, log)
        _tell_other_days(run, found, log, origin, stored)
        for day in stored:
            if days is not None and day.day not in days:
                continue
            count += 1
            made = _made(run, found, log, origin, day)
            if made is not None:
                roots.setdefault((day.day, origin), set()).add(made)
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
    return Checked(count, "manifests")


def _tell_of_no_log(run: Run, found: Findings) -> None:
    """Tell manifests of logs of which no checkpoint is there: nobody has made them again here."""
    for topic, topic_id, partition, day in run.clickhouse.query(_OF_NO_LOG).rows:
        found.add(
            "manifest_of_no_log",
            log=f"{topic}/{topic_id}/{partition}",
            table=_TABLE,
            name=str(day),
            meaning="there is a manifest of a log of which no checkpoint is there: it was added, or the log taken away",
            way_out="delete it, after asking who wrote it; or restore the log from a backup",
        )


def _days(run: Run) -> set[str] | None:
    """Return the days of what is asked for; None for all."""
    if run.scope.is_all:
        return None
    rows = run.clickhouse.query(
        f"SELECT DISTINCT toString(toDate(appended_at)) FROM event_log WHERE {run.scope.condition}",  # noqa: S608 - names of ours; every value is a bound parameter
        run.scope.parameters,
    ).rows
    return {str(day) for (day,) in rows}


def _tell_other_days(
    run: Run, found: Findings, log: StoredLog, origin: str, stored: Sequence[StoredDay]
) -> None:
    """Tell manifests of other days, or of other offsets, than the leaves say: one of too few lists too few sessions."""
    if not stored:
        return
    tomorrow = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=1)  # clocks differ
    days = set(islice(finished_days(run.clickhouse, log, tomorrow.isoformat()), MOST_DAYS))
    for day in stored:
        if (day.day, day.first_offset, day.end_offset) not in days:
            found.add(
                "manifest_of_no_day",
                log=origin,
                first_offset=day.first_offset,
                last_offset=max(day.end_offset - 1, day.first_offset),
                table=_TABLE,
                name=day.day,
                meaning="the stored manifest is of offsets that are not those of its day, or of a day that is not over",
                way_out="delete it: those that are due are made anew (`trailhouse proof manifest`)",
                count=1,
            )


def _made(
    run: Run, found: Findings, log: StoredLog, origin: str, day: StoredDay
) -> ManifestRoot | None:
    """Return what the manifest of *day* is now, after what is stored of it was compared."""
    made = made_manifest(
        run.clickhouse, log, origin, day.day, day.first_offset, day.end_offset
    ).as_anchored
    try:
        entries = stored_manifest(run.clickhouse, log, origin, day).root
    except ProofError:
        entries = b""
    if not made.root == day.root == entries:
        found.add(
            "manifest_differs",
            log=origin,
            first_offset=day.first_offset,
            last_offset=day.end_offset - 1,
            table=_TABLE,
            name=day.day,
            meaning="the stored manifest of that day, or its entries, are not those of leaves and rows",
            way_out="delete it, and have it made again (`trailhouse proof manifest`)",
            count=1,
        )
    return made


DUTY = Duty(
    14,
    "manifests",
    "each day's list of sessions, made again, against what is stored and anchored",
    check,
    is_scoped=True,
)
