"""Make what the pipeline needs, the topic and the tables; running it again mends what is missing."""

from collections.abc import Callable, Iterable
from typing import Literal, Protocol

import msgspec

from trailhouse.broker.admin import KafkaAdmin, Topic
from trailhouse.operate.derived_rows import patient
from trailhouse.operate.rebuild import TAKEN, rebuild_table, unfilled
from trailhouse.schemas.errors import StorageRejectedError
from trailhouse.schemas.kafka_config import KafkaConfig
from trailhouse.schemas.migrations import migrations
from trailhouse.schemas.topic import topic_options
from trailhouse.store.clickhouse import ClickHouse
from trailhouse.store.config import ClickHouseConfig
from trailhouse.store.derived_tables import DerivedTable
from trailhouse.store.migrate import migrate, plan
from trailhouse.store.restore import lacking_columns, missing_objects, objects_of, restore

Action = Literal["create", "keep", "differs"]
Report = Callable[[str], None]


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One thing `init` cares for: what it is, and what is to be done, or was done, about it.

    ``create``: it is missing. ``keep``: it is as wanted. ``differs``: it exists otherwise than the
    settings say; that is reported and never changed, since only its owner knows why.
    """

    subject: str
    action: Action
    detail: str


def plan_init(kafka: KafkaConfig, clickhouse: ClickHouseConfig) -> tuple[Step, ...]:
    """Return what `apply_init` would do; nothing is changed.

    Raises:
        BrokerError: Kafka does not answer (retriable) or refuses (permanent).
        StorageError: ClickHouse does not answer (retriable), or refuses, or its tables are newer
            or edited (permanent).
    """
    pending, missing = plan(clickhouse), missing_objects(clickhouse)
    found = KafkaAdmin(kafka).topic()
    return (
        _topic_step(kafka, found),
        *_table_steps(clickhouse, pending, missing),
        *_planned_fill(clickhouse, pending, missing),
    )


def apply_init(
    kafka: KafkaConfig, clickhouse: ClickHouseConfig, report: Report = lambda step: None
) -> tuple[Step, ...]:
    """Make what is missing and return what was done; safe to run again and from two processes.

    A table that follows from the log is filled from it where it was made just now, which may take long.

    Raises:
        BrokerError: Kafka does not answer (retriable) or refuses (permanent).
        StorageError: ClickHouse does not answer (retriable), or refuses, or its tables are newer
            or edited (permanent).
    """
    with KafkaAdmin(kafka) as admin:
        found = admin.topic()
        if found is None and not admin.create_topic():
            found = admin.topic()  # another process made it meanwhile
    applied = migrate(clickhouse)
    # After the migrations: what the newest of them makes is not missing.
    restored = restore(clickhouse)
    return (
        _topic_step(kafka, found),
        *_table_steps(clickhouse, applied, restored),
        *fill_derived_tables(clickhouse, applied, restored, report),
    )


def _topic_step(config: KafkaConfig, found: Topic | None) -> Step:
    subject = f"topic {config.topic}"
    if found is None:
        return Step(subject=subject, action="create", detail=_wish(config))
    if differences := topic_differences(config, found):
        return Step(subject=subject, action="differs", detail="; ".join(differences))
    return Step(subject=subject, action="keep", detail=_wish(config))


def topic_differences(config: KafkaConfig, found: Topic) -> tuple[str, ...]:
    """Say in which points the existing topic is not as the settings want it."""
    pairs = {
        "partitions": (str(found.partitions), str(config.partitions)),
        "replication": (str(found.replication), str(config.replication)),
    }
    for name, wanted in topic_options(config).items():
        pairs[name] = (found.options.get(name, "unset"), wanted)
    return tuple(
        f"{name} is {has}, settings say {wants}"
        for name, (has, wants) in pairs.items()
        if has != wants
    )


def _wish(config: KafkaConfig) -> str:
    return (
        f"{config.partitions} partitions, replication {config.replication},"
        f" {config.retention_hours} h retention"
    )


class _Numbered(Protocol):
    @property
    def number(self) -> int: ...
    @property
    def name(self) -> str: ...


def _planned_fill(
    config: ClickHouseConfig, pending: Iterable[_Numbered], missing: Iterable[str]
) -> tuple[Step, ...]:
    with ClickHouse(config) as storage:
        try:
            tables = unfilled(storage, _made(pending, missing))
        except StorageRejectedError as error:
            # Without a log, or without any database, there is nothing that a table could be filled with.
            if error.name not in {"UNKNOWN_TABLE", "UNKNOWN_DATABASE"}:
                raise
            return ()
    return tuple(_fill_step(config, table, "create", "from the log") for table in tables)


def fill_derived_tables(
    config: ClickHouseConfig,
    applied: Iterable[_Numbered],
    restored: Iterable[str],
    report: Report,
) -> tuple[Step, ...]:
    """Fill from the log what these migrations made, or what was restored, and follows from it; return what was done.

    Raises:
        StorageError: ClickHouse does not answer (retriable) or refuses (permanent).
    """
    steps: list[Step] = []
    with ClickHouse(patient(config)) as storage:
        for table in unfilled(storage, _made(applied, restored)):
            try:
                rows = rebuild_table(storage, table, report=report).rows
            except StorageRejectedError as error:
                if error.name != TAKEN:
                    raise
                steps.append(_fill_step(config, table, "differs", str(error)))
            else:
                steps.append(_fill_step(config, table, "create", f"{rows} rows from the log"))
    return tuple(steps)


def _fill_step(config: ClickHouseConfig, table: DerivedTable, action: Action, detail: str) -> Step:
    return Step(subject=f"rows of {table.name} in {config.database}", action=action, detail=detail)


def _made(changes: Iterable[_Numbered], objects: Iterable[str]) -> set[str]:
    """Return the names of the tables and views that these migrations made, and of these objects."""
    numbers = {change.number for change in changes}
    made = [
        name
        for migration in migrations()
        if migration.number in numbers
        for statement in migration.statements
        for name in objects_of(statement)
    ]
    return {name.rpartition(" ")[2] for name in (*made, *objects)}


def _table_steps(
    config: ClickHouseConfig, changes: Iterable[_Numbered], restored: Iterable[str]
) -> tuple[Step, ...]:
    steps = tuple(
        Step(
            subject=f"tables in {config.database}",
            action="create",
            detail=f"migration {change.number:04d} {change.name}",
        )
        for change in changes
    ) + tuple(
        Step(subject=f"{name} in {config.database}", action="create", detail="it was missing")
        for name in restored
    )
    restorable = {name.partition(" ")[2] for name in restored}
    for table, columns in lacking_columns(config).items():
        if gone := [name for name in columns if f"{table}.{name}" not in restorable]:
            detail = f"lacks {', '.join(gone)}: name or add them as the migrations do, then `trailhouse replay`"
            subject = f"table {table} in {config.database}"
            steps += (Step(subject=subject, action="differs", detail=detail),)
    return steps or (
        Step(
            subject=f"tables in {config.database}",
            action="keep",
            detail="all migrations are applied",
        ),
    )
