"""Where the commands write: results to standard output, what is going on to standard error."""

import logging
import os
import sys
from typing import TYPE_CHECKING, Any

from trailhouse.cli.output.printable import printable, printable_json

if TYPE_CHECKING:
    from rich.console import Console


def results() -> "Console":
    """Return the console of standard output: what was asked for."""
    from rich.console import Console

    class Results(Console):
        def on_broken_pipe(self) -> None:  # which else ends the program with 1
            discard_output()

    return Results(highlight=False, markup=False, emoji=False)


def progress() -> "Console":
    """Return the console of standard error: what is going on."""
    from rich.console import Console

    class Progress(Console):
        def on_broken_pipe(self) -> None:  # which else ends the program with 1
            _discard_errors()

    return Progress(stderr=True, highlight=False, markup=False, emoji=False)


def say(line: str) -> None:
    """Print one line of the result, with nothing in it that could steer the terminal.

    A reader that has gone, such as `head`, does not end the command: its exit code is a verdict.
    """
    _write(printable(line) + "\n")


def discard_output() -> None:
    """Let standard output lead nowhere: who read it has gone, and what is buffered must not fail at exit."""
    # Of the descriptor and not of `sys.stdout`: Python writes what is buffered when it exits.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _write(text: str) -> None:
    try:
        sys.stdout.write(text)
    except BrokenPipeError:
        discard_output()


def tell(line: str) -> None:
    """Print one line on standard error, likewise; a reader that has gone does not end the work."""
    try:
        sys.stderr.write(printable(line) + "\n")
        sys.stderr.flush()
    except BrokenPipeError:
        _discard_errors()


def _discard_errors() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def tell_step(step: str) -> None:
    """Say what is being done when standard error is a terminal: long work shows progress."""
    if sys.stderr.isatty():
        tell(f"{step} …")


def say_json(value: Any) -> None:
    """Print *value* as indented JSON, as every door writes it, with nothing in it that could steer a terminal."""
    import msgspec

    from trailhouse.access.json_form import encoded

    _write(printable_json(msgspec.json.format(encoded(value), indent=2).decode()) + "\n")


def write_records(content: bytes) -> None:
    """Write records, which are JSON: exact to a file or a pipe, escaped on a terminal."""
    # A record is whatever its producer made of it; on a terminal it must not steer anything.
    if sys.stdout.isatty():
        _write(printable_json(content.decode(errors="replace")))
        return
    try:
        sys.stdout.buffer.write(content)
    except BrokenPipeError:
        discard_output()


def show_warnings() -> None:
    """Print the library's own warnings, such as a broker that is away, on standard error."""
    handler = _Warnings()
    handler.setLevel(logging.WARNING)
    logging.getLogger("trailhouse").addHandler(handler)


class _Warnings(logging.Handler):
    """Prints what is logged as lines of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        tell(f"warning: {record.getMessage()}")
