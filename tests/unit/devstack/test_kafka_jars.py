"""Kafka's jars are exactly the ones in the lock file, or none."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trailhouse.devstack import kafka_jars
from trailhouse.devstack.kafka_jars import Jar, read_lock
from trailhouse.schemas.errors import StackError

CONTENT = b"a jar"


class Resolver:
    """Stands in for the network: writes *content*, and fails the first *failures* times."""

    def __init__(self, folder: Path, content: bytes, failures: int = 0) -> None:
        self.folder = folder
        self.content = content
        self.failures = failures
        self.downloads = 0

    @property
    def resolver(self) -> "Resolver":
        return self

    def project(self, group: str, artifact: str) -> "Resolver":
        return self

    def at_version(self, version: str) -> "Resolver":
        return self

    def artifact(self) -> "Resolver":
        return self

    @property
    def cached_path(self) -> Path:
        return self.folder / "downloaded"

    def download(self, artifact: object) -> Path:
        """Write the file, or half of it and fail."""
        self.downloads += 1
        self.folder.mkdir(exist_ok=True)
        if self.downloads <= self.failures:
            self.cached_path.write_bytes(self.content[:2])
            raise OSError("the line is cut")
        self.cached_path.write_bytes(self.content)
        return self.cached_path


@pytest.fixture
def one_jar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty cache for a lock file of one jar."""
    lock = tmp_path / "kafka.lock"
    lock.write_text(f"group:artifact:1.0 {hashlib.sha256(CONTENT).hexdigest()}\n")
    monkeypatch.setattr(kafka_jars, "LOCK_FILE", lock)
    return tmp_path / "cache"


def fetch(
    folder: Path, content: bytes, monkeypatch: pytest.MonkeyPatch, failures: int = 0
) -> tuple[list[Path], Resolver, list[Any]]:
    """Ask for the jars with *content* on the other side of the network."""
    network = Resolver(folder / "staging", content, failures)
    monkeypatch.setattr(kafka_jars, "maven", lambda staging: network)
    shown: list[Any] = []
    return (
        kafka_jars.kafka_jars(lambda done, total: shown.append((done, total)), folder),
        network,
        shown,
    )


def test_the_lock_names_kafka_and_pins_every_jar() -> None:
    """The shipped lock has the broker, and a hash for each jar."""
    jars = read_lock()
    assert any(
        jar.artifact == "kafka_2.13" and jar.version == kafka_jars.KAFKA_VERSION for jar in jars
    )
    assert all(len(jar.sha256) == 64 for jar in jars)
    assert len({jar.file_name for jar in jars}) == len(jars)


def test_a_jar_is_downloaded_once(one_jar: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first call downloads and shows it; the second finds everything there and shows nothing."""
    paths, network, shown = fetch(one_jar, CONTENT, monkeypatch)
    assert [path.read_bytes() for path in paths] == [CONTENT]
    assert (network.downloads, shown) == (1, [(0, 1), (1, 1)])
    _, network, shown = fetch(one_jar, CONTENT, monkeypatch)
    assert (network.downloads, shown) == (0, [])


def test_a_jar_with_another_hash_is_refused(one_jar: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is not the pinned one is named and not kept."""
    with pytest.raises(StackError, match=r"artifact-1\.0\.jar is not the expected file"):
        fetch(one_jar, b"something else", monkeypatch)
    assert not list(one_jar.glob("*.jar"))


def test_a_download_that_was_cut_is_begun_anew(
    one_jar: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a file is never taken for a whole one: it is downloaded again."""
    paths, network, _ = fetch(one_jar, CONTENT, monkeypatch, failures=2)
    assert (network.downloads, paths[0].read_bytes()) == (3, CONTENT)


def test_no_network_is_told(one_jar: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When every attempt fails the jar is named, with the reason."""
    with pytest.raises(
        StackError, match=r"artifact-1\.0\.jar cannot be downloaded: the line is cut"
    ):
        fetch(one_jar, CONTENT, monkeypatch, failures=99)


def test_half_a_jar_of_an_earlier_run_is_replaced(
    one_jar: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a killed run left behind is checked by its hash."""
    one_jar.mkdir(mode=0o700)
    (one_jar / Jar("group", "artifact", "1.0", "").file_name).write_bytes(CONTENT[:2])
    paths, _, _ = fetch(one_jar, CONTENT, monkeypatch)
    assert paths[0].read_bytes() == CONTENT


def replace_content(jar: Path) -> None:
    """Put another content there, of the same length and age."""
    times = jar.stat()
    jar.write_bytes(CONTENT.swapcase())
    os.utime(jar, ns=(times.st_atime_ns, times.st_mtime_ns))


def replace_by_link(jar: Path) -> None:
    """Put a link to the right content there, whose target somebody may change at any time."""
    jar.unlink()
    (jar.parent.parent / "elsewhere").write_bytes(CONTENT)
    jar.symlink_to(jar.parent.parent / "elsewhere")


def open_to_others(jar: Path) -> None:
    """Let others write the right content."""
    jar.chmod(0o666)


@pytest.mark.parametrize("change", [replace_content, replace_by_link, open_to_others])
def test_a_jar_replaced_after_its_download_is_downloaded_anew(
    one_jar: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    """Each start compares each jar with the lock; one that is another is named and replaced."""
    [jar], _, _ = fetch(one_jar, CONTENT, monkeypatch)
    change(jar)
    told: list[str] = []
    network = Resolver(one_jar / "staging", CONTENT)
    monkeypatch.setattr(kafka_jars, "maven", lambda staging: network)

    assert kafka_jars.kafka_jars(lambda done, total: None, one_jar, told.append) == [jar]

    assert (network.downloads, jar.read_bytes(), jar.is_symlink()) == (1, CONTENT, False)
    assert jar.stat().st_mode & 0o777 == 0o600
    assert told == [f"{jar} is not the expected file: downloading it anew"]


@pytest.mark.parametrize("change", [replace_content, replace_by_link, open_to_others])
def test_a_replaced_jar_is_never_used_without_a_network(
    one_jar: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    """Where it cannot be downloaded anew, the start is refused with the jar's name."""
    [jar], _, _ = fetch(one_jar, CONTENT, monkeypatch)
    change(jar)
    with pytest.raises(StackError, match=r"artifact-1\.0\.jar cannot be downloaded"):
        fetch(one_jar, CONTENT, monkeypatch, failures=99)


def test_the_cache_is_closed_to_others(one_jar: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder of the jars is made with mode 0700, and one that others may enter is closed."""
    fetch(one_jar, CONTENT, monkeypatch)
    assert one_jar.stat().st_mode & 0o777 == 0o700
    one_jar.chmod(0o755)
    fetch(one_jar, CONTENT, monkeypatch)
    assert one_jar.stat().st_mode & 0o777 == 0o700


def test_a_cache_behind_a_link_is_refused(one_jar: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever made the link may turn it elsewhere, so no jar is run from behind one."""
    (one_jar.parent / "other").mkdir(mode=0o700)
    one_jar.symlink_to(one_jar.parent / "other")
    with pytest.raises(StackError, match="XDG_CACHE_HOME"):
        fetch(one_jar, CONTENT, monkeypatch)
    assert list((one_jar.parent / "other").iterdir()) == []
