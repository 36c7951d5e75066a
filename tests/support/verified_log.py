"""A small log that is proven as the worker proves it, by keys of its own, to be tampered with."""

import base64
import datetime as dt
from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from trailhouse.broker.origin import Origin
from trailhouse.consumer.batch.blocks import event_block
from trailhouse.consumer.batch.rows import Coordinates, EventRows, envelope_of, event_columns
from trailhouse.operate.verify.registry import DUTIES
from trailhouse.operate.verify.report import Report
from trailhouse.operate.verify.verifying import verify
from trailhouse.proof.checkpoint import Checkpoint
from trailhouse.proof.config import ProofConfig
from trailhouse.proof.keys import FileSigner, note_signed
from trailhouse.proof.leaf import hash_of_leaf
from trailhouse.proof.merkle import CompactRange
from trailhouse.proof.origin import LogOrigin
from trailhouse.proof.policy import LogKey, Policy, owner_name
from trailhouse.schemas.record_hash import record_hash
from trailhouse.store import ClickHouse, ClickHouseConfig
from trailhouse.store.policies import store_policy
from trailhouse.store.tables import EVENT_INCIDENTS, EVENT_QUARANTINE, LOG_CHECKPOINTS, LOG_LEAVES

NAME = "audit.example.org/agents"
CLUSTER, TOPIC, TOPIC_ID = "cluster-1", "trailhouse.events", "dG9waWMtMQ"
START_MS = 1_760_000_000_000
DUTIES_OF_ROWS = tuple(duty for duty in DUTIES if 3 <= duty.number <= 7)
_ORIGIN = Origin(CLUSTER, TOPIC, TOPIC_ID)


class VerifiedLog:
    """A database with one policy, and partitions that grow by `append`."""

    def __init__(self, config: ClickHouseConfig) -> None:
        self.config = config
        self.clickhouse = ClickHouse(config)
        self.owner = FileSigner(Ed25519PrivateKey.generate())
        self.key = FileSigner(Ed25519PrivateKey.generate())
        self.trees: dict[int, CompactRange] = {}
        policy = Policy(
            log_name=NAME,
            version=1,
            log_keys=(LogKey(public_key=base64.b64encode(self.key.public_key).decode()),),
        )
        store_policy(
            self.clickhouse, policy, note_signed(policy.text, self.owner, owner_name(NAME))
        )

    @property
    def proof(self) -> ProofConfig:
        """The settings of an auditor who has pinned the owner."""
        pin = base64.b64encode(self.owner.public_key).decode()
        return ProofConfig(log_name=NAME, owner_key=pin)

    def append(
        self,
        records: Sequence[bytes | None],
        partition: int = 0,
        *,
        holes_before: int = 0,
        records_a_ms: int = 1,
    ) -> range:
        """Store *records*, which are events, as they follow in *partition*, prove and sign them."""
        tree = self.trees.setdefault(partition, CompactRange())
        if holes_before:
            self.store_holes(tree.size, tree.size + holes_before - 1, partition)
        tree.extend_holes(holes_before)
        offsets = range(tree.size, tree.size + len(records))
        times = [START_MS + offset // records_a_ms for offset in offsets]
        self.store_rows(records, list(offsets), times, partition)
        self.store_leaves(records, list(offsets), times, partition)
        tree.extend(
            [
                hash_of_leaf(2 if record is None else 1, at_ms, record_hash(record or b""))
                for record, at_ms in zip(records, times, strict=True)
            ]
        )
        self.sign(partition)
        return offsets

    def store_rows(
        self,
        records: Sequence[bytes | None],
        offsets: Sequence[int],
        times: Sequence[int],
        partition: int = 0,
    ) -> None:
        """Store rows of the log for those of *records* that are events, and of quarantine for the others."""
        rows = EventRows()
        bad = []
        events = []
        for record, offset, at_ms in zip(records, offsets, times, strict=True):
            try:
                events.append((envelope_of(record), record or b"", offset, at_ms))
            except Exception:  # noqa: BLE001 - whatever is no event
                bad.append((record, offset, at_ms))
        if events:
            envelopes, some, places, at = map(list, zip(*events, strict=True))
            keys = [record_hash(record)[:16] for record in some]
            coordinates = Coordinates([partition] * len(some), places, at)
            rows.extend(event_columns(envelopes, some, keys, coordinates))
            self.clickhouse.insert(event_block(_ORIGIN, rows))
        for record, offset, at_ms in bad:
            self.store_quarantined(record, offset, at_ms, partition)

    def store_holes(self, first: int, last: int, partition: int = 0) -> None:
        """Store why these offsets have no record."""
        self.clickhouse.insert(
            EVENT_INCIDENTS.block(
                {
                    **_place(1, partition),
                    "first_offset": [first],
                    "last_offset": [last],
                    "kind": ["no_record"],
                    "detail": ["a transaction's marker"],
                    "worker_version": ["1"],
                    "noticed_at": [START_MS],
                }
            )
        )

    def store_quarantined(
        self, record: bytes | None, offset: int, at_ms: int, partition: int = 0
    ) -> None:
        """Store one record in quarantine."""
        self.clickhouse.insert(
            EVENT_QUARANTINE.block(
                {
                    **_place(1, partition),
                    "kafka_offset": [offset],
                    "appended_at": [at_ms],
                    "last_offset": [offset],
                    "size_bytes": [len(record or b"")],
                    "record_hash": [record_hash(record or b"")],
                    "key": [None],
                    "record": [record],
                    "headers": [[]],
                    "reason": ["record: is none"],
                    "worker_version": ["1"],
                    "quarantined_at": [at_ms],
                }
            )
        )

    def store_leaves(
        self,
        records: Sequence[bytes | None],
        offsets: Sequence[int],
        times: Sequence[int],
        partition: int = 0,
    ) -> None:
        """Store the leaves of *records*."""
        self.clickhouse.insert(
            LOG_LEAVES.block(
                {
                    **_place(len(offsets), partition),
                    "generation": ["1"] * len(offsets),
                    "kafka_offset": offsets,
                    "kind": [2 if record is None else 1 for record in records],
                    "appended_ms": times,
                    "digest": [record_hash(record or b"") for record in records],
                }
            )
        )

    def sign(
        self,
        partition: int = 0,
        *,
        tree: CompactRange | None = None,
        signer: FileSigner | None = None,
    ) -> str:
        """Store and return a signed checkpoint of *partition* as it is now, or of another *tree*."""
        tree = tree or self.trees[partition]
        origin = str(LogOrigin(NAME, TOPIC, TOPIC_ID, partition))
        content = note_signed(
            Checkpoint(origin, tree.size, tree.root()).text, signer or self.key, origin
        )
        self.clickhouse.insert(
            LOG_CHECKPOINTS.block(
                {
                    **_place(1, partition),
                    "generation": ["1"],
                    "size": [tree.size],
                    "roots": [tree.roots],
                    "checkpoint": [content],
                    "written_at": [int(dt.datetime.now(dt.UTC).timestamp() * 1_000)],
                }
            )
        )
        return content

    def attack(self, sql: str) -> None:
        """Run *sql* as an administrator of ClickHouse would; mutations are waited for."""
        self.clickhouse.command(sql)

    def verify(self, **options: object) -> Report:
        """Return what an auditor finds by the duties that look at leaves and rows."""
        given = {"proof": self.proof, "duties": DUTIES_OF_ROWS, **options}
        return verify(self.clickhouse, **given)  # type: ignore[arg-type]  # by name

    def found(self, **options: object) -> set[tuple[str, str]]:
        """Return duty and kind of what an auditor finds."""
        return {(each.duty, each.kind) for each in self.verify(**options).findings}


def _place(rows: int, partition: int) -> dict[str, Sequence[object]]:
    return {
        "kafka_cluster": [CLUSTER] * rows,
        "kafka_topic": [TOPIC] * rows,
        "kafka_topic_id": [TOPIC_ID] * rows,
        "kafka_partition": [partition] * rows,
    }
