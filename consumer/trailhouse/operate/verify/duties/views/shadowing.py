"""Functions of somebody's own under names by which ClickHouse means another: every statement says something else then.

ClickHouse lets nobody take the name of a function of its own. It knows aggregates with a combinator (`countIf`, which
is `count` and `If`) by no name, though, and gives them away: whoever may make functions changes what each view and each
statement of anybody's means, without touching a table.
"""

from collections.abc import Collection, Iterator

from trailhouse.store.clickhouse import ClickHouse

_FUNCTIONS = "SELECT name, origin, is_aggregate FROM system.functions"
_COMBINATORS = "SELECT name FROM system.aggregate_function_combinators"
"""Neither asks by a function: what is looked for has none to answer with."""
_OURS = "System"
_SYNTAX = frozenset({"lambda", "untuple", "grouping", "exists"})
"""What the parser makes of a statement's own words, and which is in no list of functions."""


def shadowing_functions(clickhouse: ClickHouse) -> tuple[str, ...]:
    """Return the names of all that somebody has made and that stand for something of ClickHouse's, sorted.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    rows = clickhouse.query(_FUNCTIONS, in_database=False).rows
    own = {str(name) for name, origin, _ in rows if origin != _OURS}
    if not own:
        return ()
    aggregates = {
        str(name) for name, origin, is_aggregate in rows if is_aggregate and origin == _OURS
    }
    rows = clickhouse.query(_COMBINATORS, in_database=False).rows
    combinators = [str(name) for (name,) in rows]
    return tuple(sorted(name for name in own if stands_for_another(name, aggregates, combinators)))


def stands_for_another(
    name: str, aggregates: Collection[str], combinators: Collection[str]
) -> bool:
    """Tell whether ClickHouse means something by *name* where nobody has made a function of that name. Pure."""
    return name in _SYNTAX or any(base in aggregates for base in _bases(name, combinators))


def _bases(name: str, combinators: Collection[str]) -> Iterator[str]:
    """Yield what is left of *name* without one combinator at its end, without two, and so on."""
    for each in combinators:
        if name.endswith(each) and name != each:
            base = name.removesuffix(each)
            yield base
            yield from _bases(base, combinators)
