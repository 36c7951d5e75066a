"""Duty 3: the leaves of every log have the roots that were signed."""

from trailhouse.operate.verify.duties.leaves.accepted import tell_accepted
from trailhouse.operate.verify.duties.leaves.impossible_names import tell_impossible_names
from trailhouse.operate.verify.duties.leaves.log_names import tell_names
from trailhouse.operate.verify.duties.leaves.rotations import tell_rotations
from trailhouse.operate.verify.duties.leaves.tails import tell_tails
from trailhouse.operate.verify.duty import CannotCheckError, Checked, Duty
from trailhouse.operate.verify.finding import Findings
from trailhouse.operate.verify.leaves.checkpoints import Fault, Judged
from trailhouse.operate.verify.leaves.stream import MAX_JUMP
from trailhouse.operate.verify.leaves.walked import Walked
from trailhouse.operate.verify.logs import LOG_COLUMNS, LogId, all_logs, log_in
from trailhouse.operate.verify.run import Run

_IMPOSSIBLE = """
    SELECT kafka_topic, kafka_topic_id, kafka_partition, min(kafka_offset), max(kafka_offset), count() FROM log_leaves
    WHERE kind NOT IN (1, 2) OR kafka_offset > {last:UInt64} GROUP BY ALL
"""
_NODES_OF_NO_LOG = f"""
    SELECT DISTINCT {LOG_COLUMNS} FROM log_nodes
    WHERE ({LOG_COLUMNS}) NOT IN (SELECT DISTINCT {LOG_COLUMNS} FROM log_leaves)
        AND ({LOG_COLUMNS}) NOT IN (SELECT DISTINCT {LOG_COLUMNS} FROM log_checkpoints) LIMIT 1000
"""  # noqa: S608 - names of ours
_FORGED = "delete the row; the other checkpoints of the log stand"
_MEANING = {
    Fault.MALFORMED: ("forged_checkpoint", "a stored checkpoint is none", _FORGED),
    Fault.OTHER_LOG: (
        "forged_checkpoint",
        "a stored checkpoint names another log, or another size, than its row",
        _FORGED,
    ),
    Fault.FORGED: (
        "forged_checkpoint",
        "a stored checkpoint has another root than the leaves, and no key of the log has signed it",
        _FORGED,
    ),
    Fault.ROOTS: (
        "forged_checkpoint",
        "the subtrees stored beside a checkpoint are not those of the leaves",
        "delete the row, and start the worker again",
    ),
    Fault.DIFFERS: (
        "root_differs",
        "the leaves do not have the root that was signed: one of these was changed, added or removed since",
        "restore log_leaves, or replay these offsets while Kafka has them",
    ),
    Fault.DIFFERS_UNPROVEN: (
        "root_differs",
        "the leaves do not have the root of the stored checkpoint",
        "pin the owner's key to learn which of both was signed, then restore it",
    ),
}


def check(run: Run, found: Findings) -> Checked:
    """Hold the leaves of every log against its checkpoints."""
    tell_impossible_names(run, found)
    tell_names(run, found)
    _tell_nodes_of_no_log(run, found)
    if not run.logs:
        raise CannotCheckError("there is no leaf and no checkpoint: nothing was proven yet")
    try:
        _ = run.policy
    except CannotCheckError as error:
        run.cannot(str(error))
    leaves = 0
    for log, walked in run.roots.walked().items():
        leaves += walked.leaves
        tell_walked(found, log, walked)
        _tell_shrunk(run, found, log)
    _tell_impossible(run, found)
    tell_rotations(run, found)
    if not run.reasons:
        tell_tails(run, found)
    tell_accepted(run, found)
    return Checked(leaves, "leaves")


def tell_walked(found: Findings, log: LogId, walked: Walked) -> None:
    """Tell what contradicts what among the leaves, subtrees and checkpoints of one log."""
    for judged in walked.checkpoints:
        _tell(found, log, judged)
    _tell_forks(found, log, walked)
    for offset in dict.fromkeys(walked.doubles):
        found.add(
            "two_leaves",
            log=str(log),
            first_offset=offset,
            table="log_leaves",
            meaning="there are leaves that differ at one offset: one of them was added",
            way_out="delete the one that no checkpoint stands for",
        )
    for first, end in walked.forged_nodes:
        found.add(
            "forged_node",
            log=str(log),
            first_offset=first,
            last_offset=end - 1,
            table="log_nodes",
            meaning="a stored root of a subtree is not that of its leaves: `prove` and a new worker read it",
            way_out="delete the row: what is not stored is worked out from the leaves",
            count=1,
        )


def _tell_nodes_of_no_log(run: Run, found: Findings) -> None:
    """Tell subtrees of logs of which neither a leaf nor a checkpoint is there; one may have begun meanwhile."""
    odd = [log_in(row) for row in run.clickhouse.query(_NODES_OF_NO_LOG).rows]
    known = set(all_logs(run.clickhouse)) if odd else ()
    for log in odd:
        if log not in known:
            found.add(
                "forged_node",
                log=str(log),
                table="log_nodes",
                meaning="there are roots of subtrees of a log of which neither a leaf nor a checkpoint is there",
                way_out="delete these rows, after asking who wrote them; or restore the log from a backup",
            )


def _tell_impossible(run: Run, found: Findings) -> None:
    """Tell leaves that no worker writes: of another kind, or at an offset that no partition reaches."""
    rows = run.clickhouse.query(_IMPOSSIBLE, {"last": MAX_JUMP}).rows
    for topic, topic_id, partition, first, last, leaves in rows:
        found.add(
            "impossible_leaf",
            log=f"{topic}/{topic_id}/{partition}",
            first_offset=int(first),
            last_offset=int(last),
            table="log_leaves",
            count=int(leaves),
            meaning="no worker writes such leaves: of a kind that is none, or at an offset that no partition reaches",
            way_out="delete them, after asking who wrote them",
        )


def _tell(found: Findings, log: LogId, judged: Judged) -> None:
    kind, meaning, way_out = _MEANING[judged.fault]
    size = judged.checkpoint.size
    first = judged.since if kind == "root_differs" else size
    found.add(
        kind,
        log=str(log),
        first_offset=min(first, max(size - 1, 0)),
        last_offset=max(size - 1, 0),
        table="log_leaves" if kind == "root_differs" else "log_checkpoints",
        meaning=meaning,
        way_out=way_out,
        count=1,
    )


def _tell_forks(found: Findings, log: LogId, walked: Walked) -> None:
    """Two of one size, both signed, with different roots: the one that fits is not among those that are faulty."""
    roots: dict[int, set[bytes]] = {}
    for judged in walked.checkpoints:
        if judged.fault is Fault.DIFFERS:
            roots.setdefault(judged.checkpoint.size, set()).add(judged.checkpoint.root)
    for size, different in roots.items():
        if len(different) > 1:
            found.add(
                "fork",
                log=str(log),
                first_offset=max(size - 1, 0),
                table="log_checkpoints",
                meaning="two roots of one size were signed: the log's key has signed two histories",
                way_out="keep both checkpoints, revoke the key, and ask who could use it",
                count=len(different),
            )


def _tell_shrunk(run: Run, found: Findings, log: LogId) -> None:
    kept = run.since.get(log)
    held = run.roots.held.get(log, 0)
    if kept is not None and held < kept.size:
        found.add(
            "shrunk",
            log=str(log),
            first_offset=held,
            last_offset=kept.size - 1,
            table="log_leaves",
            meaning="these leaves were held against a signed root before, and are not there: the end was cut off",
            way_out="restore log_leaves and log_checkpoints; the kept checkpoint shows what was signed",
        )


DUTY = Duty(
    3,
    "leaves",
    "the leaves of every log against the roots that were signed",
    check,
    is_scoped=True,
    in_turn=True,
)
