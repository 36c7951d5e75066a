"""MCP: the answers of `AuditReader` as read-only tools for agents, small, and marked as what others wrote."""

__all__: list[str] = []
