"""A page without items: exit code 1, and only a whole answer says that nothing matches."""

import pytest
import typer

from trailhouse.cli.output.formats import Format
from trailhouse.cli.output.pages import show_page
from trailhouse.query import LeftOut, Page


@pytest.mark.parametrize("is_complete", [True, False])
def test_only_a_whole_answer_says_that_nothing_matches(
    is_complete: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where a budget was spent nobody knows yet."""
    left_out = () if is_complete else (LeftOut(what="older events", why="the budget was spent"),)
    page: Page[str] = Page(items=(), complete=is_complete, left_out=left_out)
    with pytest.raises(typer.Exit) as ended:
        show_page(page, Format.TABLE, "event", ("a",), lambda item: (item,))
    assert ended.value.exit_code == 1
    assert ("nothing matches" in capsys.readouterr().err) is is_complete
