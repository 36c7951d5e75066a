"""Colours of tables: on a terminal alone, and for words of ours alone."""

import io

import pytest
from rich.console import Console

from trailhouse.cli.output.table import print_table

RED = "\x1b[31m"


@pytest.mark.parametrize(
    ("cell", "is_red"),
    [
        ("failed", True),
        ("UNGRANTED", True),
        ("completed", False),
        ("it failed", False),
        (RED, False),
    ],
)
def test_only_a_word_of_ours_colours_a_row(cell: str, is_red: bool) -> None:
    """A cell that is such a word does; what a stranger wrote around it, or a colour of his own, does not."""
    shown = io.StringIO()
    print_table(
        Console(file=shown, force_terminal=True, color_system="standard"), ("status",), [(cell,)]
    )
    assert (RED in shown.getvalue()) is is_red


def test_no_colour_leaves_for_a_file() -> None:
    """What is not a terminal gets text alone."""
    shown = io.StringIO()
    print_table(Console(file=shown), ("status",), [("failed",)])
    assert shown.getvalue() == "status\nfailed\n"
