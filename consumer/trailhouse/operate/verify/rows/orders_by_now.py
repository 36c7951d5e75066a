"""Which records operators have ordered to be erased, by now: who erases all day orders while rows are read, too."""

from collections.abc import Collection, Mapping
from threading import Lock

from trailhouse.proof.policy import Policy
from trailhouse.schemas.record_hash import RECORD_KEY_BYTES
from trailhouse.store.clickhouse import ClickHouse
from trailhouse.store.erasures import orders_mark, stored_orders


class OrdersByNow:
    """Of an operator of *policy*; without one nobody may order. For several threads.

    Attributes:
        stored: The orders as they were when this was made.
    """

    def __init__(self, clickhouse: ClickHouse, policy: Policy | None) -> None:
        self._clickhouse = clickhouse
        self._policy = policy
        self._lock = Lock()
        self._mark = orders_mark(clickhouse)  # first: what comes meanwhile is read again
        self.stored = stored_orders(clickhouse, policy)
        self._erased = self.stored.erased
        self._by_key = _by_key(self._erased)

    def erased(self, digests: Collection[bytes]) -> set[bytes]:
        """Return those of *digests* that are ordered to be erased; one that is not is looked for in newer orders.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        with self._lock:
            if not self._erased.keys() >= set(digests):
                self._read_newer()
            return {digest for digest in digests if digest in self._erased}

    def by_key(self) -> Mapping[bytes, bytes]:
        """Return the SHA-256 of each record that is ordered to be erased, by the key that its row keeps.

        Raises:
            StorageError: As `erased`.
        """
        with self._lock:
            self._read_newer()
            return self._by_key

    def _read_newer(self) -> None:
        mark = orders_mark(self._clickhouse)
        if mark != self._mark:
            self._mark = mark
            self._erased = stored_orders(self._clickhouse, self._policy).erased
            self._by_key = _by_key(self._erased)


def _by_key(digests: Collection[bytes]) -> dict[bytes, bytes]:
    return {digest[:RECORD_KEY_BYTES]: digest for digest in digests}
