"""What the owner accepts though no key of the log has signed it, against the leaves: a part of duty 3."""

from trailhouse.operate.verify.cannot_check import CannotCheckError
from trailhouse.operate.verify.finding import Findings
from trailhouse.operate.verify.logs import LogId
from trailhouse.operate.verify.run import Run
from trailhouse.proof.policy import BEFORE_PROOF

_BEFORE_PROOF = """
    SELECT kafka_cluster, kafka_topic, kafka_topic_id, kafka_partition, min(kafka_offset), max(kafka_offset), count()
    FROM log_leaves WHERE generation = {before:String} GROUP BY ALL ORDER BY ALL LIMIT 1000
"""


def tell_accepted(run: Run, found: Findings) -> None:
    """Tell what is no longer as the owner has accepted it, and what nobody has; name the rest.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    try:
        accepted = run.policy.accepted
    except CannotCheckError:  # whoever looks at signatures says so
        accepted = ()
    for each in accepted:
        log = LogId(*each.log)
        if run.roots.held.get(log, 0) >= each.size and run.roots.is_accepted(log, each.size):
            run.accept(each)
            continue
        found.add(
            "accepted_changed",
            log=str(log),
            first_offset=0,
            last_offset=each.size - 1,
            table="log_leaves",
            count=1,
            meaning="the owner has accepted the leaves that stood here unsigned, and they are others now, or gone",
            way_out="restore log_leaves from a backup of that time; what has changed since nobody vouches for",
        )
    names = {LogId(*each.log) for each in accepted}
    for *place, first, last, leaves in run.clickhouse.query(
        _BEFORE_PROOF, {"before": BEFORE_PROOF}
    ).rows:
        cluster, topic, topic_id, partition = place
        log = LogId(str(cluster), str(topic), str(topic_id), int(partition), BEFORE_PROOF)
        if log not in names:
            run.cannot(
                f"{leaves} leaves of {log}, offsets {first} to {last}, are of rows from before it was proven,"
                " and no policy accepts them: publish the one that does, or delete them"
            )
