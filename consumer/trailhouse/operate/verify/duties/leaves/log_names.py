"""Which logs there are, and whether each has the name that is its own: a part of duty 3."""

from collections.abc import Iterable
from itertools import groupby

from trailhouse.operate.verify.cannot_check import CannotCheckError
from trailhouse.operate.verify.finding import Findings
from trailhouse.operate.verify.logs import OF_LOG, LogId
from trailhouse.operate.verify.run import Run
from trailhouse.proof.checkpoint import Checkpoint
from trailhouse.proof.merkle import EMPTY_ROOT
from trailhouse.proof.origin import LogOrigin, generation_number, log_topic_id
from trailhouse.proof.policy import BEFORE_PROOF

_LAST_TEXTS = f"""
    SELECT DISTINCT generation FROM log_checkpoints
    WHERE {OF_LOG} AND substring(lower(hex(SHA256(
        if(position(checkpoint, '\\n\\n') > 0, substring(checkpoint, 1, position(checkpoint, '\\n\\n')), checkpoint)
    ))), 1, 32) = {{named:String}}
"""  # noqa: S608 - names of ours; every value is a bound parameter


def tell_names(run: Run, found: Findings) -> None:
    """Tell logs that are gone, that go by the name of another, and generations that follow none."""
    for log, kept in run.since.items():
        if log not in run.roots.walked():
            found.add(
                "shrunk",
                log=str(log),
                first_offset=0,
                last_offset=max(kept.size - 1, 0),
                table="log_leaves",
                meaning="this log was held against a signed root before, and nothing of it is there",
                way_out="restore log_leaves and log_checkpoints; the kept checkpoint shows what was signed",
            )
    for name, logs in groupby(sorted(run.logs, key=_named), key=_named):
        # Without an id two clusters' topics of one name are told apart by nothing else.
        if name[1] and len(list(logs)) > 1:
            found.add(
                "name_twice",
                log="/".join(map(str, name)),
                table="log_leaves",
                meaning="two clusters are said to have this log: an anchor that names it means only one",
                way_out="a topic's id is of one cluster: delete what was stored under the other's name",
            )
    for log in run.logs:
        if log.generation != "1" and not _follows(run, log):
            found.add(
                "generation_without_past",
                log=str(log),
                table="log_leaves",
                meaning="a generation's name commits to the last checkpoint of the one before, and there is none such",
                way_out="delete what was stored under it, after asking who wrote it; or restore log_checkpoints",
            )


def _named(log: LogId) -> tuple[str, str, int, str]:
    return log.topic, log_topic_id(log.topic_id), log.partition, log.generation


def _follows(run: Run, log: LogId) -> bool:
    number, named = generation_number(log.generation), log.generation.partition("-")[2]
    if not number or len(named) != 32:
        return False
    before = run.clickhouse.query(_LAST_TEXTS, {**log.parameters, "named": named}).rows
    if any(_is_before(number, generations) for generations in before):
        return True
    return _follows_accepted(run, log)


def _follows_accepted(run: Run, log: LogId) -> bool:
    """Tell whether *log* says that no key has signed the one before, and the owner accepts that one as it stands."""
    try:
        policy = run.policy
    except CannotCheckError:
        return False
    for each in policy.accepted:
        before = LogId(*each.log)
        if before.place == log.place and before.generation != BEFORE_PROOF:
            origin = LogOrigin(policy.log_name, log.topic, log.topic_id, *before[3:])
            if origin.successor(Checkpoint(str(origin), 0, EMPTY_ROOT).text).generation == (
                log.generation
            ):
                return True
    return False


def _is_before(number: int, generations: Iterable[str]) -> bool:
    return any(str(number - 1) == each.partition("-")[0] for each in generations)
