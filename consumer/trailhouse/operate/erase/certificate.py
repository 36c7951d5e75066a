"""The certificate of an erasure: what was erased, by whose order, and where a copy may still be, until when. Pure."""

import datetime as dt
from collections.abc import Iterable, Mapping

import msgspec

from trailhouse.operate.erase.orders import Erased
from trailhouse.proof.erasure import erasure_name
from trailhouse.proof.keys import Signer, note_signed
from trailhouse.schemas.json_form import rfc3339

FORMAT = "trailhouse-erasure-certificate/1"
OLD_PARTS_SECONDS = 480
"""ClickHouse's `old_parts_lifetime`, unless a server's settings say otherwise."""


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """A place that may still hold a copy: what becomes of it, and until when at the latest; None: it is not known."""

    place: str
    becomes: str
    until: str | None


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator certifies. It holds hashes and counts, and nothing of what was erased.

    Attributes:
        log_name: The log.
        orders: The SHA-256 of each order's text, by its number.
        operator: Who ordered it.
        reason: Why.
        erased_at: When no row was left, RFC 3339.
        records: How many records, each counted once.
        blanked_rows: How many rows of each table, copies included.
        remains: What stays of each record.
        copies: Where a copy may still be.
    """

    log_name: str
    orders: Mapping[str, str]
    operator: str
    reason: str
    erased_at: str
    records: int
    blanked_rows: Mapping[str, int]
    remains: str
    copies: tuple[Copy, ...]

    @property
    def text(self) -> str:
        """What is signed: a line `FORMAT`, and a line of JSON."""
        return f"{FORMAT}\n{msgspec.json.encode(self, order='sorted').decode()}\n"


def certificate(
    erased: Erased,
    *,
    topic: str,
    retention_hours: int | None,
    is_by_text: bool,
    now: dt.datetime,
) -> Certificate:
    """Return the certificate of *erased*, done by *now*.

    Args:
        erased: What was ordered and done.
        topic: Kafka's, which holds the records as they came.
        retention_hours: How long it keeps them; None or below 0: for ever, or not known.
        is_by_text: Whether records were sought by a text, which ClickHouse may have written into its logs.
        now: The time, UTC.
    """
    first = erased.orders[0]
    return Certificate(
        log_name=first.log_name,
        orders={str(each.number): _sha256(each.text) for each in erased.orders},
        operator=first.operator,
        reason=first.reason,
        erased_at=rfc3339(now),
        records=sum(len(each.digests) for each in erased.orders),
        blanked_rows=dict(sorted(erased.blanked.rows.items())),
        remains=(
            "session, tenant, event id, type and time, the producer's number, where it stood in Kafka, and the SHA-256:"
            " the leaf of the record, so that roots and proofs stay as they were signed"
        ),
        copies=tuple(_copies(topic, retention_hours, is_by_text=is_by_text, now=now)),
    )


def signed_certificate(made: Certificate, operator: Signer) -> str:
    """Return *made* as a note signed by *operator*.

    Raises:
        SigningError: The key cannot be used. Retriable.
    """
    return note_signed(made.text, operator, erasure_name(made.log_name))


def certificate_lines(made: Certificate) -> list[str]:
    """Return *made* in words, a line a fact."""
    orders = ", ".join(made.orders)
    rows = ", ".join(f"{table} {count}" for table, count in made.blanked_rows.items())
    lines = [
        f"erased       {made.records} records of the log {made.log_name}, at {made.erased_at}",
        f"by           order {orders} of {made.operator}: {made.reason}",
        f"blank rows   {rows}",
        f"what stays   {made.remains}",
    ]
    for copy in made.copies:
        until = f"until {copy.until}" if copy.until else "until somebody deletes it"
        lines.append(f"may be in    {copy.place}, {until}: {copy.becomes}")
    return lines


_QUERIES = (
    "ClickHouse's own query_log and text_log, which may hold the text that was sought",
    "removed as their own TTL says",
)
_ELSEWHERE = (
    (
        "producers' spools and quarantined spools, and files of `trailhouse emit`",
        "sent later, it is stored blank; `trailhouse spool` shows what waits",
    ),
    (
        "backups and snapshots of ClickHouse",
        "after a restore `trailhouse erase --reapply` makes it blank again",
    ),
    (
        "exports and bundles that were made before, wherever they were taken to",
        "nobody but their holders can delete it",
    ),
    (
        "anchors, checkpoints, leaves, manifests, seals",
        "they hold hashes alone, from which no record can be made again",
    ),
)
"""Until when is not ours to know."""


def _copies(
    topic: str, retention_hours: int | None, *, is_by_text: bool, now: dt.datetime
) -> Iterable[Copy]:
    is_bounded = retention_hours is not None and retention_hours >= 0
    kept = now + dt.timedelta(hours=retention_hours or 0)
    yield Copy(
        place=f"the Kafka topic {topic}, and copies of it in other clusters",
        becomes="read again, it is stored blank",
        until=rfc3339(kept) if is_bounded else None,
    )
    yield Copy(
        place="ClickHouse's parts that the mutation has replaced",
        becomes="removed by the server (old_parts_lifetime)",
        until=rfc3339(now + dt.timedelta(seconds=OLD_PARTS_SECONDS)),
    )
    for place, becomes in (*_ELSEWHERE, *([_QUERIES] if is_by_text else ())):
        yield Copy(place=place, becomes=becomes, until=None)


def _sha256(text: str) -> str:
    from hashlib import sha256

    return sha256(text.encode()).hexdigest()
