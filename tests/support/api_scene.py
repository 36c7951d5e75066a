"""The HTTP API over one database: its application as `trailhouse serve` runs it, spoken to by a client."""

import datetime as dt
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from starlette.testclient import TestClient

from trailhouse.access import ReadAudit, TokenStore
from trailhouse.api.app import make_app
from trailhouse.api.config import ApiConfig
from trailhouse.api.health import Health
from trailhouse.api.readers import Readers
from trailhouse.producer.testing import InMemoryAuditLogger
from trailhouse.query import AuditReader
from trailhouse.schemas import AuditEvent
from trailhouse.store import ClickHouseConfig


class Api(NamedTuple):
    """A client, the tokens that its server knows, and what was written down of its reads."""

    client: TestClient
    tokens: TokenStore
    audit: InMemoryAuditLogger

    def token(
        self, name: str, tenant_id: str | None = None, scopes: Sequence[str] = ("read",),
        lifetime: dt.timedelta | None = None,
    ) -> dict[str, str]:  # fmt: skip
        """Make a token; return the header that presents it."""
        _, secret = self.tokens.create(name, tenant_id=tenant_id, scopes=scopes, lifetime=lifetime)
        return {"Authorization": f"Bearer {secret}"}

    def reads(self) -> list[AuditEvent]:
        """Return what was written down."""
        return [each for each in self.audit.events if each.type == "audit_read"]


@contextmanager
def an_api(
    clickhouse: ClickHouseConfig, folder: Path, *, logger: Any = None, **settings: Any
) -> Generator[Api]:
    """Run the API over *clickhouse* for the time of the block."""
    tokens = TokenStore(folder / "tokens.json")
    audit = InMemoryAuditLogger() if logger is None else logger
    app = make_app(
        ApiConfig(**settings),
        tokens=tokens,
        readers=Readers(
            lambda who: AuditReader(who.tenant_id, config=clickhouse, principal=who.key)
        ),
        health=Health(clickhouse),
        audit=ReadAudit("api", audit),
    )
    with TestClient(app, base_url="http://localhost") as client:
        yield Api(client, tokens, audit)
