"""Sessions and runs, as callers describe them to the producer."""

from typing import Any

import msgspec


class Session(msgspec.Struct, frozen=True, kw_only=False):
    """A conversation or task that groups runs; its id is the Kafka key.

    Only `id` is needed; two tenants may use the same id.
    """

    id: str
    agent_id: str | None = None
    tenant_id: str | None = None
    status: str = "active"
    metadata: dict[str, Any] = {}


class Run(msgspec.Struct, frozen=True, kw_only=False):
    """One execution of an agent within a session; a child run names its parent."""

    id: str
    session_id: str
    status: str = "pending"
    parent_run_id: str | None = None
    agent_id: str | None = None
    provider: str | None = None
    metadata: dict[str, Any] = {}
