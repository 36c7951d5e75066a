"""Prints what became of the attacks, whichever process tried them, and fails where no attack needs a duty."""

from collections.abc import Iterable

import pytest

from attack import without
from attack_table import Line, lines_of, needed, table

NOT_NEEDED = 1
_lines: list[Line] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Take in the line that a test has handed over."""
    if report.when == "call":
        _lines.extend(lines_of(report.user_properties))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run in which duties were switched off, and no attack passed without one of them."""
    if hasattr(session.config, "workerinput"):  # its lines are told by who started it
        return
    duties = without()
    if duties and _lines and needed(duties, _lines)[1] and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = NOT_NEEDED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print all of them."""
    if not _lines:
        return
    terminalreporter.section("attacks")
    for line in _shown():
        terminalreporter.write_line(line)


def _shown() -> Iterable[str]:
    duties = without()
    return needed(duties, _lines)[0] if duties else table(_lines)
