"""What a run of `verify` keeps for the next one, in a file of the auditor's: each log's size and checkpoint."""

import os
from pathlib import Path

import msgspec

from trailhouse.operate.verify.logs import LogId
from trailhouse.schemas.errors import ConfigError

FORMAT = "trailhouse-verified/1"
MAX_STATE_BYTES = 64 * 1024 * 1024


class Kept(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One log as far as it was found intact.

    Attributes:
        log: Which.
        size: How many leaves were held against a signed root.
        roots: The root of each perfect subtree of that many, in hex, the largest first.
        checkpoint: The signed checkpoint of that size: whoever keeps it can show a fork.
        manifests_end: Below which offset the manifest of each day was made again, and was the stored one.
    """

    log: LogId
    size: int
    roots: tuple[str, ...]
    checkpoint: str
    manifests_end: int = 0


class _State(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: str
    logs: tuple[Kept, ...]


def read_state(path: Path) -> dict[LogId, Kept]:
    """Return what an earlier run has kept in *path*; nothing where there is no such file yet.

    Raises:
        ConfigError: The file cannot be read, or is another's. Permanent until it is mended.
    """
    try:
        if path.stat().st_size > MAX_STATE_BYTES:
            raise ConfigError(f"{path} is too large to be what verify keeps")
        state = msgspec.json.decode(path.read_bytes(), type=_State)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror})") from None
    except (msgspec.DecodeError, UnicodeError):
        raise ConfigError(f"{path} is not what verify keeps; delete it to begin anew") from None
    for kept in state.logs:
        if kept.size < 0 or len(kept.roots) != kept.size.bit_count() or not _are_hashes(kept.roots):
            raise ConfigError(f"{path} is not what verify keeps; delete it to begin anew")
        if not 0 <= kept.manifests_end <= kept.size:
            raise ConfigError(f"{path} is not what verify keeps; delete it to begin anew")
    if state.format != FORMAT:
        raise ConfigError(f"{path} is of another version of verify; delete it to begin anew")
    return {kept.log: kept for kept in state.logs}


def write_state(path: Path, kept: tuple[Kept, ...]) -> None:
    """Write *kept* to *path*, whole or not at all; only its owner may read it.

    Raises:
        ConfigError: It cannot be written. Permanent until that is mended.
    """
    content = msgspec.json.encode(_State(format=FORMAT, logs=kept))
    beside = path.with_name(f".{path.name}.new")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror})") from None


def _are_hashes(roots: tuple[str, ...]) -> bool:
    try:
        return all(len(bytes.fromhex(root)) == 32 for root in roots)
    except ValueError:
        return False
