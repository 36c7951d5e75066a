"""What a search is asked, and how a page of it is found."""

from typing import Literal, NamedTuple, Protocol

from trailhouse.query.budget import Meter
from trailhouse.query.cursor import Cursors, Walk
from trailhouse.query.filtering.filters import whole_number
from trailhouse.query.filtering.grammar import render
from trailhouse.query.filtering.search_filter import SearchFilter
from trailhouse.query.search.found import Row
from trailhouse.schemas.errors import QueryError

Order = Literal["occurred", "append"]
DEFAULT_LIMIT = 50
MAX_LIMIT = 1_000


class SearchRequest(NamedTuple):
    """What is asked, and how: everything that a page is made from."""

    wanted: SearchFilter
    tenant_id: str | None
    principal: str
    newest_first: bool
    by: Order
    limit: int

    @property
    def walk(self) -> Walk:
        """What the cursor of this question is bound to."""
        return Walk(
            query=f"search {render(self.wanted)}",
            order=f"{self.by} {'newest' if self.newest_first else 'oldest'} first",
            tenant_id=self.tenant_id,
            principal=self.principal,
            asked_at=self.wanted.asked_at,
        )

    @property
    def begins_at_now(self) -> bool:
        """Whether events whose clocks lie ahead are counted apart: newest first, unless a time was named."""
        return self.newest_first and self.by == "occurred" and self.wanted.until is None


class Finder(Protocol):
    """Finds the rows of one page in one order."""

    rows: list[Row]
    """What was found so far, in order; one more than the page holds when there is another page."""

    def find(self, meter: Meter) -> int | None:
        """Find them; return the first time that was not looked at for want of budget, None otherwise."""
        ...

    def has_advanced(self, taken: int, reached: int | None) -> bool:
        """Tell whether the cursor of `seal` would lead on, and far enough for a walk to come to its end."""
        ...

    def seal(self, cursors: Cursors, walk: Walk, taken: int, reached: int | None) -> str:
        """Return the cursor that goes on behind the first *taken* rows, or from the time *reached*."""
        ...


def question(
    wanted: SearchFilter,
    *,
    tenant_id: str | None,
    principal: str = "",
    newest_first: bool = True,
    by: Order = "occurred",
    limit: int = DEFAULT_LIMIT,
) -> SearchRequest:
    """Return a question that can be answered.

    Raises:
        QueryError: The order is unknown, or the limit out of range. Permanent.
    """
    if by not in ("occurred", "append"):
        raise QueryError("by: must be 'occurred' or 'append'")
    if whole_number(limit) > MAX_LIMIT:
        raise QueryError(f"limit: must be at most {MAX_LIMIT}; the cursor of a page goes on")
    return SearchRequest(wanted, tenant_id, principal, bool(newest_first), by, limit)
