"""Duty 2: the anchors follow each other, are the same outside, and every log still is what was anchored of it."""

from trailhouse.operate.verify.anchored.anchored import Anchored, anchor_names
from trailhouse.operate.verify.cannot_check import CannotCheckError
from trailhouse.operate.verify.duties.anchors.anchor_delays import tell_late
from trailhouse.operate.verify.duties.anchors.cosigned import tell_uncosigned
from trailhouse.operate.verify.duties.anchors.time_stamps import tell_tokens
from trailhouse.operate.verify.duties.anchors.written_receipts import tell_taken_outside
from trailhouse.operate.verify.duty import Checked, Duty
from trailhouse.operate.verify.finding import Findings
from trailhouse.operate.verify.logs import LogId, all_logs, log_of
from trailhouse.operate.verify.run import Run

_TABLE = "log_anchors"
_MISDATED = """
    SELECT number, count() FROM log_anchors WHERE made_ms != toUInt64OrZero(splitByChar('\n', anchor, 4)[4])
    GROUP BY number ORDER BY number LIMIT 1000
"""
_COMPARE = "compare with the copies that others keep (`--anchors`): theirs count"
_MEANING = {
    "forged_anchor": "an anchor is malformed, or no key of the log that counts for it has signed it",
    "anchor_missing": "an anchor is not there that later ones follow",
    "anchor_chain": "an anchor does not follow the one before: one of both was exchanged",
}


def prepare(run: Run) -> None:
    """Ask for the root of each log at each size that was anchored."""
    for anchored in _all(run):
        for log, sizes in anchored.roots.items():
            for size in sizes:
                run.roots.want(log, size)


def check(run: Run, found: Findings) -> Checked:
    """Hold the anchors against each other, and the logs against them."""
    _ = run.policy
    tell_taken_outside(run, found)
    _tell_misdated(run, found)
    for anchored, table in zip(_all(run), (_TABLE, run.anchors), strict=False):
        _tell_chain(run, found, anchored, table)
        for log, sizes in anchored.roots.items():
            _compare(run, found, log, sizes, table)
    if run.anchors:
        _tell_outside(run, found)
        _tell_unprotected(run, found)
    else:
        run.trusts(
            "no copies of the anchors that others keep were given (`--anchors`): whoever holds the log's key could"
            " have made all of it anew"
        )
    tell_uncosigned(run, found)
    tell_tokens(run, found)
    tell_late(run, found)
    count = max(len(anchored.hashes) for anchored in _all(run))
    if not count and not found:
        raise CannotCheckError(
            "there is no anchor: whoever holds the log's key could have made all of it anew"
        )
    return Checked(count, "anchors")


def _all(run: Run) -> tuple[Anchored, ...]:
    return (run.anchored, run.anchored_outside) if run.anchors else (run.anchored,)


def _tell_chain(run: Run, found: Findings, anchored: Anchored, table: str) -> None:
    for kind, number, rule in anchored.faults:
        found.add(
            kind,
            table=table,
            name=f"anchor {number}: {rule}",
            meaning=_MEANING[kind],
            way_out=_COMPARE,
        )
    if anchored.revoked:
        run.trusts(
            f"{anchor_names(anchored.revoked)} in {table}: signed by a key of the log after it was revoked, so that it"
            " does not count"
        )
    # A log may have begun since the logs were looked for.
    logs = all_logs(run.clickhouse) if anchored.unknown else ()
    for origin, number in anchored.unknown.items():
        if log_of(origin, logs) is not None:
            continue
        found.add(
            "log_gone",
            table="log_checkpoints",
            name=origin,
            meaning=f"anchor {number} holds this log, and nothing of it is stored",
            way_out="restore log_leaves and log_checkpoints from a backup",
        )


def _tell_misdated(run: Run, found: Findings) -> None:
    """Tell rows that say another time than their anchor: whoever looks for one by its time goes by the row."""
    for number, rows in run.clickhouse.query(_MISDATED).rows:
        found.add(
            "anchor_misfiled",
            table=_TABLE,
            name=f"anchor {number}",
            meaning="its row says another time than the anchor that was signed",
            way_out="delete the row, and store the anchor again",
            count=int(rows),
        )


def _tell_outside(run: Run, found: Findings) -> None:
    """Compare what is stored with the copies outside; what is not there yet may be on its way."""
    stored, outside = run.anchored.hashes, run.anchored_outside.hashes
    for number, hashes in outside.items():
        if number not in stored:
            found.add(
                "anchor_gone",
                table=_TABLE,
                name=f"anchor {number}",
                meaning="an anchor that others keep is not stored: it was taken away",
                way_out="start the anchoring again: it takes over what others keep",
            )
        elif not hashes & stored[number]:
            found.add(
                "anchor_differs",
                table=_TABLE,
                name=f"anchor {number}",
                meaning="the stored anchor is another than the one that others keep: two histories were signed",
                way_out="theirs counts; revoke the log's key, and ask who could use it",
            )
    newest = max(outside, default=0)
    behind = run.anchored.newest_number - newest
    if behind > 0:
        run.trusts(f"the copies outside end with anchor {newest}, {behind} before the last stored")


def _tell_unprotected(run: Run, found: Findings) -> None:
    for reason, numbers in run.unprotected.items():
        found.add(
            "anchor_unprotected",
            table=run.anchors,
            name=anchor_names(numbers),
            meaning=f"an anchor that is kept there {reason}",
            way_out="what was there first counts; ask who writes there, and set it up as docs/anchors.md says",
            count=len(numbers),
        )


def _compare(
    run: Run, found: Findings, log: LogId, sizes: dict[int, dict[bytes, int]], table: str
) -> None:
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
            name=f"anchor {min(wrong)} in {table}",
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
    in_turn=True,
)
