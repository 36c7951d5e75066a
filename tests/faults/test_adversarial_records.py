"""Records that no producer of ours writes, straight to the topic: each is stored or quarantined, none missing."""

import datetime as dt
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from fault_scene import Scene
from trailhouse.schemas import AuditEvent

pytestmark = [pytest.mark.cluster, pytest.mark.faults]

RECORDS = int(os.environ.get("RECORDS", "40000"))
SEED = int(os.environ.get("SEED", "24"))
RECORDED = Path(__file__).parents[1] / "data" / "airline_runs.jsonl"
PIECES = (
    b"{", b"}", b"[", b'"', b"\\", b",", b":", b"\x00", b"\xff", b"\xed\xa0\x80", b"\\ud800", b"1e999", b"9" * 400,
    b"-0", b"null", b'"occurred_at":"0001-01-01T00:00:00.000000Z",', b'"seq":18446744073709551616,', b"\xe2\x80\xa8",
)  # fmt: skip
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=30), st.just("9" * 300),
    st.datetimes().map(lambda moment: moment.isoformat() + "Z"), st.lists(st.integers(), max_size=3),
)  # fmt: skip
FIELDS = (
    "event_id", "type", "session_id", "tenant_id", "run_id", "agent_id", "occurred_at", "actor", "source", "data",
    "metadata", "schema_version", "provider", "correlation_id", "unknown",
)  # fmt: skip
TOKENS = (
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cost_usd",
    "duration_ms",
    "model",
    "error_code",
)


@st.composite
def hostile(draw: st.DrawFn) -> bytes:
    """Return an event of ours in which some fields hold something odd, or bytes that are none."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=200))
    event: dict[str, Any] = json.loads(
        AuditEvent(
            type="token_usage_updated", session_id=draw(st.text(min_size=1, max_size=9)) or "s"
        ).record
    )
    for name in draw(st.lists(st.sampled_from(FIELDS), max_size=2)):
        event[name] = draw(ODD)
    if isinstance(event.get("data"), dict):
        event["data"] |= {
            name: draw(ODD) for name in draw(st.lists(st.sampled_from(TOKENS), max_size=3))
        }
    return json.dumps(event, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")


def invented() -> list[bytes]:
    """Return what hypothesis makes up, the same for the same seed."""
    found: list[bytes] = []

    @seed(SEED)
    @settings(
        max_examples=RECORDS // 100,
        deadline=None,
        database=None,
        suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large),
    )
    @given(st.lists(hostile(), min_size=5, max_size=12))
    def collect(records: list[bytes]) -> None:
        found.extend(records)

    collect()
    return found


def recorded() -> list[bytes]:
    """Return real events: recorded runs, as ours."""
    lines = RECORDED.read_text(encoding="utf-8").splitlines()[:1_500]
    return [
        AuditEvent(
            **json.loads(line),
            occurred_at=dt.datetime(1 + number * 7 % 9_999, 1 + number % 12, 1, tzinfo=dt.UTC),
        ).record
        for number, line in enumerate(lines)
    ]


def mutated(count: int) -> Iterator[bytes]:
    """Yield *count* real events, most of them with wounds."""
    chance = random.Random(SEED)  # noqa: S311 - a seed, so that a failure comes again
    whole = recorded()
    for number in range(count):
        body = bytearray(chance.choice(whole)[:4_000] if number % 7 == 0 else chance.choice(whole))
        for _ in range(chance.randint(0, 3)):
            at = chance.randrange(len(body))
            match chance.randrange(4):
                case 0:
                    body[at] ^= 1 << chance.randrange(8)
                case 1:
                    del body[at : at + chance.choice((1, 1, 8))]
                case 2:
                    body[at:at] = chance.choice(PIECES)
                case _:
                    body[at : at + 4] = bytes(chance.randrange(256) for _ in range(4))
        yield bytes(body)


def test_adversarial_records(stage: Scene) -> None:
    """Made-up and wounded records by the thousand, times from year 1 to 9999: the worker never stops."""
    print(f"SEED={SEED} RECORDS={RECORDS}")  # noqa: T201 - shown when it fails
    worker = stage.worker(worker_batch_rows=4_000, worker_max_bad_share=1.0)
    worker.wait_until_ready()
    made_up = invented()
    producer = Producer(
        stage.kafka.client_options()
        | {"linger.ms": 20, "compression.type": "lz4", "message.max.bytes": 2_000_000}
    )
    for count, record in enumerate((*made_up, *mutated(max(0, RECORDS - len(made_up))))):
        producer.produce(
            stage.kafka.topic, record or None, record[:8], count % stage.kafka.partitions
        )
        if count % 5_000 == 0:
            producer.flush(30)
    assert producer.flush(60) == 0
    stage.settle_records(240)
    assert worker.process.poll() is None, (
        f"expected the same worker to go on, log: {worker.log[-500:]}"
    )
    stored, quarantined = stage.place.count(), stage.place.count("quarantine")
    assert quarantined > 0, "expected bad records"
    assert stored > 0, "expected good records"
