"""The entry point: runs a command, turns what goes wrong into one line and an exit code.

Exit codes: 0, 1 for a failure or nothing found, 2 for wrong use, 130 after Ctrl-C; 2 for a failure of `verify`,
whose 1 says that something was found. A reader of our output that leaves, such as `head`, is not a failure. This module
imports nothing but the standard library and the error tree, since the script also exists where the extra `cli` is not
installed.
"""

import contextvars
import io
import logging
import os
import sys
import traceback
from collections.abc import Sequence

from trailhouse.cli.missing_extras import way_out
from trailhouse.cli.output.console import discard_output, tell
from trailhouse.cli.usage_errors import in_our_words, meant_instead
from trailhouse.schemas.errors import QueryError, TrailhouseError

FAILURE = 1
WRONG_USE = 2
COULD_NOT_CHECK = 2
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that *arguments* name, by default the process's; return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    is_verbose, rest = split_verbose(given)
    failure = COULD_NOT_CHECK if rest[:1] == ["verify"] else FAILURE
    _prepare_streams()
    try:
        # In a context of its own: what a command switches on, such as --show-sql, ends with it.
        return _flushed(contextvars.copy_context().run(_run, rest))
    except QueryError as error:
        return _fail(str(error), is_verbose, WRONG_USE)
    except TrailhouseError as error:
        return _fail(str(error), is_verbose, failure)
    except ImportError as error:
        return _fail(way_out(error) or _unexpected(error), is_verbose, failure)
    except BrokenPipeError:
        return _leave_quietly()
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        return _fail(_system(error), is_verbose, failure)
    except Exception as error:  # noqa: BLE001 - the last line of defence, and it reports
        return _fail(_unexpected(error), is_verbose, failure)


def split_verbose(arguments: Sequence[str]) -> tuple[bool, list[str]]:
    """Take ``--verbose`` out, wherever it stands before ``--``: it is meant for every command."""
    # What follows is another program's: its --verbose is not ours.
    end = arguments.index("--") if "--" in arguments else len(arguments)
    ours = [argument for argument in arguments[:end] if argument != "--verbose"]
    return len(ours) < end, [*ours, *arguments[end:]]


def _prepare_streams() -> None:
    # Whoever closed an output wants none of it; Python has no stream there then.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: PTH123, SIM115 - for the process's life
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal may know fewer characters
    # Failures are told once, by us: without a handler, logging would print them a second time.
    logging.getLogger().addHandler(logging.NullHandler())


def _run(arguments: list[str]) -> int:
    import typer
    from typer.main import get_command

    from trailhouse.cli.app import app

    try:
        result = get_command(app).main(arguments, prog_name="trailhouse", standalone_mode=False)
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        path = context.command_path if context else "trailhouse"
        message = in_our_words(error.format_message())
        if meant := meant_instead(error):  # better than an option that only reads alike
            message = f"{message.partition(' (Possible')[0]}; {meant}"
        if message:  # a group that was given nothing has shown its help
            tell(f"error: {message}; see `{path} --help`")
        return error.exit_code
    except typer.Abort:
        return FAILURE
    except SystemExit as ended:
        # Typer makes 1 of a reader that has gone.
        if isinstance(gone := ended.__context__, BrokenPipeError):
            raise gone from None
        raise
    return result if isinstance(result, int) else 0


def _fail(message: str, is_verbose: bool, code: int) -> int:
    _write_or_discard()
    if is_verbose:
        for line in traceback.format_exc().splitlines():
            tell(line)
    # One line, however many the message had: scripts and logs go by lines.
    rule, place = _apart(message)
    tell(f"error: {' '.join(rule.split())}")
    if sys.stderr.isatty():
        for line in place:
            tell(line)
    return code


def _apart(message: str) -> tuple[str, list[str]]:
    """Return what is wrong, and the lines that show where, if the last is a caret: the rule names the character too."""
    lines = message.split("\n")
    if len(lines) > 2 and lines[-1].strip() == "^":
        return "\n".join(lines[:-2]), lines[-2:]
    return message, []


def _unexpected(error: Exception) -> str:
    return f"unexpected {type(error).__name__}: {error}; run again with --verbose and report it"


def _system(error: OSError) -> str:
    """Say what the operating system refused, such as a full disk; it is not a mistake of ours."""
    return f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")


def _flushed(code: int) -> int:
    """Write what is buffered; a reader that has gone by then does not change the verdict."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        discard_output()
    return code


def _leave_quietly() -> int:
    """Whoever read our output has seen enough: what is still buffered must not fail at exit."""
    discard_output()
    return 0


def _write_or_discard() -> None:
    """Write what is still buffered; what fails now must not fail again at exit, with a code of its own."""
    try:
        sys.stdout.flush()
    except OSError:
        discard_output()
