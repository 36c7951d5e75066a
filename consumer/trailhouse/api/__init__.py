"""The HTTP API: the answers of `AuditReader` as JSON, JSON lines and server-sent events."""

__all__: list[str] = []
