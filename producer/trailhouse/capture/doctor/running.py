"""Runs a program as Python would, and writes down at its end what of it was recorded."""

from __future__ import annotations

import atexit
import os
import runpy
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from trailhouse.capture.doctor.examination import report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trailhouse.producer import AuditLogger


def main(arguments: Sequence[str]) -> None:
    """Run what `python` would run with *arguments* after the first, which is the file to write the report into.

    The report is written as the process exits, after the application's own exit hooks; not where it is killed.
    """
    destination, *words = arguments
    loggers = _watched_loggers()
    process = os.getpid()

    def write() -> None:
        if os.getpid() == process:  # a forked child has these hooks too
            Path(destination).write_bytes(msgspec.json.encode(report(*loggers)))

    atexit.register(write)  # the first to be registered is the last to be called
    run(words)


def run(words: Sequence[str]) -> None:
    """Run ``-m module …``, ``-c code …`` or ``script …`` in this process, as the interpreter does."""
    kind, rest = words[0], list(words[1:])
    if kind == "-m":
        sys.argv = [rest[0], *rest[1:]]
        _put_first(str(Path.cwd()))
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif kind == "-c":
        sys.argv = ["-c", *rest[1:]]
        _put_first("")
        code = compile(rest[0], "<string>", "exec")
        exec(code, {"__name__": "__main__", "__builtins__": __builtins__})  # noqa: S102 - it is what was asked for
    elif kind == "--import":
        _put_first(str(Path.cwd()))
        __import__(rest[0])
    else:
        sys.argv = [kind, *rest]
        _put_first(str(Path(kind).resolve().parent))
        runpy.run_path(kind, run_name="__main__")


def _put_first(folder: str) -> None:
    sys.path.insert(0, folder)


def _watched_loggers() -> list[AuditLogger]:
    """Return a list that every logger made from now on is added to."""
    from trailhouse.producer import AuditLogger

    made: list[AuditLogger] = []
    before = AuditLogger.__init__

    def noted(self: AuditLogger, *args: Any, **kwargs: Any) -> None:
        before(self, *args, **kwargs)
        made.append(self)

    AuditLogger.__init__ = noted  # type: ignore[method-assign]
    return made


if __name__ == "__main__":
    main(sys.argv[1:])
