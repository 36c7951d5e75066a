"""Enrolled services, their loggers' records and seals, and strangers who use their names, as ClickHouse gets them."""

import base64
import datetime as dt
import hashlib
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from trailhouse.attesting.seal_rounds import Judged, judge_seals
from trailhouse.broker.origin import Origin
from trailhouse.consumer.batch.batch import Batch, Limits
from trailhouse.consumer.batch.blocks import event_block
from trailhouse.proof.keys import FileSigner, is_signed_by
from trailhouse.proof.policy import LogKey, Policy, ServiceKey
from trailhouse.proof.seal import SEAL_TYPE, data_of, seal_session, sealed
from trailhouse.schemas import AuditEvent
from trailhouse.schemas.record import Source
from trailhouse.store import ClickHouse

ORIGIN = Origin(cluster="cluster-1", topic="trailhouse.events", topic_id="topic-1")
LOG_NAME = "audit.example.org/agents"
START = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)


class Loaded(NamedTuple):
    """A record at its place in Kafka, as a consumer would give it."""

    content: bytes
    at: int
    partition_number: int
    appended_ms: int

    def value(self) -> bytes:
        """Return its bytes."""
        return self.content

    def partition(self) -> int:
        """Return its partition."""
        return self.partition_number

    def offset(self) -> int:
        """Return its offset."""
        return self.at

    def timestamp(self) -> tuple[int, int]:
        """Return when the broker took it."""
        return 2, self.appended_ms


class Topic:
    """Stands for Kafka and the worker: what is appended is stored at the next offset of its partition."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse
        self._next: dict[int, int] = {}
        self._clock_ms = int(START.timestamp() * 1_000)

    def append(
        self, events: Iterable[AuditEvent], partition: int = 0, appended_ms: int | None = None
    ) -> None:
        """Store *events* one behind the other, an hour ago and more where no time is given."""
        first = self._next.get(partition, 0)
        loaded = [
            Loaded(each.record, first + place, partition, appended_ms or self._clock_ms + place)
            for place, each in enumerate(events)
        ]
        self._next[partition] = first + len(loaded)
        self._clock_ms += len(loaded)
        batch = Batch(Limits(1_000_000, 1 << 30), time.monotonic)
        batch.add(loaded)  # type: ignore[arg-type]  # they stand for what librdkafka gives
        assert not batch.bad
        self._clickhouse.insert(event_block(ORIGIN, batch.rows))


class Logger:
    """A logger of a service: it numbers its events and seals them."""

    def __init__(self, service: str, producer_id: str, key: FileSigner | None = None) -> None:
        self.service = service
        self.producer_id = producer_id
        self.signer = key or FileSigner(Ed25519PrivateKey.generate())
        self.events: list[AuditEvent] = []
        self._first_unsealed = 0

    @property
    def public_key(self) -> str:
        """As a policy has it."""
        return base64.b64encode(self.signer.public_key).decode()

    def log(self, type: str = "message_sent", session_id: str = "s", **fields: Any) -> AuditEvent:
        """Return the next event."""
        made = claimed(self.service, self.producer_id, len(self.events), type, session_id, **fields)
        self.events.append(made)
        return made

    def seal(self, *, is_last: bool = False, first_seq: int | None = None) -> AuditEvent:
        """Return the event that seals what was logged since the last one."""
        first = self._first_unsealed if first_seq is None else first_seq
        self._first_unsealed = len(self.events)
        digests = [hashlib.sha256(each.record).digest() for each in self.events[first:]]
        seal = sealed(
            self.service,
            self.producer_id,
            first,
            digests,
            next_within_seconds=60,
            is_last=is_last,
            own_seq=len(self.events) if is_last else None,
        )
        data = data_of(seal, self.signer.public_key, self.signer.sign(seal.text.encode()))
        return self.log(SEAL_TYPE, seal_session(self.producer_id), data=msgspec.to_builtins(data))

    def key(self, *tenants: str, last_anchor: int | None = None) -> ServiceKey:
        """Return its entry in a policy."""
        return ServiceKey(
            service=self.service,
            public_key=self.public_key,
            tenants=tenants,
            last_anchor=last_anchor,
        )


def claimed(
    service: str,
    producer_id: str,
    seq: int | None,
    type: str = "message_sent",
    session_id: str = "s",
    **fields: Any,
) -> AuditEvent:
    """Return an event that says of itself that this logger has made it."""
    source = Source(service=service, producer_id=producer_id, seq=seq)
    fields.setdefault("occurred_at", START)
    return AuditEvent(type=type, session_id=session_id, source=source, **fields)


def policy_of(
    services: Sequence[ServiceKey],
    version: int = 1,
    unsealed_tenants: tuple[str, ...] = ("*",),
    log_key: FileSigner | None = None,
) -> Policy:
    """Return a policy; who signs it is not looked at here."""
    signer = log_key or FileSigner(Ed25519PrivateKey.generate())
    return Policy(
        log_name=LOG_NAME,
        version=version,
        log_keys=(LogKey(public_key=base64.b64encode(signer.public_key).decode()),),
        services=tuple(services),
        unsealed_tenants=unsealed_tenants,
    )


def judged(clickhouse: ClickHouse, policy: Policy) -> Judged:
    """Judge what is due."""
    return judge_seals(clickhouse, policy, is_signed_by)


class Scene:
    """A service whose logger has recorded a run with a call that was denied; strangers may add what they like."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self.topic = Topic(clickhouse)
        self.logger = Logger("billing", "p-1")
        self.policy = policy_of([self.logger.key("acme")])
        run = {"tenant_id": "acme", "run_id": "run-1", "agent_id": "planner"}
        call = {"tool_name": "refund", "tool_call_id": "call-1", "approval_id": "a-1"}
        log = self.logger.log
        log("run_started", **run)
        log("tool_approval_requested", data=call, **run)
        log("tool_approval_denied", data=call, actor={"type": "user", "id": "mary"}, **run)
        log("token_usage_updated", data={"input_tokens": 100, "cost_usd": "0.25"}, **run)
        log("run_completed", **run)
        self.logger.seal(is_last=True)

    def forgeries(self) -> list[AuditEvent]:
        """Return what a stranger writes: in others' names and numbers, with other contents, many times over."""
        run: dict[str, Any] = {"tenant_id": "acme", "run_id": "run-1", "agent_id": "planner"}
        call = {"tool_name": "refund", "tool_call_id": "call-1", "approval_id": "a-1"}
        mary = {"type": "user", "id": "mary"}
        later = START + dt.timedelta(seconds=5)
        made = [
            claimed("billing", "p-1", 2, "tool_approval_granted", data=call, actor=mary, **run),
            claimed("billing", "p-1", 99, "tool_approval_granted", data=call, actor=mary, occurred_at=later, **run),
            claimed("billing", "p-9", 0, "tool_approval_granted", data=call, actor=mary, **run),
            claimed("billing", "p-1", 3, "token_usage_updated", data={"input_tokens": 7, "cost_usd": "9"}, **run),
            claimed("stranger", "p-1", 4, "run_failed", occurred_at=later, **run),
            claimed("billing", "p-1", 0, "run_started", session_id="another", **run),
            claimed("billing", "p-1", 1, "run_started", tenant_id="globex", run_id="run-1"),
            AuditEvent(type="run_cancelled", session_id="s", occurred_at=later, **run),
            AuditEvent(type="tool_call_started", session_id="s", data=call, occurred_at=later, **run),
        ]  # fmt: skip
        made += [
            claimed("billing", "p-1", number, data={"n": number}, **run) for number in range(6)
        ]
        made += [claimed("billing", "p-1", 4, data={"n": n}, **run) for n in range(100)]
        # True bytes in other hands: a copy of an event, and of the seal around another session.
        closing = self.logger.events[-1]
        made.append(claimed("stranger", "x", 0, SEAL_TYPE, "seal:x", data=closing.data))
        made.append(claimed("billing", "p-1", 5, SEAL_TYPE, "seal:p-1", data=closing.data))
        return made
