"""HTTP handlers that somebody has made in ClickHouse: one that takes our requests answers them as it likes."""

import re
from urllib.parse import urlsplit

from trailhouse.operate.verify.duties.views.row_policies import can_have_no_users
from trailhouse.schemas.errors import StorageRejectedError
from trailhouse.store.clickhouse import ClickHouse

_MAY_SEE = "CHECK GRANT SHOW HANDLERS ON *.*"
"""Who may not is shown none, and no error."""
_HANDLERS = "SELECT name, url_match_type, url FROM system.handlers ORDER BY name"


def handlers_of_ours(clickhouse: ClickHouse) -> tuple[str, ...] | None:
    """Return the names of those that take what is asked at the address that the settings name.

    A ClickHouse that knows no handlers has none, and none is asked in the engine of `trailhouse dev`, which has HTTP of
    ours before it. None where this user may not see them.

    Raises:
        StorageError: ClickHouse is away (retriable), or refuses (permanent).
    """
    try:
        rows = clickhouse.query(_HANDLERS, in_database=False).rows
    except StorageRejectedError as error:
        if error.name != "UNKNOWN_TABLE":
            raise
        return ()
    if not int(clickhouse.query(_MAY_SEE, in_database=False).rows[0][0]):
        return () if can_have_no_users(clickhouse) else None
    path = urlsplit(clickhouse.config.url).path or "/"
    return tuple(str(name) for name, kind, url in rows if takes(str(kind), str(url), path))


def takes(kind: str, url: str, path: str) -> bool:
    """Tell whether a handler for *url*, compared by *kind*, may take a request for *path*; in doubt it may. Pure."""
    if kind == "exact":
        return url.rstrip("/") == path.rstrip("/")
    if kind == "prefix":
        return path.startswith(url)
    try:
        return re.fullmatch(url, path) is not None
    except re.error:
        return True
