"""Show a long download on standard error: one moving line on a terminal, plain lines elsewhere."""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager


@contextmanager
def show_download(what: str) -> Generator[Callable[[int, int], None]]:
    """Yield a function to call with (files here, files in all); silent when it is never called."""
    shown = -1
    is_terminal = sys.stderr.isatty()

    def show(done: int, total: int) -> None:
        nonlocal shown
        percent = done * 100 // total
        if is_terminal:
            sys.stderr.write(f"\rdownloading {what}, the first time only: {done} of {total} files ")
        elif percent // 25 > shown // 25:
            sys.stderr.write(f"downloading {what}, the first time only: {done} of {total} files\n")
        shown = percent
        sys.stderr.flush()

    yield show
    if is_terminal and shown >= 0:
        sys.stderr.write("\n")
