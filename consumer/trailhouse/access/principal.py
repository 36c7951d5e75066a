"""Who reads: a token, a user of this machine, or whoever reaches a server that asks for no token."""

import getpass
import os
from typing import Literal

import msgspec

Scope = Literal["read", "export", "sql"]
SCOPES: tuple[Scope, ...] = ("read", "export", "sql")


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, and what of the log is open to them.

    Attributes:
        name: The token's name, or the user's.
        kind: What vouches for the name: a `token`, the operating system (`user`), or nothing (`local`).
        tenant_id: The one tenant whose events they see; None for all.
        scopes: What they may do.
        token_id: Which token, where one vouches: a name may have had several, one after the other.
    """

    name: str
    kind: Literal["token", "user", "local"]
    tenant_id: str | None
    scopes: frozenset[Scope]
    token_id: str | None = None

    @property
    def key(self) -> str:
        """What limits are counted by, and what cursors are bound to."""
        return f"{self.kind}:{self.token_id or self.name}"


def this_user(tenant_id: str | None) -> Principal:
    """Return the user of the operating system that this process runs as."""
    return Principal(name=_user_name(), kind="user", tenant_id=tenant_id, scopes=frozenset(SCOPES))


def anybody_here() -> Principal:
    """Return whoever reaches a server on this machine that asks for no token."""
    return Principal(name="local", kind="local", tenant_id=None, scopes=frozenset(SCOPES))


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # which of them depends on Python's version
        return f"uid {os.geteuid()}"
