"""What a client needs to use the stack: its password, and files that hand it to programs started by hand."""

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from trailhouse.devstack.private_folder import read_own, write_own
from trailhouse.schemas.kafka_config import KafkaConfig
from trailhouse.schemas.settings import SETTINGS

if TYPE_CHECKING:
    from trailhouse.store.config import ClickHouseConfig

SETTINGS_FILE = "trailhouse.toml"
NETRC_FILE = "netrc"
_PASSWORD_FILE = "clickhouse-password"  # noqa: S105 - the file's name


def password_of(folder: Path) -> str:
    """Return the stack's password; the first call makes one up and keeps it in *folder*, mode 0600.

    Raises:
        StackError: The file is open to others. Permanent.
    """
    path = folder / _PASSWORD_FILE
    try:
        if kept := read_own(path).strip():
            return kept
    except FileNotFoundError:
        pass
    made = secrets.token_urlsafe(24)
    write_own(path, f"{made}\n")
    return made


def settings_of(kafka: KafkaConfig, clickhouse: "ClickHouseConfig") -> dict[str, str]:
    """Return every variable of both sections, so that none is left to what a user has set for a real cluster."""
    configs = {"kafka": kafka, "clickhouse": clickhouse}
    variables: dict[str, str] = {}
    for declared in SETTINGS.values():
        if (config := configs.get(declared.section)) is not None:
            value: object = getattr(config, declared.key)
            variables[declared.variable] = (
                str(value).lower() if isinstance(value, bool) else str(value)
            )
            if declared.is_secret:
                variables[declared.file_variable] = ""
    return variables


def defaults_of(section: str) -> dict[str, object]:
    """Return the settings of *section* as they are when nobody has set any."""
    return {each.key: each.default for each in SETTINGS.values() if each.section == section}


def write_client_files(folder: Path, variables: Mapping[str, str], host: str) -> None:
    """Write the settings file, which `TRAILHOUSE_CONFIG_FILE` may name, and a netrc for curl; both 0600."""
    sections: dict[str, list[str]] = {}
    for declared in SETTINGS.values():
        if declared.variable in variables:
            # A setting reads its number or truth value from text, too; JSON's text is TOML's.
            line = f"{declared.key} = {json.dumps(variables[declared.variable])}"
            sections.setdefault(declared.section, []).append(line)
    blocks = ("\n".join([f"[{name}]", *lines]) for name, lines in sections.items())
    write_own(folder / SETTINGS_FILE, "\n\n".join(blocks) + "\n")
    user = variables["TRAILHOUSE_CLICKHOUSE_USER"]
    password = variables["TRAILHOUSE_CLICKHOUSE_PASSWORD"]
    write_own(folder / NETRC_FILE, f"machine {host} login {user} password {password}\n")
