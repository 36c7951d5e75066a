"""What commands that ask the log have in common: the filter, the tenant, how much of it, and how to go on."""

import datetime as dt
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from trailhouse.query import SearchFilter

FilterArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[FILTER]",
        help="""What is wanted, such as 'type:(run_failed OR run_timeout) -agent:x cost:>0.5 "words"'; everything
        if not given.""",
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


def filter_of(
    text: list[str] | None, since: dt.datetime | None = None, until: dt.datetime | None = None
) -> "SearchFilter":
    """Return the filter that *text* spells, within a time.

    Raises:
        QueryError: It is not understood; shows the place. Permanent.
    """
    from trailhouse.query import parse

    return parse(" ".join(text or ())).narrowed(since=since, until=until)
