"""Make what the pipeline needs, the topic and the tables; running it again mends what is missing."""

from collections.abc import Iterable
from typing import Literal, Protocol

import msgspec

from trailhouse.broker.admin import KafkaAdmin, Topic
from trailhouse.schemas.kafka_config import KafkaConfig
from trailhouse.schemas.topic import topic_options
from trailhouse.store.config import ClickHouseConfig
from trailhouse.store.migrate import migrate, plan
from trailhouse.store.restore import lacking_columns, missing_objects, restore


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One thing `init` cares for: what it is, and what is to be done, or was done, about it.

    ``create``: it is missing. ``keep``: it is as wanted. ``differs``: it exists otherwise than the
    settings say; that is reported and never changed, since only its owner knows why.
    """

    subject: str
    action: Literal["create", "keep", "differs"]
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
    return (_topic_step(kafka, found), *_table_steps(clickhouse, pending, missing))


def apply_init(kafka: KafkaConfig, clickhouse: ClickHouseConfig) -> tuple[Step, ...]:
    """Make what is missing and return what was done; safe to run again and from two processes.

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
    return (_topic_step(kafka, found), *_table_steps(clickhouse, applied, restored))


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
