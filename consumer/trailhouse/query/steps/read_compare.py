"""Read two runs, each by itself, and compare them."""

from collections.abc import Iterable

from trailhouse.query.answer import Answer, LeftOut
from trailhouse.query.budget import Meter, Metered
from trailhouse.query.positions import stored_positions
from trailhouse.query.steps.compare import Comparison, Side, comparison_of
from trailhouse.query.steps.read_timeline import RunFacts, read_run_facts
from trailhouse.schemas.errors import QueryError
from trailhouse.store import ClickHouse

_OTHER_ALIGNMENT = LeftOut(
    what="a perhaps better alignment",
    why="the runs differ in so much that the search for the most steps in common was cut short",
)


def read_comparison(
    clickhouse: ClickHouse,
    meter: Meter,
    *,
    tenant_id: str | None,
    run_a: str,
    run_b: str,
    session_a: str | None,
    session_b: str | None,
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
    for name, run_id, session_id in (("run_a", run_a, session_a), ("run_b", run_b, session_b)):
        found = read_run_facts(
            Metered(clickhouse, meter),
            tenant_id=tenant_id,
            session_id=session_id,
            run_id=run_id,
            with_children=False,
            standing=standing,
        )
        _check_one_tenant(name, found)
        sides.append(Side(session_id=found.session_id, run_id=run_id, events=found.facts.events))
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


def _check_one_tenant(name: str, found: RunFacts) -> None:
    tenants = {each.tenant_id for each in found.facts.events}
    if len(tenants) > 1:
        raise QueryError(
            f"{name}: {len(tenants)} tenants have a run of this id in this session;"
            " read as one of them (tenant_id, --tenant)"
        )
