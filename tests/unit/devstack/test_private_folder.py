"""Folders and files of the stack are their owner's alone, or are not used."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from trailhouse.devstack.client_files import password_of
from trailhouse.devstack.data_folder import DataFolder
from trailhouse.devstack.private_folder import make_closed, read_own, write_own
from trailhouse.schemas.errors import StackError


def mode_of(path: Path) -> int:
    """Return the rights of a file or folder."""
    return path.stat().st_mode & 0o777


@pytest.fixture
def as_another_user(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return what makes this process somebody who owns nothing that was made before."""
    return lambda: monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o022, 0o077])
def test_a_new_folder_is_its_owners_alone(tmp_path: Path, umask: int) -> None:
    """The folder has mode 0700 from the first moment, whatever the umask."""
    before = os.umask(umask)
    try:
        make_closed(tmp_path / "data")
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "data") == 0o700


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o711, 0o704])
def test_a_folder_that_others_may_enter_is_closed(tmp_path: Path, mode: int) -> None:
    """What others could only read is kept and closed."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "file").write_text("kept")
    folder.chmod(mode)
    make_closed(folder)
    assert (mode_of(folder), (folder / "file").read_text()) == (0o700, "kept")


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o775, 0o702])
def test_files_from_a_folder_open_for_writing_are_not_trusted(tmp_path: Path, mode: int) -> None:
    """A folder with files is refused when others could have put them there; an empty one is closed."""
    folder = tmp_path / "data"
    folder.mkdir()
    folder.chmod(mode)
    make_closed(folder)
    assert mode_of(folder) == 0o700
    (folder / "file").write_text("")
    folder.chmod(mode)
    with pytest.raises(StackError, match="chmod 700"):
        make_closed(folder)
    assert mode_of(folder) == mode


def test_a_folder_of_another_user_is_refused(
    tmp_path: Path, as_another_user: Callable[[], None]
) -> None:
    """Its owner could read and change everything, so nothing is put there, and its mode stays."""
    folder = tmp_path / "data"
    folder.mkdir(mode=0o755)
    before = mode_of(folder)
    as_another_user()
    with pytest.raises(StackError, match="belongs to user"):
        make_closed(folder)
    with pytest.raises(StackError, match="belongs to user"):
        DataFolder(folder).take()
    assert (mode_of(folder), list(folder.iterdir())) == (before, [])


def test_a_link_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    """A link may be turned elsewhere by whoever made it: its target is neither closed nor filled."""
    target = tmp_path / "target"
    target.mkdir()
    target.chmod(0o755)
    (tmp_path / "data").symlink_to(target)
    with pytest.raises(StackError, match="--data-dir"):
        DataFolder(tmp_path / "data").take()
    assert (mode_of(target), list(target.iterdir())) == (0o755, [])


def test_a_folder_that_everybody_may_replace_is_refused(tmp_path: Path) -> None:
    """A parent open to all, without the sticky bit, lets others put a folder of theirs in its place."""
    open_folder = tmp_path / "open"
    open_folder.mkdir()
    open_folder.chmod(0o777)
    for folder in (open_folder / "data", open_folder / "deep" / "data"):
        with pytest.raises(StackError, match="everybody may replace"):
            make_closed(folder)
    open_folder.chmod(0o1777)
    make_closed(open_folder / "data")


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_the_password_is_its_owners_alone(tmp_path: Path, umask: int) -> None:
    """It is made once, differs from folder to folder, and can be read by its owner alone."""
    before = os.umask(umask)
    try:
        password = password_of(tmp_path)
    finally:
        os.umask(before)
    assert len(password) >= 32
    assert mode_of(tmp_path / "clickhouse-password") == 0o600
    assert password_of(tmp_path) == password
    (tmp_path / "other").mkdir()
    assert password_of(tmp_path / "other") != password


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602, 0o660])
def test_a_password_that_others_could_see_is_not_used(tmp_path: Path, mode: int) -> None:
    """A file that was open to others is named, with the way out."""
    password_of(tmp_path)
    path = tmp_path / "clickhouse-password"
    path.chmod(mode)
    with pytest.raises(StackError, match="mode 0600"):
        password_of(tmp_path)


def test_a_password_of_another_user_or_behind_a_link_is_not_used(
    tmp_path: Path, as_another_user: Callable[[], None]
) -> None:
    """Nobody else can say what the password is."""
    (tmp_path / "elsewhere").write_text("known")
    (tmp_path / "elsewhere").chmod(0o600)
    (tmp_path / "clickhouse-password").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StackError, match="is a link: delete it"):
        password_of(tmp_path)
    as_another_user()
    with pytest.raises(StackError, match="not yours alone"):
        read_own(tmp_path / "elsewhere")


def test_a_pipe_in_a_files_place_keeps_nobody_waiting(tmp_path: Path) -> None:
    """What is no file is refused at once."""
    os.mkfifo(tmp_path / "file", 0o600)
    with pytest.raises(StackError, match="not yours alone"):
        read_own(tmp_path / "file")


def test_writing_follows_no_link(tmp_path: Path) -> None:
    """A link in the place of the file, or of its first draft, is replaced; its target is not written."""
    target = tmp_path / "target"
    target.write_text("kept")
    for name in ("file", ".file.new"):
        (tmp_path / name).symlink_to(target)
    write_own(tmp_path / "file", "text")
    assert (target.read_text(), (tmp_path / "file").read_text()) == ("kept", "text")
    assert mode_of(tmp_path / "file") == 0o600
    assert not (tmp_path / "file").is_symlink()
