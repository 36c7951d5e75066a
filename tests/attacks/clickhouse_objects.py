"""Attacks by what one can make beside tables: handlers, views on ours, a backup of one table; and what is none."""

from attack import Who, on_copy
from attack_scene import HOUR_MS, AttackedLog, Commit
from sealing_scene import claimed

LATER_MS = 2 * HOUR_MS - 150_000


def _handler(log: AttackedLog, name: str, url: str) -> None:
    """Make a handler for as long as the log is attacked: it is of the server, and not of a database."""
    log.sql(f"CREATE HANDLER {name} URL '{url}' AS SELECT 1")
    log.ending.callback(log.sql, f"DROP HANDLER {name}")


def _view(log: AttackedLog, value: str) -> None:
    """Have a view of one's own work out *value* of each row of the log that is stored."""
    log.sql("CREATE TABLE mine (n UInt64) ENGINE = MergeTree ORDER BY n")
    log.sql(f"CREATE MATERIALIZED VIEW mine_filled TO mine AS SELECT {value} AS n FROM event_log")


def _store(log: AttackedLog) -> None:
    events = [claimed("legacy", "p9", 810 + n, session_id=f"old-{n}") for n in range(3)]
    log.store_more(Commit({2: events}, {2: 6}, LATER_MS))


def _backup(log: AttackedLog, table: str) -> str:
    """Back one table up, and return where."""
    place = f"File('{log.clickhouse.config.database}-{table}')"
    log.sql(f"BACKUP TABLE {table} TO {place}")
    return place


def _restore(log: AttackedLog, table: str, place: str) -> None:
    log.sql(f"DROP TABLE {table} SYNC")
    log.sql(f"RESTORE TABLE {table} FROM {place}")


@on_copy(Who.CLICKHOUSE, "views", server=True)
def a_handler_takes_what_is_asked(log: AttackedLog) -> None:
    """Of whoever asks at the address of ClickHouse; it is told as far as this check is not asked by it, too."""
    _handler(log, "sly", "/")


@on_copy(Who.CLICKHOUSE, "records", server=True)
def a_table_is_brought_back_from_a_backup_of_yesterday(log: AttackedLog) -> None:
    """By one statement, and what was stored since is gone."""
    place = _backup(log, "event_log")
    _store(log)
    _restore(log, "event_log", place)


@on_copy(Who.NOBODY, server=True)
def a_table_is_brought_back_from_a_backup_of_now(log: AttackedLog) -> None:
    _store(log)
    for table in ("event_log", "log_leaves"):
        _restore(log, table, _backup(log, table))


@on_copy(Who.NOBODY)
def a_view_of_ones_own_is_slow(log: AttackedLog) -> None:
    _view(log, "sleepEachRow(0.05)")
    _store(log)


@on_copy(Who.NOBODY, server=True)
def a_handler_of_ones_own_answers_elsewhere(log: AttackedLog) -> None:
    _handler(log, "report", "/report")
