"""Take from this process, for good, every file and every connection that it does not need: Linux's Landlock.

What SQL can reach through the engine is what the process can reach. Grants of the engine's own stop most
of it with a clear message, but not all: in this engine ``INTO OUTFILE``, ``FROM INFILE``, ``file('…')``,
``ATTACH TABLE … FROM`` and custom disks ask for no grant.
"""

import ctypes
import importlib.util
import os
import struct
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

# The numbers are the same on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION = 1
_PATH_BENEATH = 1
_PR_SET_NO_NEW_PRIVS = 38

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE = 1 << 14
_ON_FILES = _WRITE_FILE | _READ_FILE | _TRUNCATE
_READ = _READ_FILE | _READ_DIR
# Folders, files and links within a folder: no devices, pipes or sockets, and no programs.
_CHANGE = _READ | _WRITE_FILE | _TRUNCATE | 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 12 | 1 << 13
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_NETWORK_SINCE, _BIND_AND_CONNECT = 4, 3
_SCOPES_SINCE, _SOCKETS_AND_SIGNALS = 6, 3
_OLDEST = 2  # the first version did not let a file move from one folder to another
_PACKAGES = ("site-packages", "dist-packages")
_SYSTEM_FILES = (
    "/dev/null",
    "/dev/urandom",
    "/etc/localtime",
    # Where the kernel's own library is. Without this file the engine takes whatever lies after the
    # environment in memory for its content, and once in a while that is a signal 11 at each start.
    "/proc/self/auxv",
    # What a thread used, by which the engine counts a statement's CPU. It looks there as each thread joins a statement,
    # and throws and catches an exception where it may not: twenty for an insert, a quarter of what the insert costs.
    "/proc/self/task",
    "/proc/self/maps",  # where the main thread's stack ends; glibc looks there
    "/proc/stat",
    "/proc/sys/vm/overcommit_memory",
    "/sys/devices/system",
    "/sys/fs/cgroup",
    "/usr/share/zoneinfo",
)


def landlock_version() -> int:
    """Return the version of Landlock that this system has; 0 where it has none that suffices."""
    if sys.platform != "linux":
        return 0
    try:
        version = _call(_CREATE_RULESET, None, 0, _ASK_VERSION)
    except OSError:
        return 0
    return version if version >= _OLDEST else 0


def confine(writable: Iterable[Path], readable: Iterable[Path] = ()) -> bool:
    """Confine this thread, and every thread and process it will start; nothing undoes it.

    Afterwards they change files in *writable* alone, read there, in *readable* and what Python and its
    packages consist of, start no program, and open no TCP connection and no port (Linux 6.7 or newer).
    Files and sockets that are open already stay usable.

    Returns:
        Whether it is so; False where the system cannot do it (`landlock_version` is 0).

    Raises:
        OSError: The system has it and refuses it.
    """
    version = landlock_version()
    if not version:
        return False
    handled = _FILE_RIGHTS[max(known for known in _FILE_RIGHTS if known <= version)]
    network = _BIND_AND_CONNECT if version >= _NETWORK_SINCE else 0
    scopes = _SOCKETS_AND_SIGNALS if version >= _SCOPES_SINCE else 0
    attributes = struct.pack("=QQQ", handled, network, scopes)
    ruleset = _call(_CREATE_RULESET, attributes, len(attributes) if scopes or network else 8, 0)
    try:
        for path in writable:
            _allow(ruleset, path, _CHANGE & handled)
        for path in {*readable, *_python(), *map(Path, _SYSTEM_FILES)}:
            _allow(ruleset, path, _READ)
        # For good: a rule is of the folder that was found, and the kernel makes another once nobody holds it.
        os.open("/proc/self/task", os.O_PATH | os.O_CLOEXEC)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS)")
        _call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    return True


def _python() -> set[Path]:
    """Where modules that are not imported yet are: the standard library, the packages, and libraries.

    Not all of ``sys.path``: a folder with a user's own files may be in it.
    """
    found = {
        Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")
    }
    # Those of `pip install --user` and of Debian's Python have another place.
    found |= {Path(each) for each in sys.path if Path(each).name in _PACKAGES}
    engine = importlib.util.find_spec("chdb")
    found |= {Path(each) for each in (engine and engine.submodule_search_locations) or ()}
    maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
    names = (line.split(maxsplit=5)[-1] for line in maps.splitlines() if ".so" in line)
    return found | {Path(name).parent for name in names if name.startswith("/")}


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not path.is_dir():
            rights &= _ON_FILES
        _call(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, descriptor), 0)
    finally:
        os.close(descriptor)


def _call(number: int, *arguments: int | bytes | None) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    typed = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    libc.syscall.restype = ctypes.c_long
    result = int(libc.syscall(ctypes.c_long(number), *typed))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"Landlock: {os.strerror(number)}")
    return result
