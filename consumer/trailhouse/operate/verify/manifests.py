"""Duty 14: the manifest of each day, made again from leaves and rows, is what is stored and what was anchored."""

from trailhouse.anchoring.day_manifests import (
    StoredDay,
    made_manifest,
    stored_days,
    stored_manifest,
)
from trailhouse.anchoring.stored_log import StoredLog, stored_logs
from trailhouse.operate.verify.duty import Checked, Duty
from trailhouse.operate.verify.finding import Findings
from trailhouse.operate.verify.run import Run
from trailhouse.proof.anchor import ManifestRoot
from trailhouse.schemas.errors import ProofError

_TABLE = "session_manifests"
_MADE_AGAIN = (
    "what is anchored counts: see what the other duties say of rows and leaves of that day"
)


def check(run: Run, found: Findings) -> Checked:
    """Make each manifest again that is stored, and look for each that was anchored."""
    name = run.policy.log_name
    count = 0
    roots: dict[tuple[str, str], set[ManifestRoot]] = {}
    for log in stored_logs(run.clickhouse):
        origin = str(log.origin(name))
        for day in stored_days(run.clickhouse, log):
            count += 1
            made = _made(run, found, log, origin, day)
            if made is not None:
                roots.setdefault((day.day, origin), set()).add(made)
    for anchored in (run.anchored, run.anchored_outside):
        for key, manifests in anchored.manifests.items():
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
)
