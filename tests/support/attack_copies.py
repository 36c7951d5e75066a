"""Databases for attacks: an empty one with every table, and a copy of a proven log."""

import shutil
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from attack_scene import AttackedLog, Keys
from trailhouse.schemas.migrations import migrations
from trailhouse.store import ClickHouseConfig
from trailhouse.store.migrate import migrate


@contextmanager
def a_log(
    cluster_config: Callable[[str], ClickHouseConfig], keys: Keys, folder: Path
) -> Generator[AttackedLog]:
    """Give an empty database with every table and the first policy; dropped in the end."""
    config = cluster_config(f"attacked_{uuid.uuid4().hex[:12]}")
    migrate(config)
    log = AttackedLog(config, keys, folder)
    try:
        log.publish(log.policy())
        yield log
    finally:
        log.close()


@contextmanager
def a_copy(of: AttackedLog, folder: Path) -> Generator[AttackedLog]:
    """Give a copy of a log, part by part as it lies on the disk, and of the folder with its anchors."""
    source = of.clickhouse.config
    config = replace_database(source, f"attacked_{uuid.uuid4().hex[:12]}")
    copy = AttackedLog(config, of.keys, folder)
    try:
        copy.clickhouse.command(f"CREATE DATABASE `{config.database}`", in_database=False)
        for (name,) in of.clickhouse.query(
            "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'"
        ).rows:
            copy.sql(f"CREATE TABLE `{name}` CLONE AS `{source.database}`.`{name}`")
        for migration in migrations():
            for statement in migration.statements:
                if "VIEW" in statement.partition("\n")[0]:
                    copy.sql(statement.replace("{database}", f"`{config.database}`"))
        shutil.copytree(of.folder, folder)
        yield copy
    finally:
        copy.close()


def replace_database(config: ClickHouseConfig, database: str) -> ClickHouseConfig:
    """Return *config* with another database."""
    return ClickHouseConfig(
        url=config.url, user=config.user, password=config.password, database=database
    )
