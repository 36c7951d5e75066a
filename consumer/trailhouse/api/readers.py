"""A reader for each tenant that asks: bound to it, and kept while it is used."""

import threading
from collections import OrderedDict
from collections.abc import Callable

from trailhouse.access import Principal
from trailhouse.query import AuditReader

MAX_READERS = 64


class Readers:
    """Gives each principal the reader of its tenant; safe to share between threads.

    Args:
        make: Makes the reader of a tenant, or of all.
    """

    def __init__(self, make: Callable[[str | None], AuditReader]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._readers: OrderedDict[str | None, AuditReader] = OrderedDict()

    def of(self, principal: Principal) -> AuditReader:
        """Return the reader that sees what *principal* may."""
        with self._lock:
            reader = self._readers.pop(principal.tenant_id, None) or self._make(principal.tenant_id)
            self._readers[principal.tenant_id] = reader
            oldest = None
            if len(self._readers) > MAX_READERS:
                _, oldest = self._readers.popitem(last=False)
        if oldest is not None:
            oldest.close()  # whoever still asks it connects again
        return reader

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            readers, self._readers = list(self._readers.values()), OrderedDict()
        for each in readers:
            each.close()
