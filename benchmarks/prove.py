"""What proving costs: `python -m benchmarks.prove`. An event's proof in a log of 100 million leaves, and a bundle.

The log's leaves are made up but for the 256 around the event: what a proof reads is all there, and leads to the root
that is signed.
"""

import base64
import datetime as dt
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

from trailhouse.anchoring.day_manifests import made_manifest
from trailhouse.anchoring.stored_log import StoredLog
from trailhouse.devstack import DevStack
from trailhouse.operate.prove.bundling import bundle_events
from trailhouse.operate.prove.check import check
from trailhouse.operate.prove.proving import prove_event
from trailhouse.proof.checkpoint import Checkpoint
from trailhouse.proof.config import ProofConfig
from trailhouse.proof.keys import FileSigner, create_key_file, fingerprint, note_signed
from trailhouse.proof.leaf import hash_of_leaf
from trailhouse.proof.merkle import CompactRange, node_hash, root_of
from trailhouse.proof.policy import LogKey, Policy, owner_name
from trailhouse.schemas import AuditEvent
from trailhouse.store import EVENT_LOG, ClickHouse, ClickHouseConfig
from trailhouse.store.migrate import migrate
from trailhouse.store.policies import store_policy
from trailhouse.store.tables import LOG_CHECKPOINTS, LOG_LEAVES, LOG_NODES

LEAVES = 100_000_000
BLOCK = 256
BLOCK_AT = 201_000
EVENTS = 200
MANIFEST_EVENTS = 200_000
ROUNDS = 15
LOG_NAME = "bench.example/agents"
AT_MS = 1_790_000_000_000
LOG = StoredLog("bench-cluster", "bench", "bench-topic", 0)


def main() -> None:
    """Print what an event's proof and a bundle of 200 events take."""
    with (
        tempfile.TemporaryDirectory(prefix="trailhouse-bench-") as folder,
        DevStack(Path(folder) / "stack", parts=("clickhouse",)) as stack,
    ):
        environment = stack.environment()
        config = ClickHouseConfig(
            url=environment["TRAILHOUSE_CLICKHOUSE_URL"],
            user=environment.get("TRAILHOUSE_CLICKHOUSE_USER", "default"),
            password=environment.get("TRAILHOUSE_CLICKHOUSE_PASSWORD", ""),
            database="bench_prove",
        )
        migrate(config)
        with ClickHouse(config) as clickhouse:
            _measure(clickhouse, Path(folder))


def _measure(clickhouse: ClickHouse, folder: Path) -> None:
    key, owner = create_key_file(folder / "log.key"), create_key_file(folder / "owner.key")
    proof = ProofConfig(
        log_name=LOG_NAME,
        key_file=str(folder / "log.key"),
        owner_key=base64.b64encode(owner.public_key).decode(),
    )
    events = _fill(clickhouse, key, owner)
    event = events[100]
    size = 0

    def prove() -> None:
        nonlocal size
        (proven,) = prove_event(clickhouse, proof, event.event_id)
        size = len(proven.proof.text)

    _print("prove EVENT in 100 million leaves", prove)
    print(f"{'its size':<40} {size} bytes")
    wanted = [(each.session_id, each.event_id) for each in events]
    content = bundle_events(clickhouse, proof, wanted).content
    _print("bundle of 200 events, made", lambda: bundle_events(clickhouse, proof, wanted))
    pin = fingerprint(owner.public_key)
    assert check(content, pin)[0] == 0
    _print("bundle of 200 events, checked", lambda: check(content, pin))
    _manifest(clickhouse)


def _manifest(clickhouse: ClickHouse) -> None:
    """Print what a day's manifest takes an event here, ClickHouse's part not counted."""
    events = [
        AuditEvent(type="message_sent", session_id=f"m-{at % 2_000}", data={"n": at})
        for at in range(MANIFEST_EVENTS)
    ]
    first = LEAVES
    _insert_leaves(clickhouse, first, [sha256(each.record).digest() for each in events])
    _insert_rows(clickhouse, first, events)
    origin = str(LOG.origin(LOG_NAME))
    seconds: list[float] = []
    for _ in range(3):
        began = time.process_time()
        made_manifest(clickhouse, LOG, origin, "2026-09-21", first, first + MANIFEST_EVENTS)
        seconds.append(time.process_time() - began)
    each_us = statistics.median(seconds) / MANIFEST_EVENTS * 1_000_000
    print(f"{'manifest of a day':<40} {each_us:.2f} µs an event here")


def _print(what: str, run: Callable[[], object]) -> None:
    wall: list[float] = []
    cpu: list[float] = []
    for _ in range(ROUNDS):
        began, began_cpu = time.perf_counter(), time.process_time()
        run()
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - began_cpu)
    print(
        f"{what:<40} {statistics.median(wall) * 1000:.1f} ms, of which {statistics.median(cpu) * 1000:.1f} ms here"
    )


def _fill(clickhouse: ClickHouse, key: FileSigner, owner: FileSigner) -> list[AuditEvent]:
    events = [
        AuditEvent(type="message_sent", session_id=f"s-{at % 9}", data={"text": "x" * 400, "n": at})
        for at in range(BLOCK)
    ]
    first = BLOCK_AT * BLOCK
    digests = [sha256(each.record).digest() for each in events]
    block = root_of([hash_of_leaf(1, AT_MS, digest) for digest in digests])
    level = [
        block if at == BLOCK_AT else sha256(b"%d" % at).digest() for at in range(LEAVES // BLOCK)
    ]
    tree = _nodes(clickhouse, level)
    _insert_leaves(clickhouse, first, digests)
    _insert_rows(clickhouse, first, events)
    note = note_signed(
        Checkpoint(str(LOG.origin(LOG_NAME)), LEAVES, tree.root()).text,
        key,
        str(LOG.origin(LOG_NAME)),
    )
    now_ms = round(dt.datetime.now(dt.UTC).timestamp() * 1000)
    row = {
        **LOG.parameters,
        "size": LEAVES,
        "roots": tree.roots,
        "checkpoint": note,
        "written_at": now_ms,
    }
    clickhouse.insert(LOG_CHECKPOINTS.block({name: [value] for name, value in row.items()}))
    log_key = LogKey(public_key=base64.b64encode(key.public_key).decode())
    policy = Policy(log_name=LOG_NAME, version=1, log_keys=(log_key,))
    store_policy(clickhouse, policy, note_signed(policy.text, owner, owner_name(LOG_NAME)))
    return events[:EVENTS]


def _nodes(clickhouse: ClickHouse, lowest: Sequence[bytes]) -> CompactRange:
    """Store the nodes of every 8th level over those of level 8; return the tree."""
    at_level, hashes = 8, list(lowest)
    roots: list[bytes] = []
    while hashes:
        if at_level % 8 == 0:
            count = len(hashes)
            columns = {name: [value] * count for name, value in LOG.parameters.items()}
            columns |= {"level": [at_level] * count, "node_index": list(range(count))}
            clickhouse.insert(LOG_NODES.block({**columns, "hash": hashes}))
        if len(hashes) & 1:
            roots.append(hashes[-1])
        hashes = [node_hash(*hashes[at : at + 2]) for at in range(0, len(hashes) - 1, 2)]
        at_level += 1
    return CompactRange(LEAVES, roots[::-1])


def _insert_leaves(clickhouse: ClickHouse, first: int, digests: Sequence[bytes]) -> None:
    count = len(digests)
    columns = {name: [value] * count for name, value in LOG.parameters.items()}
    columns |= {
        "kafka_offset": [first + at for at in range(count)],
        "kind": [1] * count,
        "appended_ms": [AT_MS] * count,
        "digest": list(digests),
    }
    clickhouse.insert(LOG_LEAVES.block(columns))


def _insert_rows(clickhouse: ClickHouse, first: int, events: Sequence[AuditEvent]) -> None:
    blank = {
        name: None if kind.startswith("Nullable") else "" if "String" in kind else 0
        for name, kind in EVENT_LOG.columns.items()
    }
    rows = [
        blank
        | {name: value for name, value in LOG.parameters.items() if name in blank}
        | {
            "session_id": each.session_id,
            "event_id": each.event_id,
            "record_key": sha256(each.record).digest()[:16],
            "type": each.type,
            "occurred_us": round(each.occurred_at.timestamp() * 1_000_000),
            "record": each.record,
            "kafka_offset": first + at,
            "appended_at": AT_MS,
        }
        for at, each in enumerate(events)
    ]
    clickhouse.insert(
        EVENT_LOG.block({name: [row[name] for row in rows] for name in EVENT_LOG.columns})
    )


if __name__ == "__main__":
    main()
