"""The SQL migrations that ship with the package: numbered, checksummed, read only."""

import hashlib
import re
from importlib import resources

import msgspec

from trailhouse.schemas.errors import ConfigError


class Migration(msgspec.Struct, frozen=True, kw_only=True):
    """One file of `sql/`: its number, its name, its statements and the SHA-256 of its bytes."""

    number: int
    name: str
    sha256: str
    statements: tuple[str, ...]


def migrations() -> tuple[Migration, ...]:
    """Return all migrations in order, numbered from 1 without a gap.

    Raises:
        ConfigError: The package's files are damaged. Permanent.
    """
    folder = resources.files("trailhouse.schemas").joinpath("sql")
    files = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    found = tuple(_read(name, folder.joinpath(name).read_bytes()) for name in files)
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise ConfigError(
            "the SQL migrations of this installation have a gap: install trailhouse again"
        )
    return found


def _read(name: str, content: bytes) -> Migration:
    parsed = re.fullmatch(r"(\d{4})_([a-z0-9_]+)\.sql", name)
    if parsed is None:
        raise ConfigError(f"{name} is no migration of ours: install trailhouse again")
    text = re.sub(r"^--.*\n", "", content.decode(), flags=re.MULTILINE)
    statements = tuple(part.strip() for part in re.split(r";\s*\n", text) if part.strip())
    return Migration(
        number=int(parsed[1]),
        name=parsed[2],
        sha256=hashlib.sha256(content).hexdigest(),
        statements=statements,
    )
