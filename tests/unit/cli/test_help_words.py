"""The words of help: what is written in a docstring is what a user sees."""

import re

from trailhouse.cli.reference import commands


def test_no_help_loses_what_stands_in_brackets() -> None:
    """What Rich takes for markup, such as `[proof]`, is not shown: settings are named `proof.log_name`."""
    lost = {
        path: re.findall(r"\[[a-z]\w*\]", str(command.help or "")) for path, command in commands()
    }
    assert not {path: found for path, found in lost.items() if found}
