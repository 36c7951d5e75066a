"""Kafka's jars: exactly the ones named in ``kafka.lock``, downloaded once, checked by their hashes at each start.

`jgo` knows how a Maven repository is laid out and where it is (its own settings file may name a
mirror). `write_lock` resolves a version's dependencies anew and writes the list.
"""

import fcntl
import hashlib
import importlib
import os
import shutil
import stat
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from trailhouse.devstack.private_folder import make_closed
from trailhouse.schemas.errors import StackError

KAFKA_VERSION = "4.3.1"
LOCK_FILE = Path(__file__).with_name("kafka.lock")
# Kafka logs through SLF4J and brings no writer of its own; without one its errors go nowhere.
_ROOTS = (f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}", "org.slf4j:slf4j-simple:1.7.36")
_PARALLEL_DOWNLOADS = 8
_ATTEMPTS = 3
_NEEDED_BYTES = 200_000_000


class Jar(NamedTuple):
    """One line of ``kafka.lock``."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"


def read_lock(path: Path = LOCK_FILE) -> list[Jar]:
    """Return the jars that ``kafka.lock`` names."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [Jar(*line.replace(" ", ":").split(":")) for line in lines if line]


def cache_folder() -> Path:
    """Where the jars are kept: under ``XDG_CACHE_HOME`` or ``~/.cache``."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "trailhouse" / f"kafka-{KAFKA_VERSION}"


def kafka_jars(
    progress: Callable[[int, int], None],
    folder: Path | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> list[Path]:
    """Return Kafka's jars, each with the content that the lock names, downloading what is missing or another.

    Safe to call from several processes at once: one downloads, the others wait for it.

    Args:
        progress: Called with (jars here, jars in all) while something is being downloaded.
        folder: Where the jars are kept; `cache_folder` by default. It is closed to others.
        tell: Takes one line for each jar that was there and is not the one that the lock names.

    Raises:
        StackError: `jgo` is missing, the network is away, a hash differs, the disk is full, or others
            had a hand in the folder. Permanent until mended.
    """
    folder = folder or cache_folder()
    try:
        make_closed(folder)
    except OSError as error:
        raise StackError(
            f"{folder} cannot be used for Kafka's jars ({error.strerror}): set XDG_CACHE_HOME to another folder"
        ) from error
    jars = read_lock(LOCK_FILE)
    if _missing(jars, folder):
        with _alone(folder / "download.lock"):
            missing = _missing(jars, folder)
            for jar in missing:
                if os.path.lexists(folder / jar.file_name):
                    tell(f"{folder / jar.file_name} is not the expected file: downloading it anew")
            _download(missing, len(jars), folder, progress)
    return [folder / jar.file_name for jar in jars]


def _missing(jars: list[Jar], folder: Path) -> list[Jar]:
    with ThreadPoolExecutor() as threads:  # hashing lets Python's lock go
        whole = threads.map(lambda jar: _is_whole(jar, folder), jars)
        return [jar for jar, is_whole in zip(jars, whole, strict=True) if not is_whole]


@contextmanager
def _alone(path: Path) -> Generator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _download(
    missing: list[Jar], total: int, folder: Path, progress: Callable[[int, int], None]
) -> None:
    if not missing:  # another process was faster
        return
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < _NEEDED_BYTES:
        raise StackError(
            f"no room for Kafka: {folder} has {free_bytes // 1_000_000} MB free,"
            f" {_NEEDED_BYTES // 1_000_000} MB are needed; free some, or set XDG_CACHE_HOME to another disk"
        )
    done = total - len(missing)
    progress(done, total)
    staging = folder / "staging"
    shutil.rmtree(staging, ignore_errors=True)
    context = maven(staging)
    threads = ThreadPoolExecutor(_PARALLEL_DOWNLOADS)
    try:
        for _ in threads.map(lambda jar: _fetch(context, jar, folder), missing):
            done += 1
            progress(done, total)
    finally:
        # After a failure or Ctrl-C what is under way ends, and nothing new begins.
        threads.shutdown(cancel_futures=True)
        shutil.rmtree(staging, ignore_errors=True)


def _is_whole(jar: Jar, folder: Path) -> bool:
    """Whether the jar is there, ours alone to change, and the one that the lock names."""
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(folder / jar.file_name, flags)
    except OSError:  # missing, a link, or not ours to read
        return False
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        is_ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()
        if not is_ours or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return False
        return hashlib.file_digest(file, "sha256").hexdigest() == jar.sha256


def _fetch(context: Any, jar: Jar, folder: Path) -> None:
    artifact = context.project(jar.group, jar.artifact).at_version(jar.version).artifact()
    path = _try_download(context, artifact, jar.file_name)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != jar.sha256:
        raise StackError(
            f"{jar.file_name} is not the expected file: sha256 {found}, expected {jar.sha256}; try again"
        )
    path.chmod(0o600)
    path.replace(folder / jar.file_name)


def _try_download(context: Any, artifact: Any, file_name: str) -> Path:
    failure: Exception | None = None
    for _ in range(_ATTEMPTS):
        try:
            return Path(context.resolver.download(artifact))
        except Exception as error:  # noqa: BLE001 - jgo and requests have many classes for a network that is away
            Path(artifact.cached_path).unlink(missing_ok=True)
            failure = error
    raise StackError(
        f"{file_name} cannot be downloaded: {failure}; is the network there?"
    ) from failure


def maven(folder: Path) -> Any:
    """Return what resolves and downloads artifacts into *folder*, by the user's own settings of jgo.

    Raises:
        StackError: `jgo` is missing. Permanent until it is installed.
    """
    try:
        config = importlib.import_module("jgo.config")
        constants = importlib.import_module("jgo.constants")
        maven = importlib.import_module("jgo.maven")
    except ImportError as error:
        raise StackError(
            "Kafka cannot be downloaded without jgo: pip install 'trailhouse[devstack]'"
        ) from error
    settings = config.GlobalSettings.load()
    repositories = settings.repositories or {"central": constants.MAVEN_CENTRAL_URL}
    return maven.MavenContext(repo_cache=folder, remote_repos=repositories)


def write_lock(folder: Path, path: Path = LOCK_FILE) -> None:
    """Resolve `_ROOTS` anew, download every jar into *folder*, and write the list to *path*."""
    context = maven(folder)
    found: dict[str, str] = {}
    for root in _ROOTS:
        for artifact in importlib.import_module("jgo").resolve(root):
            name = f"{artifact.groupId}:{artifact.artifactId}:{artifact.version}"
            own = (
                context.project(artifact.groupId, artifact.artifactId)
                .at_version(artifact.version)
                .artifact()
            )
            found[name] = hashlib.sha256(Path(own.resolve()).read_bytes()).hexdigest()
    path.write_text(
        "".join(f"{name} {sha256}\n" for name, sha256 in sorted(found.items())), encoding="utf-8"
    )


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as temporary:
        write_lock(Path(temporary))
