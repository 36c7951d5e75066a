"""Anchors as commits in a repository of git, by the program `git`; pushed where a remote is named."""

import fcntl
import os
import subprocess
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qsl

from trailhouse.anchoring.writers.writer import number_of, path_of
from trailhouse.schemas.errors import AnchorError, ConfigError

TIMEOUT_SECONDS = 30.0
_AUTHOR = {
    "GIT_AUTHOR_NAME": "trailhouse",
    "GIT_AUTHOR_EMAIL": "trailhouse@localhost",
    "GIT_COMMITTER_NAME": "trailhouse",
    "GIT_COMMITTER_EMAIL": "trailhouse@localhost",
}
_QUIET = {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}


class GitWriter:
    """Keeps anchors in the repository at a path: ``/path`` or ``/path?remote=origin&branch=anchors``.

    A branch of its own is written without a work tree, so that the repository may be bare, or one that people use.
    It is only ever moved from the commit that was read, and only forward; what is pushed is never forced. Where the
    remote's branch was written anew, nothing is taken from there, and who reads is given what was here before.
    """

    kind = "git"

    def __init__(self, place: str) -> None:
        path, _, options = place.partition("?")
        given = dict(parse_qsl(options, keep_blank_values=True))
        self.name = f"git:{place}"
        self._path = Path(path)
        self._remote = given.pop("remote", "")
        self._branch = given.pop("branch", "anchors")
        self._rewritten = ""
        """The commit of the remote, where that does not go on from what is here."""
        if given or not path or self._remote.startswith("-") or self._branch.startswith("-"):
            raise ConfigError("proof.anchors: `git:/path`, and after a `?` `remote=` and `branch=`")

    def write(self, number: int, content: bytes) -> bytes:
        """As `AnchorWriter.write`: committed, and with a remote pushed."""
        with self._locked():
            if self._fetched():
                raise AnchorError(
                    f"{self.name}: the branch of the remote does not go on from what is here: somebody has written"
                    " its history anew; what is here counts, so put that back there"
                )
            head = self._head()
            kept = self._read(head, number)
            if kept is None:
                head = self._commit(head, number, content)
                kept = content
            if self._remote:
                self._git("push", "--quiet", self._remote, f"{head}:refs/heads/{self._branch}")
        return kept

    def read(self, number: int) -> bytes | None:
        """As `AnchorWriter.read`; what is here, whether it was pushed or not."""
        return self._read(self._head(), number)

    def fault(self, number: int) -> str:
        """As `AnchorWriter.fault`: where the remote does not go on from what is here; without one, nothing."""
        if not self._rewritten:
            return ""
        is_same = self._read(self._rewritten, number) == self.read(number)
        if is_same and number != self._newest_at(self._head()):
            return ""
        return "has another history at the remote, where somebody has written the branch anew"

    def newest(self) -> int:
        """As `AnchorWriter.newest`; with a remote, once what it has is here, unless that was written anew."""
        if self._remote:
            with self._locked():
                self._rewritten = self._fetched()
        return self._newest_at(self._head())

    def _newest_at(self, head: str) -> int:
        if not head:
            return 0
        folders = self._git("ls-tree", "--name-only", head).decode().splitlines()
        for folder in sorted(folders, reverse=True):
            if len(folder) != 8 or not folder.isdigit():
                continue
            files = self._git("ls-tree", "--name-only", f"{head}:{folder}").decode().splitlines()
            numbers = [number_of(each) or 0 for each in files]
            if any(numbers):
                return max(numbers)
        return 0

    def _head(self) -> str:
        found = self._git("for-each-ref", "--format=%(objectname)", f"refs/heads/{self._branch}")
        return found.decode().strip()

    def _read(self, head: str, number: int) -> bytes | None:
        if not head or not self._git("ls-tree", head, path_of(number)):
            return None
        return self._git("cat-file", "blob", f"{head}:{path_of(number)}")

    def _commit(self, head: str, number: int, content: bytes) -> str:
        """Commit *content* after *head*, move the branch there, and return the commit."""
        blob = self._git("hash-object", "-w", "--stdin", content=content).decode().strip()
        index = {"GIT_INDEX_FILE": str(self._git_folder() / f"trailhouse-{self._branch}.index")}
        if head:
            self._git("read-tree", head, more=index)
        else:
            self._git("read-tree", "--empty", more=index)
        entry = f"100644,{blob},{path_of(number)}"
        self._git("update-index", "--add", "--cacheinfo", entry, more=index)
        tree = self._git("write-tree", more=index).decode().strip()
        parent = ("-p", head) if head else ()
        commit = (
            self._git("commit-tree", tree, *parent, "-m", f"Anchor {number}", more=_AUTHOR)
            .decode()
            .strip()
        )
        # From what was read, or from nothing: who has moved the branch meanwhile is not overwritten.
        self._git("update-ref", f"refs/heads/{self._branch}", commit, head or "0" * len(commit))
        return commit

    def _fetched(self) -> str:
        """Bring the branch here as the remote has it; return its commit where it does not go on from this one."""
        ref = f"refs/heads/{self._branch}"
        there = self._git("ls-remote", self._remote, ref) if self._remote else b""
        if not there:
            return ""
        commit = there.decode().split()[0]
        self._git("fetch", "--quiet", self._remote, ref)
        head = self._head()
        if self._is_before(head, commit):
            self._git("update-ref", ref, commit, head or "0" * len(commit))
            return ""
        # What is here may only be ahead of it: an anchor that could not be pushed.
        return "" if self._is_before(commit, head) else commit

    def _is_before(self, one: str, other: str) -> bool:
        """Tell whether the commit *other* goes on from *one*; from nothing any does."""
        return not one or self._git("merge-base", one, other, fails_with=1).decode().strip() == one

    def _git_folder(self) -> Path:
        return Path(self._git("rev-parse", "--absolute-git-dir").decode().strip())

    @contextmanager
    def _locked(self) -> Generator[None]:
        """Let no other process of this machine write here: the index is one file."""
        path = self._git_folder() / f"trailhouse-{self._branch}.lock"
        try:
            with path.open("w") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield
        except BlockingIOError:
            raise AnchorError(f"{self.name} is in use by another process") from None
        except OSError as error:
            raise AnchorError(f"{self.name} cannot be used ({error.strerror})") from None

    def _git(
        self,
        *words: str,
        content: bytes = b"",
        more: Mapping[str, str] | None = None,
        fails_with: int = 0,
    ) -> bytes:
        environment = {**os.environ, **_QUIET, **(more or {})}
        try:
            done = subprocess.run(
                ["git", "-C", str(self._path), "-c", "core.fsync=committed,reference", *words],
                input=content,
                capture_output=True,
                timeout=TIMEOUT_SECONDS,
                check=False,
                env=environment,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise AnchorError(f"{self.name}: git cannot be run ({type(error).__name__})") from None
        if done.returncode not in (0, fails_with):
            raise AnchorError(f"{self.name}: `git {words[0]}` ended with {done.returncode}")
        return done.stdout
