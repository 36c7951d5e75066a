"""Where the commands write: results to standard output, what is going on to standard error."""

import logging

from rich.console import Console


def results() -> Console:
    """Return the console of standard output: what was asked for."""
    return Console(highlight=False, markup=False, emoji=False)


def progress() -> Console:
    """Return the console of standard error: what is going on."""
    return Console(stderr=True, highlight=False, markup=False, emoji=False)


def show_warnings() -> None:
    """Print the library's own warnings, such as a broker that is away, on standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("warning: %(message)s"))
    handler.setLevel(logging.WARNING)
    logging.getLogger("trailhouse").addHandler(handler)
