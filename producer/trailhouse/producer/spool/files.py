"""Opens what lies in a folder of spools: nothing of another user, no link, no device, nothing that others can write."""

import contextlib
import errno
import fcntl
import os
import stat
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path

from trailhouse.producer.clock import SYSTEM_CLOCK

OWNER_ONLY = 0o600
FOLDER_OWNER_ONLY = 0o700

_LOCKS_UNSUPPORTED = frozenset({errno.EBADF, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP})
"""What a file system says that cannot lock a folder, such as NFS; the file ``lock`` alone serves there."""

FORK_SECONDS = 0.5

_opening: list[int] = []
"""The threads that are opening a file to be locked."""
_no_fork = threading.Event()
_no_fork.set()


class OpenFile:
    """A descriptor that is closed when nobody refers to it any more.

    Whoever writes to `fd` holds this object meanwhile: so the number never means another file.
    """

    __slots__ = ("__weakref__", "fd")

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def close(self) -> None:
        """Close it now. May be called twice."""
        fd, self.fd = getattr(self, "fd", -1), -1  # an interrupted call may not have got that far
        if fd >= 0:
            _close(fd)

    __del__ = close


_close = os.close
_locks: weakref.WeakSet[OpenFile] = weakref.WeakSet()


def open_folder(path: str | Path, *, dir_fd: int | None = None, follow: bool = False) -> int:
    """Return a descriptor of the folder *path*.

    Raises:
        OSError: There is none, or it is not ours alone; says so.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    folder = os.open(path, flags, dir_fd=dir_fd)
    return _checked(folder, stat.S_ISDIR)


def open_file(name: str | Path, flags: int, *, dir_fd: int | None = None) -> int:
    """Return a descriptor of the regular file *name*; one that is made is its owner's alone.

    Raises:
        OSError: It cannot be opened, is not a regular file, or is not ours alone; says so.
    """
    # Without O_NONBLOCK a FIFO that somebody has put there would hold us for ever.
    flags |= os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    return _checked(os.open(name, flags, OWNER_ONLY, dir_fd=dir_fd), stat.S_ISREG)


def names_in(folder: Path | int) -> list[str]:
    """Return the names in *folder*, a path or a descriptor."""
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries]


def _checked(fd: int, is_right_kind: Callable[[int], bool]) -> int:
    try:
        _check(os.fstat(fd), is_right_kind)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _check(found: os.stat_result, is_right_kind: Callable[[int], bool]) -> None:
    if not is_right_kind(found.st_mode):
        raise OSError(errno.EINVAL, "it is not a file of a spool")
    if reason := reason_against(found):
        raise OSError(errno.EPERM, reason)


def reason_against(found: os.stat_result) -> str:
    """Return why what has this status is not to be trusted; nothing if it is."""
    if found.st_uid != os.geteuid():
        return f"it belongs to another user, uid {found.st_uid}"
    if found.st_mode & 0o022:
        return "others can write to it: `chmod go-w` it, or name a folder in it that does not exist yet"
    return ""


def open_lock(name: str | Path, *, dir_fd: int | None = None, create: bool = True) -> OpenFile:
    """Return the file *name* to be locked; a forked child lets go of it."""
    flags = os.O_RDWR | (os.O_CREAT if create else 0)
    return _opened(partial(open_file, name, flags, dir_fd=dir_fd))


def open_folder_to_lock(path: Path) -> OpenFile:
    """Return the folder *path* to be locked; a forked child lets go of it."""
    return _opened(partial(open_folder, path))


def _opened(open_it: Callable[[], int]) -> OpenFile:
    _no_fork.wait(FORK_SECONDS)
    # Not a lock: a signal handler may close the logger right here, and wait for a thread that opens, too.
    owner = os.getpid()
    _opening.append(threading.get_ident())
    try:
        file = OpenFile(open_it())
        _locks.add(file)
    finally:
        with contextlib.suppress(ValueError):  # a forked child has forgotten who was opening
            _opening.remove(threading.get_ident())
    if os.getpid() != owner:
        file.close()  # a signal handler has forked: it is the parent's
    return file


def try_lock(file: OpenFile, kind: int = fcntl.LOCK_EX) -> bool:
    """Lock *file* without waiting; False when another process holds it. True, too, where nothing can be locked."""
    try:
        fcntl.flock(file.fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _LOCKS_UNSUPPORTED:
            raise
    return True


def _before_fork() -> None:
    # A child must not get a lock's descriptor that nobody has noted yet.
    _no_fork.clear()
    now = SYSTEM_CLOCK.monotonic_seconds
    deadline_seconds = now() + FORK_SECONDS
    me = threading.get_ident()
    while any(each != me for each in _opening) and now() < deadline_seconds:
        time.sleep(0.001)


def _after_fork_in_parent() -> None:
    _no_fork.set()


def _after_fork_in_child() -> None:
    # A lock lasts as long as any process has its descriptor open: the parent's must end with the parent.
    for file in list(_locks):
        file.close()
    global _no_fork
    _no_fork = threading.Event()  # another thread, which is not here, may have held its lock
    _no_fork.set()
    _opening.clear()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)
