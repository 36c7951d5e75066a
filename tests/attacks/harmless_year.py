"""What an operator does in a year, and chance: clusters that share tables, backups, clocks at midnight, new names."""

from collections.abc import Mapping, Sequence

from attack import Who, on_copy, on_history
from attack_copies import replace_database
from attack_scene import HOUR_MS, AtOffset, AttackedLog, Commit, History, Keys
from kafka_records import Record
from proven import ORIGIN, ProvenLog
from sealing_scene import claimed
from trailhouse.broker.origin import Origin
from trailhouse.store import ClickHouse
from trailhouse.store.migrate import migrate

NOW = "SETTINGS mutations_sync = 2"
DAY_MS = 24 * HOUR_MS
LATER_MS = 2 * HOUR_MS - 150_000


def _legacy(first: int, count: int = 3) -> list[AtOffset]:
    return [claimed("legacy", "p9", first + n, session_id="old") for n in range(count)]


@on_copy(Who.NOBODY)
def two_clusters_share_one_clickhouse(log: AttackedLog) -> None:
    """Topics of one name and partitions of one number, told apart by cluster and topic id."""
    log.anchor_under(log.policy())  # else what is stored would wait until this case had its turn
    other = Origin("another-cluster", ORIGIN.topic, "another-topic-id")
    at_ms = log.keys.now_ms - LATER_MS
    records = [
        Record(claimed("legacy", "p7", n, session_id="old").record, 0, n, at_ms) for n in range(5)
    ]
    ProvenLog(log.clickhouse, log.proof, other).write(records, {0: 0})
    log.anchor_under(log.policy())


@on_copy(Who.NOBODY)
def the_topic_is_widened_twice(log: AttackedLog) -> None:
    log.anchor_under(log.policy())  # else what is stored would wait until this case had its turn
    for place, partition in enumerate((3, 4)):
        log.store_more(
            Commit({partition: _legacy(300 + 10 * place)}, {partition: 0}, LATER_MS - place * 1_000)
        )
        log.anchor_under(log.policy())


@on_copy(Who.NOBODY)
def kafkas_retention_is_shortened(log: AttackedLog) -> None:
    """A worker that starts again finds that Kafka begins where it has stopped."""
    records = [
        Record(each.record, 2, 6 + n, log.keys.now_ms - LATER_MS)
        for n, each in enumerate(
            claimed("legacy", "p9", 400 + n, session_id="old") for n in range(3)
        )
    ]
    ProvenLog(log.clickhouse, log.proof, ORIGIN).write(records, {2: 6}, {2: 6})


@on_copy(Who.NOBODY)
def each_table_comes_back_from_a_backup_of_its_own(log: AttackedLog) -> None:
    """Row for row, into a table that was made anew."""
    for table in (
        "event_log",
        "log_leaves",
        "log_nodes",
        "log_anchors",
        "log_policies",
        "batch_ledger",
    ):
        log.sql(f"CREATE TABLE saved CLONE AS {table}")
        log.sql(f"TRUNCATE TABLE {table}")
        for (part,) in log.clickhouse.query(
            "SELECT DISTINCT partition_id FROM system.parts WHERE database = currentDatabase()"
            " AND table = 'saved' AND active"
        ).rows:
            log.sql(f"ALTER TABLE {table} REPLACE PARTITION ID '{part}' FROM saved")
        log.sql("DROP TABLE saved SYNC")


@on_copy(Who.NOBODY)
def every_partition_is_detached_and_attached_again(log: AttackedLog) -> None:
    for table in ("event_log", "event_index", "log_leaves", "log_checkpoints"):
        for (part,) in log.clickhouse.query(
            "SELECT DISTINCT partition_id FROM system.parts WHERE database = currentDatabase()"
            f" AND table = '{table}' AND active"
        ).rows:
            log.sql(f"ALTER TABLE {table} DETACH PARTITION ID '{part}'")
            log.sql(f"ALTER TABLE {table} ATTACH PARTITION ID '{part}'")


@on_copy(Who.NOBODY)
def all_is_copied_to_a_database_of_another_name(log: AttackedLog) -> None:
    """As to another server: by `init` and an INSERT of each table, without what is filled from the log."""
    old = log.clickhouse.config
    new = replace_database(old, f"{old.database}_moved")
    migrate(new)
    moved = ClickHouse(new)
    for (table,) in log.clickhouse.query(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'"
    ).rows:
        if table not in ("event_index", "event_usage"):
            moved.command(f"TRUNCATE TABLE `{table}`")
            moved.command(f"INSERT INTO `{table}` SELECT * FROM `{old.database}`.`{table}`")
    log.also_drops.append(old.database)
    log.clickhouse.close()
    log.clickhouse = moved


@on_history(Who.NOBODY)
def the_brokers_clock_goes_back_over_midnight(history: History, keys: Keys) -> History:
    """By half a minute, as after a step of NTP: a record of the day before follows one of the new day."""
    midnight_ago_ms = keys.now_ms % DAY_MS
    while midnight_ago_ms < history.commits[0].ago_ms + HOUR_MS:
        midnight_ago_ms += DAY_MS

    def commit(first: int, count: int, ago_ms: int) -> Commit:
        return Commit(_in(3, _legacy(500 + first, count)), {3: first}, midnight_ago_ms + ago_ms)

    over = (commit(0, 3, -10_000), commit(3, 3, 20_000), commit(6, 3, -30_000))
    return History((*over, *history.commits))


def _in(partition: int, values: Sequence[AtOffset]) -> Mapping[int, Sequence[AtOffset]]:
    return {partition: values}
