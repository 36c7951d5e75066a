"""Where a walk goes on: opaque, authenticated text that is good for one query, order, reader and secret. Pure.

A cursor holds the place of the last answer, bound to what was asked by digests and sealed with an HMAC, and when it
was asked first: "2h" means the same on every page. It is no secret of ours and carries no right: whoever presents it is
checked as for the first page.
"""

import base64
import binascii
import datetime as dt
import hmac
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from trailhouse.schemas.errors import QueryError

MAX_CURSOR_CHARACTERS = 8_192
_VERSION = b"\x01"
_KEY_BYTES, _MOMENT_BYTES, _BINDING_BYTES, _MAC_BYTES = 4, 8, 8, 16
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
_AGAIN = "begin again without a cursor"
PositionT = TypeVar("PositionT")


class Walk(msgspec.Struct, frozen=True, kw_only=True):
    """What a cursor is bound to: it goes on with this, and with nothing else.

    Attributes:
        query: What is asked, in a form that is equal for equal questions.
        order: In which order.
        tenant_id: The one tenant that the reader sees; None sees all.
        principal: On whose behalf; empty for nobody in particular.
        asked_at: The now that times such as "2h" were told from, which the cursor tells again; None without such times.
    """

    query: str
    order: str
    tenant_id: str | None
    principal: str = ""
    asked_at: dt.datetime | None = None


class Cursors:
    """Makes cursors and reads them again; those of another secret are refused.

    Args:
        secret: What cursors are sealed with; as `ReaderConfig.secret_for` has it.
    """

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()
        self._key_id = self._digest("key", b"")[:_KEY_BYTES]

    def seal(self, place: Sequence[Any], walk: Walk) -> str:
        """Return the cursor of *walk* that goes on behind *place*: numbers, text, bytes and None."""
        moment = 0 if walk.asked_at is None else (walk.asked_at - _EPOCH) // _MICROSECOND
        head = _VERSION + self._key_id + moment.to_bytes(_MOMENT_BYTES, signed=True)
        content = head + self._bindings(walk) + msgspec.msgpack.encode(place)
        return base64.urlsafe_b64encode(content + self._mac(content)).decode().rstrip("=")

    def open(self, cursor: object, walk: Walk, kind: type[PositionT]) -> PositionT:
        """Return the place, a *kind*, behind which *walk* goes on.

        Raises:
            QueryError: It was altered, or is of another secret, query, order, tenant or principal; says which,
                and nothing of what it holds. Permanent.
        """
        content, mac = _unpacked(cursor)
        if not hmac.compare_digest(content[1 : 1 + _KEY_BYTES], self._key_id):
            raise QueryError(
                f"cursor: was made with another secret, or beside another ClickHouse; {_AGAIN}"
            )
        if not hmac.compare_digest(mac, self._mac(content)):
            raise QueryError(f"cursor: was altered; {_AGAIN}")
        start = 1 + _KEY_BYTES + _MOMENT_BYTES
        for name, expected in self._named_bindings(walk):
            found = content[start : start + _BINDING_BYTES]
            start += _BINDING_BYTES
            if not hmac.compare_digest(found, expected):
                raise QueryError(f"cursor: is of another {name}; {_AGAIN}")
        try:
            return msgspec.msgpack.decode(content[start:], type=kind)
        except msgspec.MsgspecError:
            raise QueryError(f"cursor: is of another query; {_AGAIN}") from None

    def _bindings(self, walk: Walk) -> bytes:
        return b"".join(digest for _, digest in self._named_bindings(walk))

    def _named_bindings(self, walk: Walk) -> list[tuple[str, bytes]]:
        # Who asks comes first: what somebody else asked is nobody's to learn.
        tenant = b"\0" if walk.tenant_id is None else b"\1" + _bytes(walk.tenant_id)
        return [
            (name, self._digest(name, value)[:_BINDING_BYTES])
            for name, value in (
                ("tenant", tenant),
                ("principal", _bytes(walk.principal)),
                ("query", _bytes(walk.query)),
                ("order", _bytes(walk.order)),
            )
        ]

    def _mac(self, content: bytes) -> bytes:
        return self._digest("cursor", content)[:_MAC_BYTES]

    def _digest(self, purpose: str, value: bytes) -> bytes:
        return hmac.digest(self._secret, purpose.encode() + b"\0" + value, "sha256")


def asked_at(cursor: str | None) -> dt.datetime | None:
    """Return the now that the times of a cursor's question were told from; None without one, or for what is no cursor.

    Not checked yet: with another moment the question is another, and `Cursors.open` refuses the cursor.
    """
    try:
        content, _ = _unpacked(cursor)
        moment = int.from_bytes(content[1 + _KEY_BYTES :][:_MOMENT_BYTES], signed=True)
        return _EPOCH + moment * _MICROSECOND if moment else None
    except (QueryError, OverflowError):
        return None


def _unpacked(cursor: object) -> tuple[bytes, bytes]:
    if not isinstance(cursor, str):
        raise QueryError(f"cursor: must be a string, got {type(cursor).__name__}")
    shortest = 1 + _KEY_BYTES + _MOMENT_BYTES + 4 * _BINDING_BYTES + _MAC_BYTES
    try:
        raw = (
            base64.b64decode(
                (cursor + "=" * (-len(cursor) % 4)).encode("ascii"), b"-_", validate=True
            )
            if len(cursor) <= MAX_CURSOR_CHARACTERS
            else b""
        )
    except (binascii.Error, UnicodeEncodeError):
        raw = b""
    # Base64 has several spellings of the same bytes; ours is one.
    is_ours = base64.urlsafe_b64encode(raw).decode().rstrip("=") == cursor
    if len(raw) < shortest or not raw.startswith(_VERSION) or not is_ours:
        raise QueryError(f"cursor: is not a cursor of Trailhouse, or was altered; {_AGAIN}")
    return raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
