"""The folder of the spools: where it is, whether it is ours alone, what lies in it, who adopts from it."""

import contextlib
import errno
import os
import re
import stat
from collections.abc import Generator
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from trailhouse.producer.config import ProducerConfig
from trailhouse.producer.spool.files import (
    FOLDER_OWNER_ONLY,
    OpenFile,
    names_in,
    open_folder,
    open_lock,
    reason_against,
    try_lock,
)
from trailhouse.producer.spool.metadata import Destination
from trailhouse.schemas.errors import (
    ConfigError,
    DeliveryError,
    SpoolFullError,
    SpoolUnavailableError,
)
from trailhouse.schemas.uuid7 import uuid7

NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
QUARANTINE = "quarantine"

_UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
is_spool_name = re.compile(rf"[0-9]{{10}}-{_UUID}").fullmatch
is_hidden_name = re.compile(rf"\.[0-9]{{10}}-{_UUID}").fullmatch
_LAST_ORDER = 9_999_999_999


def root_of(config: ProducerConfig) -> Path:
    """Return the folder of the spools that the settings name.

    Raises:
        ConfigError: They name none, and the user has no home folder. Permanent.
    """
    if config.spool_dir:
        return Path(config.spool_dir).expanduser().absolute()  # a daemon changes its folder later
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    try:
        return (Path(state).expanduser() / "trailhouse" / "spool").absolute()
    except RuntimeError:
        raise ConfigError(
            "this user has no home folder for the spool: set TRAILHOUSE_PRODUCER_SPOOL_DIR"
        ) from None


def make_root(root: Path) -> None:
    """Make the folder of the spools if it is not there, for our user alone, and check it.

    Raises:
        OSError: It cannot be made, or is not ours alone; says so.
    """
    root.mkdir(parents=True, exist_ok=True, mode=FOLDER_OWNER_ONLY)
    os.close(open_root(root))


def check_root(root: Path) -> None:
    """Make the folder of the spools if it is not there, and check that there can be a spool in it.

    Raises:
        ConfigError: It cannot be made or written, or is not ours alone; names the way out. Permanent.
    """
    try:
        make_root(root)
        if not os.access(root, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        if error.errno in NO_SPACE:
            return  # there may be room when the first event comes
        raise ConfigError(
            f"the spool folder {root} cannot be used ({error.strerror or error}): set"
            " TRAILHOUSE_PRODUCER_SPOOL_DIR to a folder of yours, in a container on a volume, or"
            " TRAILHOUSE_PRODUCER_MODE=memory and lose events with the process"
        ) from error


def open_root(root: Path) -> int:
    """Return a descriptor of the folder of the spools.

    Raises:
        OSError: There is none, or it is not ours alone; says so.
    """
    found = root.lstat()
    if stat.S_ISLNK(found.st_mode) and found.st_uid not in {0, os.geteuid()}:
        raise OSError(errno.EPERM, "it is a link that another user has made")
    return open_folder(root, follow=True)


def next_name(root: Path) -> str:
    """Return a name after all that are there: whoever comes later sorts later, whatever the clock says."""
    orders = [
        int(name.lstrip(".")[:10])
        for name in names_in(root)
        if is_spool_name(name) or is_hidden_name(name)
    ]
    return f"{min(max(orders, default=0) + 1, _LAST_ORDER):010d}-{uuid7()}"


class Survey(NamedTuple):
    """What lies in the folder of the spools."""

    folders: list[Path]
    """The spools, the oldest first."""
    refused: dict[str, str]
    """What has the name of a spool and is not ours alone, and why."""


def survey(root: Path) -> Survey:
    """Look at every spool under *root*; one is known by its name, and trusted if it is ours alone.

    Raises:
        SpoolUnavailableError: The folder cannot be read, or is not ours alone. Retriable once mended.
    """
    found, refused = [], {}
    try:
        folder = open_root(root)
    except (FileNotFoundError, NotADirectoryError):
        return Survey([], {})
    except OSError as error:
        raise unavailable(root, error) from error
    try:
        for name in sorted(filter(is_spool_name, names_in(folder))):
            with contextlib.suppress(FileNotFoundError):
                status = os.stat(name, dir_fd=folder, follow_symlinks=False)
                reason = reason_against(status)
                if not stat.S_ISDIR(status.st_mode):
                    reason = "it is not a folder"
                if reason:
                    refused[name] = reason
                else:
                    found.append(root / name)
    except OSError as error:
        raise unavailable(root, error) from error
    finally:
        os.close(folder)
    return Survey(found, refused)


def folders(root: Path) -> list[Path]:
    """Return the folders of all spools under *root*, the oldest first."""
    return survey(root).folders


def acquire_adoption_lease(root: Path, destination: Destination) -> OpenFile | None:
    """Return the open file that makes us the one to adopt spools for *destination*; None if another is.

    Raises:
        OSError: There is no such folder, it cannot be written, or is not ours alone.
    """
    target = f"{destination.bootstrap_servers} {destination.topic}".encode()
    folder = open_root(root)
    try:
        file = open_lock(f".adopting-{crc32(target):08x}", dir_fd=folder)
    finally:
        os.close(folder)
    if try_lock(file):
        return file
    file.close()
    return None


@contextlib.contextmanager
def translated(path: Path) -> Generator[None]:
    """Raise what the operating system refuses as our error."""
    try:
        yield
    except OSError as error:
        raise unavailable(path, error) from error


def unavailable(path: Path, error: OSError) -> DeliveryError:
    """Return the error that says what the operating system refuses, and the way out."""
    if error.errno in NO_SPACE:
        return SpoolFullError(f"the disk of the spool in {path} is full: free space")
    return SpoolUnavailableError(
        f"the spool in {path} cannot be used ({error.strerror or error}): mend that, set"
        " TRAILHOUSE_PRODUCER_SPOOL_DIR, or TRAILHOUSE_PRODUCER_MODE=memory and lose events with the process"
    )
