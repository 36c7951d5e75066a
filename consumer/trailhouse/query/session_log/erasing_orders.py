"""By which order a blank row was erased, as ClickHouse has the orders; who signed them, `trailhouse verify` checks."""

from collections.abc import Mapping, Sequence

from trailhouse.schemas.errors import StorageRejectedError
from trailhouse.store import ClickHouse

KEYS_PER_QUERY = 1_000


def erasing_orders(clickhouse: ClickHouse, record_keys: Sequence[bytes]) -> Mapping[bytes, int]:
    """Return the number of the first order that names each of the records, by the first half of their SHA-256.

    What no order names is left out; where the reader may not see orders, everything is.

    Raises:
        StorageUnavailableError: ClickHouse is away. Retriable.
    """
    found: dict[bytes, int] = {}
    for begin in range(0, len(record_keys), KEYS_PER_QUERY):
        wanted = [key.hex().upper() for key in record_keys[begin : begin + KEYS_PER_QUERY]]
        try:
            rows = clickhouse.query(
                "SELECT toFixedString(substring(digest, 1, 16), 16) AS key, min(number) FROM erasures"
                " WHERE hex(substring(digest, 1, 16)) IN {keys:Array(String)} GROUP BY key",
                {"keys": wanted},
            ).rows
        except StorageRejectedError:
            return {}
        found |= {bytes(key): int(number) for key, number in rows}
    return found
