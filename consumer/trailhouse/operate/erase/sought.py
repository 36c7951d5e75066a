"""Which records are meant: found by a subject, a session, an event or a text, and hashed here, byte for byte."""

from collections.abc import Iterator
from typing import Any

import msgspec

from trailhouse.proof.erasure import hold_key
from trailhouse.schemas.codec import decode_envelope
from trailhouse.schemas.errors import IntegrityError, InvalidEventError, QueryError
from trailhouse.schemas.record_hash import record_hash
from trailhouse.store.clickhouse import ClickHouse


class Sought(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be erased: what fits every field that is not None.

    Attributes:
        subject: The actor's id of the events.
        session: Their session.
        event: One event's id.
        text: What their record holds anywhere, byte for byte, such as an address.
        tenant: Only those of this tenant; "" for none.
    """

    subject: str | None = None
    session: str | None = None
    event: str | None = None
    text: str | None = None
    tenant: str | None = None


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """The records that are meant: the SHA-256 of each, sessions by which rows are found, and what could hold them back.

    `quarantined` counts those among them that are not events.
    """

    digests: tuple[bytes, ...]
    sessions: tuple[str, ...]
    hold_keys: frozenset[bytes]
    quarantined: int = 0


_CONDITIONS = {
    "subject": "actor_id = {subject:String}",
    "session": "session_id = {session:String}",
    "event": "event_id = {event:UUID}",
    "text": "position(record, {text:String}) > 0",
    "tenant": "tenant_id = {tenant:String}",
}


def find(storage: ClickHouse, sought: Sought) -> Found:
    """Return the records of the log and of quarantine that *sought* means.

    Of an event its own record decides, whatever the columns of its row say. A record in quarantine is no event: it is
    meant where its bytes hold what is sought.

    Raises:
        QueryError: Nothing is said that would narrow it. Permanent.
        IntegrityError: A row says that it is meant, and its record says otherwise. Permanent: run `trailhouse verify`.
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    given = {
        name: value for name, value in msgspec.structs.asdict(sought).items() if value is not None
    }
    if not given.keys() - {"tenant"}:
        raise QueryError("say which records: by a subject, a session, an event or a text")
    digests: set[bytes] = set()
    sessions: set[str] = set()
    keys: set[bytes] = {hold_key("everything")}
    for record in _records(storage, given):
        try:
            envelope = decode_envelope(record).envelope
        except InvalidEventError:
            raise _contradiction() from None
        actor = envelope.actor.id if envelope.actor else ""
        says = {
            "subject": actor,
            "session": envelope.session_id,
            "event": envelope.event_id.lower(),
            "tenant": envelope.tenant_id or "",
        }
        if any(says[name] != value for name, value in given.items() if name in says):
            raise _contradiction()
        digests.add(record_hash(record))
        sessions.add(envelope.session_id)
        keys |= {
            hold_key("tenant", envelope.tenant_id or ""),
            hold_key("session", envelope.session_id),
            hold_key("event", envelope.event_id.lower()),
            hold_key("subject", actor),
        }
    quarantined = set() if "tenant" in given else set(_quarantined(storage, given))
    return Found(
        digests=tuple(sorted(digests | quarantined)),
        sessions=tuple(sorted(sessions)),
        hold_keys=frozenset(keys),
        quarantined=len(quarantined - digests),
    )


def _contradiction() -> IntegrityError:
    return IntegrityError(
        "a row's columns say that it is meant, and its record says otherwise: nothing was ordered;"
        " see `trailhouse verify`"
    )


def _records(storage: ClickHouse, given: dict[str, Any]) -> Iterator[bytes]:
    where = " AND ".join(_CONDITIONS[name] for name in given)
    pieces = storage.stream(
        f"SELECT record FROM event_log WHERE {where} AND record != ''",  # noqa: S608 - conditions of ours
        given,
        format="RowBinary",
    )
    yield from _strings(pieces)


def _quarantined(storage: ClickHouse, given: dict[str, Any]) -> Iterator[bytes]:
    """Yield the hash of each record of quarantine whose kept bytes hold all that is sought."""
    where = " AND ".join(f"position(record, {{{name}:String}}) > 0" for name in given)
    # An id stands in quotes, wherever in a damaged event; a shorter one is within many longer ones.
    bytes_sought = {
        name: value if name == "text" else msgspec.json.encode(value).decode()
        for name, value in given.items()
    }
    rows = storage.query(
        f"SELECT DISTINCT record_hash FROM event_quarantine WHERE record != '' AND {where}",  # noqa: S608 - names of ours
        bytes_sought,
    ).rows
    yield from (digest for (digest,) in rows)


def _strings(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield each text of rows of one String column in RowBinary: its length as a varint, then its bytes."""
    held = b""
    for piece in pieces:
        held += piece
        at = 0
        while (found := _length(held, at)) is not None:
            begin, length = found
            if begin + length > len(held):
                break
            yield held[begin : begin + length]
            at = begin + length
        held = held[at:]


def _length(content: bytes, at: int) -> tuple[int, int] | None:
    length = shift = 0
    while at < len(content):
        byte = content[at]
        at += 1
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            return at, length
        shift += 7
    return None
