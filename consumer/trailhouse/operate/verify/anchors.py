"""Duty 2: the anchors follow each other, are the same outside, and every log still is what was anchored of it."""

from trailhouse.operate.verify.anchor_chain import AnchorFault, Fault
from trailhouse.operate.verify.cannot_check import CannotCheckError
from trailhouse.operate.verify.duty import Checked, Duty
from trailhouse.operate.verify.finding import Findings
from trailhouse.operate.verify.logs import LogId
from trailhouse.operate.verify.run import Run

_TABLE = "log_anchors"
_COMPARE = "compare with the copies that others keep (`--anchors`): theirs count"
_MEANING = {
    AnchorFault.FORGED: (
        "forged_anchor",
        "a stored anchor is malformed, or no key of the log that counts signed it",
    ),
    AnchorFault.TWO: (
        "anchor_fork",
        "two anchors of one number were signed: the log's key signed two histories",
    ),
    AnchorFault.MISSING: ("anchor_missing", "an anchor is not there that a later one follows"),
    AnchorFault.BROKEN: (
        "anchor_chain",
        "an anchor does not name the one before it: one of both was exchanged",
    ),
    AnchorFault.TIME: (
        "anchor_time",
        "an anchor is older than the one before it: a clock was wrong, or it was made later",
    ),
    AnchorFault.SHRINKS: (
        "anchor_shrinks",
        "a log was larger in the anchor before: its end was cut off",
    ),
    AnchorFault.DROPS: ("anchor_drops", "a log of the anchor before is not in it"),
}


def prepare(run: Run) -> None:
    """Ask for the root of each log at each size that was anchored."""
    for log, sizes in run.anchored.roots.items():
        for size in sizes:
            run.roots.want(log, size)


def check(run: Run, found: Findings) -> Checked:
    """Hold the anchors against each other, and the logs against them."""
    _ = run.policy
    anchored = run.anchored
    for fault in anchored.faults:
        _tell(found, fault)
    for origin, number in anchored.unknown.items():
        found.add(
            "log_gone",
            table="log_checkpoints",
            name=origin,
            meaning=f"anchor {number} holds this log, and nothing of it is stored",
            way_out="restore log_leaves and log_checkpoints from a backup",
        )
    for log, sizes in anchored.roots.items():
        _compare(run, found, log, sizes)
    if not anchored.count and not found:
        raise CannotCheckError(
            "there is no anchor: whoever holds the log's key could have made all of it anew"
        )
    return Checked(anchored.count, "anchors")


def _tell(found: Findings, fault: Fault) -> None:
    kind, meaning = _MEANING[fault.kind]
    name = f"anchor {fault.number}" + (f" of {fault.origin}" if fault.origin else "")
    found.add(kind, table=_TABLE, name=name, meaning=meaning, way_out=_COMPARE)


def _compare(run: Run, found: Findings, log: LogId, sizes: dict[int, dict[bytes, int]]) -> None:
    fitting = 0
    for size in sorted(sizes):
        root = run.roots.at(log, size)
        if root is None:  # an earlier run has seen it
            continue
        wrong = [number for other, number in sizes[size].items() if other != root]
        if not wrong:
            fitting = size
            continue
        found.add(
            "anchored_root_differs",
            log=str(log),
            first_offset=min(fitting, max(size - 1, 0)),
            last_offset=max(size - 1, 0),
            table="log_leaves",
            name=f"anchor {min(wrong)}",
            meaning="the leaves do not have the root that was anchored: one of these was changed, added or removed",
            way_out="the anchor counts: restore log_leaves, or replay these offsets while Kafka has them",
            count=1,
        )


DUTY = Duty(
    2,
    "anchors",
    "the anchors against each other, and every log against what was anchored of it",
    check,
    prepare,
    is_scoped=True,
)
