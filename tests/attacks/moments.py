"""What happens between two acts: a worker is killed before it has signed, and somebody comes meanwhile."""

from msgspec import structs

from attack import Who, on_copy
from attack_scene import HOUR_MS, AttackedLog, Commit
from sealing_scene import claimed
from trailhouse.operate.proof_keys.closing import rotated
from trailhouse.proof.keys import create_key_file

NOW = "SETTINGS mutations_sync = 2"
LATER_MS = 2 * HOUR_MS - 150_000
FIRST = 6
"""Where partition 2 ended before."""
IN_TAIL = f"kafka_partition = 2 AND kafka_offset >= {FIRST}"
COMMIT = Commit(
    {2: [claimed("legacy", "p9", n, session_id="old", tenant_id="a") for n in range(4, 8)]},
    {2: FIRST},
    LATER_MS,
)


def _killed(log: AttackedLog) -> None:
    """Have a worker store rows and leaves of four records, and nothing that comes after these."""
    log.anchor_under(log.policy())  # else what is stored would wait until this case had its turn
    log.store_more(COMMIT)
    log.sql(
        f"ALTER TABLE log_checkpoints DELETE WHERE kafka_partition = 2 AND size > {FIRST} {NOW}"
    )
    log.sql(
        f"ALTER TABLE batch_ledger DELETE WHERE kafka_partition = 2 AND last_offset >= {FIRST} {NOW}"
    )


def _next(log: AttackedLog) -> None:
    """Have the next worker read the same again, and sign it."""
    log.store_more(COMMIT)
    log.anchor_under(log.policy())


def _replaced(log: AttackedLog, table: str, what: str, where: str = IN_TAIL) -> None:
    log.sql(f"CREATE TABLE changed AS {table}")
    log.sql(f"INSERT INTO changed SELECT * REPLACE ({what}) FROM {table} WHERE {where}")
    log.sql(f"ALTER TABLE {table} DELETE WHERE {where} {NOW}")
    log.sql(f"INSERT INTO {table} SELECT * FROM changed")
    log.sql("DROP TABLE changed SYNC")


@on_copy(Who.CLICKHOUSE, "leaves")
def a_killed_workers_leaf_is_changed_before_the_next_one_comes(log: AttackedLog) -> None:
    _killed(log)
    _replaced(log, "log_leaves", "reverse(digest) AS digest", f"{IN_TAIL} AND kafka_offset = 7")
    _next(log)


@on_copy(Who.CLICKHOUSE, "leaves")
def a_killed_workers_leaves_are_of_another_time_before_the_next_one_comes(log: AttackedLog) -> None:
    _killed(log)
    _replaced(log, "log_leaves", "appended_ms + 1 AS appended_ms")
    _next(log)


@on_copy(Who.CLICKHOUSE, "columns")
def a_killed_workers_row_is_changed_before_the_next_one_comes(log: AttackedLog) -> None:
    """What the next one stores is one row more, of the same key and time: either of them may be shown."""
    _killed(log)
    log.sql(f"ALTER TABLE event_log UPDATE agent_id = 'another' WHERE {IN_TAIL} {NOW}")
    _next(log)


@on_copy(Who.NOBODY)
def what_a_killed_worker_has_left_is_stored_again(log: AttackedLog) -> None:
    _killed(log)
    _next(log)


@on_copy(Who.NOBODY)
def what_a_killed_worker_has_left_is_merged_and_stored_again(log: AttackedLog) -> None:
    _killed(log)
    log.store_more(COMMIT)
    for table in ("event_log", "log_leaves", "log_checkpoints", "batch_ledger", "partition_ends"):
        log.sql(f"OPTIMIZE TABLE {table} FINAL")
    log.store_more(COMMIT)
    log.anchor_under(log.policy())


@on_copy(Who.NOBODY)
def half_of_what_a_killed_worker_has_stored_is_lost_with_the_servers_memory(
    log: AttackedLog,
) -> None:
    _killed(log)
    log.sql(f"ALTER TABLE event_log DELETE WHERE {IN_TAIL} AND kafka_offset > 7 {NOW}")
    log.sql(f"ALTER TABLE log_leaves DELETE WHERE {IN_TAIL} AND kafka_offset > 6 {NOW}")
    _next(log)


@on_copy(Who.NOBODY)
def a_key_follows_while_a_killed_workers_end_is_unsigned(log: AttackedLog) -> None:
    """The next worker has the new key, and signs what the one before has left."""
    _killed(log)
    path = log.keys.log_path.with_name("log-after-a-kill.key")
    signer = create_key_file(path)
    policy = rotated(log.clickhouse, log.policy(), signer, 0)
    log.publish(policy)
    log.proof = structs.replace(log.proof, key_file=str(path))
    log.store_more(COMMIT)
    log.anchor_under(policy, signer=signer)
