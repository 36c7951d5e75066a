"""A witness (C2SP tlog-witness): remembers how large each log was, and cosigns only what goes on from it."""

__all__: list[str] = []
