"""ClickHouse with real grants: the engine under a configuration of ClickHouse's own, one user at a time."""

import dataclasses
import secrets
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from xml.sax.saxutils import escape

from free_ports import free_port
from trailhouse.devstack.clickhouse import clickhouse_part
from trailhouse.devstack.ports import HOST
from trailhouse.devstack.supervisor import Supervisor
from trailhouse.store import ClickHouseConfig

EVERYTHING = ("GRANT ALL ON *.* WITH GRANT OPTION",)
OWNER = "owner"
"""A user who may do everything and whose rights a view can have; nobody calls as this one."""


@contextmanager
def granted(
    folder: Path,
    grants: Sequence[str],
    profile: str = "",
    database: str = "trailhouse",
    hidden: str = "",
) -> Generator[ClickHouseConfig]:
    """Serve the data in *folder* to a user who has *grants* alone, and settings of *profile*.

    Args:
        folder: Where the data are; those of one call are the next call's.
        grants: Statements such as ``GRANT SELECT ON trailhouse.events``.
        profile: Elements of a settings profile, as ClickHouse's users.xml has them.
        database: What the returned settings name.
        hidden: Which rows of `event_log` the `OWNER` is not shown, by a row policy of his own.
    """
    folder.mkdir(exist_ok=True)
    port = free_port()
    password = secrets.token_hex(8)
    part = clickhouse_part(folder / "data", port, folder / "clickhouse.log", password)
    command = [
        *part.command(),
        "--config-file",
        str(_write_config(folder, grants, profile, hidden)),
    ]
    supervisor = Supervisor([dataclasses.replace(part, command=lambda: command)], lambda _: None)
    try:
        supervisor.start(part.name)
        supervisor.wait_ready(part.name)
        yield ClickHouseConfig(
            url=f"http://{HOST}:{port}", user="default", password=password, database=database
        )
    finally:
        supervisor.close([[part.name]])


def _write_config(folder: Path, grants: Sequence[str], profile: str, hidden: str) -> Path:
    queries = "".join(f"<query>{escape(grant)}</query>" for grant in grants)
    everything = "".join(f"<query>{escape(grant)}</query>" for grant in EVERYTHING)
    anywhere = "<networks><ip>::/0</ip></networks><quota>default</quota>"
    policy = f"<filter>NOT ({escape(hidden)})</filter>"
    bound = f"<databases><trailhouse><event_log>{policy}</event_log></trailhouse></databases>"
    users = folder / "users.xml"
    users.write_text(
        "<clickhouse>"
        f"<profiles><default>{profile}</default><{OWNER}/></profiles><quotas><default/></quotas>"
        "<users>"
        f"<default><password/>{anywhere}<profile>default</profile><grants>{queries}</grants></default>"
        f"<{OWNER}><password>unused</password>{anywhere}<profile>{OWNER}</profile><grants>{everything}</grants>"
        f"{bound if hidden else ''}</{OWNER}>"
        "</users></clickhouse>"
    )
    config = folder / "config.xml"
    directory = f"<user_directories><users_xml><path>{escape(str(users))}</path></users_xml></user_directories>"
    backups = f"<backups><allowed_path>{escape(str(folder / 'data' / 'store'))}/backups/</allowed_path></backups>"
    config.write_text(f"<clickhouse>{directory}{backups}</clickhouse>")
    return config
