"""Read two runs, each by itself, and compare them."""

from collections.abc import Iterable
from typing import NamedTuple

from trailhouse.query.answer import Answer, LeftOut
from trailhouse.query.budget import Asks, Meter, Metered
from trailhouse.query.filtering.filters import tenant
from trailhouse.query.positions import stored_positions
from trailhouse.query.steps.compare import Comparison, Side, comparison_of
from trailhouse.query.steps.read_timeline import NOTHING, RunFacts, read_run_facts
from trailhouse.schemas.errors import QueryError
from trailhouse.store import ClickHouse

_OTHER_ALIGNMENT = LeftOut(
    what="a perhaps better alignment",
    why="the runs differ in so much that the search for the most steps in common was cut short",
)


class RunName(NamedTuple):
    """Which run is meant; session and tenant None: the one that has it. An empty tenant is none."""

    run_id: str
    session_id: str | None = None
    tenant_id: str | None = None


def read_comparison(
    clickhouse: ClickHouse,
    meter: Meter,
    run_a: RunName,
    run_b: RunName,
    *,
    tenant_id: str | None,
    standing: str | Iterable[str] | None = None,
) -> Answer[Comparison]:
    """Return how two runs differ; one that the reader does not see is a run without events.

    Raises:
        QueryError: Several sessions or tenants have a run of that id. Permanent.
        StorageLimitError: The budget is spent. Retriable.
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    as_of = stored_positions(clickhouse)
    sides: list[Side] = []
    left_out: list[LeftOut] = []
    for letter, run in (("a", run_a), ("b", run_b)):
        found = _read(Metered(clickhouse, meter), letter, run, tenant_id, standing)
        sides.append(
            Side(session_id=found.session_id, run_id=run.run_id, events=found.facts.events)
        )
        left_out += found.left_out
    comparison, is_longest = comparison_of(*sides)
    if not is_longest:
        left_out.append(_OTHER_ALIGNMENT)
    return Answer(
        value=comparison,
        exact=not left_out,
        complete=not left_out,
        left_out=tuple(left_out),
        as_of=as_of,
    )


def _read(
    clickhouse: Asks,
    letter: str,
    run: RunName,
    seen_tenant: str | None,
    standing: str | Iterable[str] | None,
) -> RunFacts:
    """Return the events of *run* as far as a reader of *seen_tenant* sees them; None sees all."""
    wanted = tenant(run.tenant_id)
    if seen_tenant is not None and wanted not in (None, seen_tenant):
        return RunFacts(run.session_id, NOTHING, ())
    found = read_run_facts(
        clickhouse,
        tenant_id=wanted if seen_tenant is None else seen_tenant,
        without_tenant=seen_tenant is None and wanted == "",
        session_id=run.session_id,
        run_id=run.run_id,
        with_children=False,
        standing=standing,
    )
    tenants = {each.tenant_id for each in found.facts.events}
    if len(tenants) > 1:
        raise QueryError(
            f"run_{letter}: {len(tenants)} tenants have a run of this id in this session; name its tenant too"
            f" (tenant_{letter}, --tenant-{letter}; empty: the one without a tenant)"
        )
    return found
