"""A reader for each principal that asks: bound to its tenant, and kept while it is used."""

import threading
from collections import OrderedDict
from collections.abc import Callable

from trailhouse.access import Principal
from trailhouse.query import AuditReader

MAX_READERS = 64


class Readers:
    """Gives each principal its reader; safe to share between threads.

    Args:
        make: Makes the reader of a principal.
    """

    def __init__(self, make: Callable[[Principal], AuditReader]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._readers: OrderedDict[Principal, AuditReader] = OrderedDict()

    def of(self, principal: Principal) -> AuditReader:
        """Return the reader that sees what *principal* may."""
        with self._lock:
            reader = self._readers.pop(principal, None) or self._make(principal)
            self._readers[principal] = reader
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
