"""Records drawn at random whose hashes, or those of their leaves, begin or end in a byte that is easily mistaken."""

import datetime as dt
import itertools
import random
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any

from attack_scene import LOG
from proven import ORIGIN
from random_events import ODD, drawn_id
from sealing_scene import Logger, claimed
from trailhouse.proof.keys import FileSigner
from trailhouse.proof.leaf import hash_of_leaf
from trailhouse.proof.manifest import day_of, session_key
from trailhouse.schemas import Actor, AuditEvent

UTC = dt.UTC
TENANTS = ("", "", "a", "b", "a ", "a\0", "'", "\\", "ÿ", "0")
BYTES = (0x00, 0x00, 0x00, 0x20, 0x27, 0x5C, 0x0A, 0x0D, 0x09, 0xFF)
"""Zero, blank, quote, backslash, line breaks, a tab, and what no text of UTF-8 has."""
PLACES = (0, 7, 8, 15, 15, 16, 31, 31)
"""Where hashes, and the parts of them that are stored, begin and end."""
BAD = (b"", b"{}", b"\0", b"\xff\xfe", b"'", b"[" * 300, b"not an event\0", b'{"type":"x"}', b"\\N")
TYPES = (
    "message_sent",
    "tool_call_started",
    "token_usage_updated",
    "run_completed",
    "custom.x_failed",
)
YEARS = tuple(
    dt.datetime.fromisoformat(f"{text}+00:00")
    for text in (
        "0001-01-01T00:00:00", "1900-01-01T00:00:00", "1969-12-31T23:59:59.999999", "2026-01-01T00:00:00",
        "2299-12-31T23:59:59.999999", "9999-12-31T23:59:59.999999",
    )
)  # fmt: skip
VALUES: dict[str, tuple[Any, ...]] = {
    "input_tokens": (0, 7, 2**63, 2**64, -1, 1.5, "x"),
    "cost_usd": (0.5, "0.000000000000000001", -0.0, 1e300, 1e-300, "1e3", "12345678901234567890.5"),
    "duration_ms": (0, 1e18, -5),
    "error_code": (*ODD, 7),
    "tool_name": ODD,
    "tool_call_id": ODD,
    "model": ODD,
}


class RandomRecords:
    """Makes records as services, strangers and spools send them."""

    def __init__(self, draw: random.Random) -> None:
        self.at_ms = 0
        """When the broker will take them."""
        self._draw = draw
        self._numbers = itertools.count()

    def bad(self) -> bytes | None:
        """Return what is no event."""
        return self._draw.choice((*BAD, None, self._draw.randbytes(40)))

    def plain(self) -> AuditEvent:
        """Return an event of nobody, or of a service that seals nothing."""
        session, tenant = self.session(), self._draw.choice(TENANTS) or None
        kind, data, fields = self._draw.choice(TYPES), self._data(), self._fields()
        if self._draw.random() < 0.5:
            return self._chosen(
                lambda n: AuditEvent(
                    type=kind, session_id=session, tenant_id=tenant, data=data | {"n": n}, **fields
                )
            )
        seq = next(self._numbers)
        return self._chosen(
            lambda n: claimed(
                "legacy", "p9", seq, kind, session, tenant_id=tenant, data=data | {"n": n}, **fields
            )
        )

    def twin(self, of: AuditEvent) -> AuditEvent:
        """Return another event with the same id, of the same session."""
        seq = next(self._numbers)
        same: dict[str, Any] = {
            "session_id": of.session_id,
            "tenant_id": of.tenant_id,
            "event_id": of.event_id,
        }
        return self._chosen(lambda n: claimed("legacy", "p9", seq, data={"n": n}, **same))

    def sealed(
        self, service: str, signer: FileSigner, tenants: tuple[str, ...]
    ) -> Iterator[AuditEvent]:
        """Yield the events of one logger, with its seals, to its end."""
        logger = Logger(service, drawn_id(self._draw), signer)
        for _ in range(self._draw.randrange(1, 4)):
            for _ in range(self._draw.randrange(1, 5)):
                made = self._sealed(logger, self._draw.choice(tenants) or None)
                logger.events.append(made)
                yield made
            yield logger.seal()
        yield logger.seal(is_last=True)

    def _sealed(self, logger: Logger, tenant: str | None) -> AuditEvent:
        session, data, fields = self.session(), self._data(), self._fields()
        return self._chosen(
            lambda n: claimed(
                logger.service,
                logger.producer_id,
                len(logger.events),
                session_id=session,
                tenant_id=tenant,
                data=data | {"n": n},
                **fields,
            )
        )

    def session(self) -> str:
        """Return a session: any text, or one whose key in the manifest of the day has a byte of our choice."""
        if self._draw.random() < 0.7:
            return self._draw.choice(ODD)
        byte, place = self._draw.choice(BYTES), self._draw.choice((0, 31))
        origin = f"{LOG}/{ORIGIN.topic}/{ORIGIN.topic_id}/0/1"
        names = (f"k{n}" for n in itertools.count(self._draw.randrange(10**6)))
        day = day_of(self.at_ms)
        return next(name for name in names if session_key(origin, day, "a", name)[place] == byte)

    def _data(self) -> dict[str, Any]:
        return {
            name: self._draw.choice(some)
            for name, some in VALUES.items()
            if self._draw.random() < 0.25
        }

    def _fields(self) -> dict[str, Any]:
        now = dt.datetime.fromtimestamp(self.at_ms / 1_000, UTC)
        fields: dict[str, Any] = {
            name: self._draw.choice(ODD)
            for name in ("run_id", "agent_id", "correlation_id", "provider")
            if self._draw.random() < 0.3
        }
        if self._draw.random() < 0.3:
            fields["actor"] = Actor(type=self._draw.choice(ODD), id=self._draw.choice(ODD))
        return fields | {
            "occurred_at": self._draw.choice((now, *YEARS)),
            "event_id": drawn_id(self._draw),
        }

    def _chosen(self, made: Callable[[int], AuditEvent]) -> AuditEvent:
        """Return one of what *made* gives whose hash, or that of its leaf, has a byte of our choice."""
        if self._draw.random() < 0.2:
            return made(0)
        byte, place = self._draw.choice(BYTES), self._draw.choice(PLACES)
        of_leaf = self._draw.random() < 0.3

        def fits(event: AuditEvent) -> bool:
            digest = sha256(event.record).digest()
            return (hash_of_leaf(1, self.at_ms, digest) if of_leaf else digest)[place] == byte

        return next(event for n in itertools.count() if fits(event := made(n)))
