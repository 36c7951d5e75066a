"""What commands that ask the log have in common: the filter, the tenant, how much of it, and how to go on."""

import datetime as dt
import re
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

if TYPE_CHECKING:
    from trailhouse.query import SearchFilter

FilterArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[FILTER]",
        help="What is wanted, such as 'type:(run_failed OR run_timeout) -agent:x cost:>0.5 \"words\"';"
        " everything if not given.",
        show_default=False,
    ),
]
TenantOption = Annotated[str | None, typer.Option("--tenant", help="Only events of this tenant.")]
StandingOption = Annotated[
    list[str] | None,
    typer.Option(
        "--standing",
        help="Only events of this standing: attested, pending, unattested, disputed; may be repeated.",
    ),
]
LimitOption = Annotated[int, typer.Option("--limit", min=1, help="At most so many.")]
CursorOption = Annotated[
    str | None,
    typer.Option("--cursor", metavar="CURSOR", help="The next page, as the page before named it."),
]
FILTER_FIELDS = """A filter names fields: session, run, agent, type, tool, tool_call, model, provider, outcome, error,
actor, tenant, cost, tokens, duration, standing and more; `type:(a OR b)`, `-agent:x` for not, `cost:>0.5`, and words or
"a phrase" of an event's data."""
"""For the help of a command; a wrong one is told with its place and what there is."""


_is_negated = re.compile(r'-(?:[a-z_]+:|")').match


class FilterCommand(TyperCommand):
    """A command with a filter: ``-agent:x`` is a condition, also where it stands first and looks like an option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        with_value = {
            name
            for each in self.params
            if not getattr(each, "is_flag", True)
            for name in (*each.opts, *each.secondary_opts)
        }
        return super().parse_args(ctx, list(_conditions_apart(args, with_value)))


def _conditions_apart(args: Sequence[str], with_value: Collection[str]) -> Iterator[str]:
    """Yield *args*, before each negated condition a blank, which a filter does not mind and no option begins with."""
    before = ""
    for each in args:
        if before == "--":
            with_value = ()
        is_condition = before not in with_value and _is_negated(each) is not None
        yield f" {each}" if is_condition else each
        before = each


def filter_of(
    text: list[str] | None,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
    cursor: str | None = None,
) -> "SearchFilter":
    """Return the filter that *text* spells, within a time; with a cursor "2h" means what it meant on the first page.

    Raises:
        QueryError: It is not understood; shows the place. Permanent.
    """
    from trailhouse.query.filtering.grammar import as_filter

    return as_filter(" ".join(text or ()), cursor).narrowed(since=since, until=until)
