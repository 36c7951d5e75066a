"""What a confined process can still do, seen from inside one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from trailhouse.devstack.landlock import landlock_version

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Landlock is Linux's")

CONFINE = "import pathlib, os, sys; from trailhouse.devstack.landlock import confine\n"

# What lies behind the environment in memory says that the kernel's library is at an address that is no library.
LIE_BEHIND_ENVIRONMENT = """
import ctypes, struct
libc = ctypes.CDLL(None)
old = ctypes.POINTER(ctypes.c_void_p).in_dll(libc, "environ")
count = 0
while old[count]:
    count += 1
header = b"\\x7fELF" + bytes(28) + struct.pack("<Q", 1 << 40) + bytes(14) + struct.pack("<HH", 56, 4) + bytes(8)
library = ctypes.create_string_buffer(header, 4096)
block = (ctypes.c_void_p * (count + 5))(
    *old[:count], None, 33, ctypes.addressof(library), None, None
)
ctypes.c_void_p.in_dll(libc, "environ").value = ctypes.addressof(block)
"""


def confined(folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    """Run *program* in a process that may change *folder* alone."""
    text = f"{CONFINE}assert confine([pathlib.Path({str(folder)!r})])\n{program}\nos._exit(0)"
    return subprocess.run(
        [sys.executable, "-P", "-c", text],
        env=os.environ | {"TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_this_system_has_landlock() -> None:
    """The tests of confinement say nothing where there is none, so they need a system that has it."""
    assert landlock_version() > 0


def test_the_engine_starts_whatever_lies_behind_the_environment(tmp_path: Path) -> None:
    """A confined engine finds the kernel's library by the kernel's word, not by what is in memory."""
    start = (
        "import chdb._chdb as engine\n"
        f"print(engine.connect({str(tmp_path / 'data')!r}).query('SELECT 1', 'TSV').bytes(), flush=True)"
    )
    done = confined(tmp_path, LIE_BEHIND_ENVIRONMENT + start)
    assert (done.returncode, done.stdout) == (0, "b'1\\n'\n"), done.stderr[-500:]


@pytest.mark.parametrize(
    "act",
    [
        "open('{outside}/secret')",
        "open('{outside}/secret', 'w')",
        "open('{outside}/new', 'x')",
        "os.truncate('{outside}/secret', 0)",
        "os.listdir('{outside}')",
        "os.unlink('{outside}/secret')",
        "os.mkdir('{outside}/folder')",
        "os.rename('{inside}/own', '{outside}/own')",
        "os.link('{outside}/secret', '{inside}/linked')",
        "os.symlink('{outside}/secret', '{inside}/link'); open('{inside}/link')",
        "os.mkfifo('{inside}/pipe')",
        "open('/etc/passwd')",
        "open('/proc/self/environ')",
        "open('/proc/1/environ')",
        "open('/proc/self/task/../environ')",
        "os.execv('/bin/true', ['true'])",
        "os.posix_spawn('/bin/true', ['true'], {{}})",
    ],
)
def test_a_confined_process_reaches_its_own_folder_alone(tmp_path: Path, act: str) -> None:
    """What is outside cannot be read, written, listed, moved, linked or run."""
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for folder in (inside, outside):
        folder.mkdir()
    (inside / "own").write_text("mine")
    (outside / "secret").write_text("secret")

    done = confined(inside, act.format(inside=inside, outside=outside))

    assert done.returncode == 1, "it must be refused"
    assert any(name in done.stderr for name in ("PermissionError", "Invalid cross-device link")), (
        done.stderr
    )
    assert [path.name for path in outside.iterdir()] == ["secret"]
    assert (outside / "secret").read_text() == "secret"


def test_a_confined_process_works_in_its_own_folder(tmp_path: Path) -> None:
    """Files and folders of its own can be made, renamed, moved and removed."""
    done = confined(
        tmp_path,
        f"os.chdir({str(tmp_path)!r}); os.mkdir('a'); os.mkdir('b'); open('a/f', 'w').write('x');"
        "os.rename('a/f', 'b/g'); os.link('b/g', 'a/h'); os.truncate('a/h', 0); os.symlink('h', 'a/l');"
        "os.unlink('a/l'); os.unlink('a/h'); os.rmdir('a')",
    )
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_packages_of_the_user_can_be_imported_and_other_folders_cannot(tmp_path: Path) -> None:
    """What `pip install --user` installed is Python's; another folder on the path is its owner's."""
    inside = tmp_path / "inside"
    for folder in ("inside", "site-packages", "mine"):
        (tmp_path / folder).mkdir()
    (tmp_path / "site-packages" / "installed.py").write_text("print('installed')")
    (tmp_path / "mine" / "own.py").write_text("print('own')")
    add = "".join(
        f"sys.path.append({str(tmp_path / name)!r});" for name in ("site-packages", "mine")
    )
    program = (
        f"{add}\nassert confine([pathlib.Path({str(inside)!r})])\nimport installed\nimport own"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", CONFINE + program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "installed\n"), done.stderr
    assert "No module named 'own'" in done.stderr or "PermissionError" in done.stderr
