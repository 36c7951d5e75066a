"""Bearer tokens: made once, shown once, kept as hashes in a file of our user's alone.

A token reads ``thr_<id>_<secret>``. The id is public and finds the entry; the secret, 32 random bytes,
is compared by its SHA-256 in constant time, and an unknown id costs the same comparison. Whoever
reads the file learns who may read, and no secret.
"""

import base64
import datetime as dt
import hashlib
import hmac
import re
import secrets
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from trailhouse.access.principal import SCOPES, Principal, Scope
from trailhouse.access.token_file import locked, read_token_file, stamp_of, write_token_file
from trailhouse.schemas.errors import QueryError
from trailhouse.schemas.event import MAX_ID_CHARACTERS

SECRET_BYTES = 32
MAX_TOKENS = 10_000
_NO_HASH = hashlib.sha256(b"no such token").hexdigest()
_parts = re.compile(r"thr_([0-9a-f]{12})_([A-Za-z0-9_-]{43})").fullmatch
_is_name = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:/-]{0,99}").fullmatch


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a token: everything but its secret.

    Attributes:
        id: Its public part.
        name: Whom or what it was made for; what `audit_read` says as the actor.
        sha256: The hash of its secret, in hexadecimal digits.
        tenant_id: The one tenant whose events it opens; None for all.
        scopes: `read`, `export`, `sql`.
        created_at: When it was made.
        expires_at: From when on it is refused; None for never.
        revoked_at: From when on it has been refused; None while it is good.
    """

    id: str
    name: str
    sha256: str
    tenant_id: str | None
    scopes: tuple[Scope, ...]
    created_at: dt.datetime
    expires_at: dt.datetime | None = None
    revoked_at: dt.datetime | None = None

    def is_good(self, now: dt.datetime) -> bool:
        """Tell whether it opens anything at *now*."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class TokenStore:
    """The tokens of a file; safe to share between threads. What another process changes is seen at once."""

    def __init__(self, path: Path, *, now: Callable[[], dt.datetime] = _now) -> None:
        self.path = path
        self._now = now
        self._lock = threading.Lock()
        self._stamp: tuple[int, ...] | None = None
        self._by_id: dict[str, Token] = {}
        self._has_had_tokens = False

    def create(
        self,
        name: str,
        *,
        tenant_id: str | None,
        scopes: Iterable[str] = ("read",),
        lifetime: dt.timedelta | None = None,
    ) -> tuple[Token, str]:
        """Make a token; return what is kept of it, and the token itself, which nobody can see again.

        Delivery:
            When this returns, it is on the disk, and good at every server that reads the file.

        Raises:
            QueryError: A name, tenant, scope or lifetime breaks a rule, or the name is taken. Permanent.
            ConfigError: The file cannot be written. Permanent until mended.
        """
        now = self._now()
        secret = secrets.token_bytes(SECRET_BYTES)
        token = Token(
            id=secrets.token_hex(6),
            name=_name(name),
            sha256=hashlib.sha256(secret).hexdigest(),
            tenant_id=_tenant(tenant_id),
            scopes=_scopes(scopes),
            created_at=now,
            expires_at=None if lifetime is None else _end(now, lifetime),
        )
        with locked(self.path):
            kept = read_token_file(self.path, Token)
            if any(each.name == name and each.is_good(now) for each in kept):
                raise QueryError(f"name: there is a token {name!r}; revoke it, or choose another")
            if len(kept) >= MAX_TOKENS:
                raise QueryError(f"token: at most {MAX_TOKENS} are kept")
            write_token_file(self.path, [*kept, token])
        return token, f"thr_{token.id}_{_text(secret)}"

    def revoke(self, name_or_id: str) -> list[Token]:
        """Refuse every token of that name or id from now on; return those that were good.

        Raises:
            QueryError: There is none. Permanent.
            ConfigError: As for `create`.
        """
        now = self._now()
        with locked(self.path):
            kept = read_token_file(self.path, Token)
            meant = [each for each in kept if name_or_id in (each.id, each.name)]
            if not meant:
                raise QueryError(
                    "token: there is none of this name or id; `trailhouse token list` shows all"
                )
            good = [each for each in meant if each.is_good(now)]
            revoked = {each.id: msgspec.structs.replace(each, revoked_at=now) for each in good}
            if revoked:
                write_token_file(self.path, [revoked.get(each.id, each) for each in kept])
        return list(revoked.values())

    def tokens(self) -> list[Token]:
        """Return every token that was ever made here, the oldest first.

        Raises:
            ConfigError: The file cannot be read, or others can write to it. Permanent until mended.
        """
        return list(self._current().values())

    def is_empty(self) -> bool:
        """Tell whether no token was ever made here. One that was revoked counts, and a file that vanished.

        Raises:
            ConfigError: As for `tokens`.
        """
        return not self._current() and not self._has_had_tokens

    def principal(self, presented: str) -> Principal | None:
        """Return whom *presented* stands for; None if it is not a good token.

        Raises:
            ConfigError: As for `tokens`.
        """
        parts = _parts(presented)
        token_id, secret = (parts[1], parts[2]) if parts else ("", "")
        token = self._current().get(token_id)
        digest = hashlib.sha256(_bytes(secret)).hexdigest()
        # An unknown id is compared as well: what it costs must not tell which ids there are.
        is_right = hmac.compare_digest(digest, _NO_HASH if token is None else token.sha256)
        if token is None or not is_right or not token.is_good(self._now()):
            return None
        return Principal(
            name=token.name,
            kind="token",
            tenant_id=token.tenant_id,
            scopes=frozenset(token.scopes),
            token_id=token.id,
        )

    def _current(self) -> dict[str, Token]:
        stamp = stamp_of(self.path)
        with self._lock:
            if stamp != self._stamp or stamp is None:
                kept = read_token_file(self.path, Token)
                self._by_id = {each.id: each for each in kept}
                self._stamp = stamp
            self._has_had_tokens = self._has_had_tokens or bool(self._by_id)
            return self._by_id


def default_store() -> TokenStore:
    """Return the tokens of the settings.

    Raises:
        ConfigError: A setting is wrong. Permanent.
    """
    from trailhouse.access.config import AccessConfig

    return TokenStore(AccessConfig().tokens_path)


def _name(name: str) -> str:
    if _is_name(name) is None:
        raise QueryError(
            "name: must be 1 to 100 letters, digits or . _ @ : / -, and begin with a letter or digit"
        )
    return name


def _tenant(tenant_id: str | None) -> str | None:
    if tenant_id is not None and not 0 < len(tenant_id) <= MAX_ID_CHARACTERS:
        raise QueryError(f"tenant: must have 1 to {MAX_ID_CHARACTERS} characters")
    return tenant_id


def _scopes(scopes: Iterable[str]) -> tuple[Scope, ...]:
    given = set(scopes)
    if not given or not given <= set(SCOPES):
        raise QueryError(f"scope: must be one or more of {', '.join(SCOPES)}")
    return tuple(scope for scope in SCOPES if scope in given)


def _end(now: dt.datetime, lifetime: dt.timedelta) -> dt.datetime:
    if lifetime <= dt.timedelta():
        raise QueryError("expires: must be later than now")
    try:
        return now + lifetime
    except OverflowError:
        raise QueryError("expires: is after the year 9999; say `never`") from None


def _text(secret: bytes) -> str:
    return base64.urlsafe_b64encode(secret).rstrip(b"=").decode()


def _bytes(secret: str) -> bytes:
    return base64.urlsafe_b64decode(f"{secret}=" if secret else "")
