"""A topic on a real broker, loggers that seal, a worker that proves, an auditor: and an attack between them."""

import base64
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from attack_scene import OWNER
from broker_disk import BrokerDisk
from cluster import Cluster
from made_keys import made_key
from sealing_scene import Logger, claimed
from topic_attacker import Stored, TopicAttacker
from trailhouse.anchoring.configured import configured_anchorer
from trailhouse.attesting.seal_rounds import judge_seals
from trailhouse.broker.topic_identity import TopicIdentity
from trailhouse.operate.verify.registry import DUTIES
from trailhouse.operate.verify.report import Report
from trailhouse.operate.verify.verifying import verify
from trailhouse.producer import AuditLogger, ProducerConfig
from trailhouse.proof.config import ProofConfig
from trailhouse.proof.keys import (
    FileSigner,
    create_key_file,
    is_signed_by,
    note_signed,
    read_key_file,
)
from trailhouse.proof.policy import LogKey, Policy, ServiceKey, owner_name
from trailhouse.query import AuditReader
from trailhouse.schemas import AuditEvent, KafkaConfig, decode
from trailhouse.schemas.errors import DeliveryRejectedError, InvalidEventError
from trailhouse.store import ClickHouse, ClickHouseConfig
from trailhouse.store.policies import store_policy
from waiting import DEADLINE_SECONDS, eventually
from worker_process import Worker, WorkerSite

LOG = "audit.example.org/broker"
STRANGER = made_key(77)
TENANTS = {"agents": ("a", "b", ""), "tools": ("a",)}
"""The services that the policy enrols, and for whom each may write."""
REQUEST, DENIAL = "tool_approval_requested", "tool_approval_denied"


class BrokerScene:
    """What an attack is given. Its loggers have logged, and no worker has run yet."""

    def __init__(
        self, cluster: Cluster, kafka: KafkaConfig, database: ClickHouseConfig, folder: Path
    ) -> None:
        self.cluster = cluster
        self.kafka = kafka
        self.topic = TopicAttacker(kafka)
        self.clickhouse = ClickHouse(database)
        self.folder = folder
        self.site = WorkerSite(kafka, database, folder / "cwd")
        self.loggers: dict[str, AuditLogger] = {}
        self.true: dict[bytes, AuditEvent] = {}
        """What the loggers of enrolled services have logged, by the SHA-256 of its record."""
        self.on_gap = "stop"
        """What a worker does where Kafka has lost what was never stored."""
        self.loses_records = False
        """Whether the attack takes records or seals away that nobody has stored: then fewer events are attested."""
        self._logged_ids: set[str] = set()
        (folder / "cwd").mkdir()
        self._kept = folder / "anchors"
        self._kept.mkdir()
        self._log_key = self._key("log")
        self.proof = ProofConfig(
            log_name=LOG,
            key_file=str(folder / "log.key"),
            owner_key=_text(OWNER),
            anchors=f"folder:{self._kept}",
        )
        self.keys = {service: self._key(service) for service in TENANTS}
        self.policy = Policy(
            log_name=LOG,
            version=1,
            log_keys=(LogKey(public_key=_text(self._log_key)),),
            services=tuple(
                ServiceKey(service=service, public_key=_text(key), tenants=TENANTS[service])
                for service, key in self.keys.items()
            ),
        )
        note = note_signed(self.policy.text, OWNER, owner_name(LOG))
        store_policy(self.clickhouse, self.policy, note)

    def _key(self, name: str) -> FileSigner:
        path = self.folder / f"{name}.key"
        create_key_file(path)
        return read_key_file(path)

    # -- loggers

    def log_some(self) -> None:
        """Have the loggers log: a call that was denied, costs, messages of two tenants; all of it is acknowledged."""
        run: dict[str, Any] = {"tenant_id": "a", "run_id": "r"}
        call = {"approval_id": "k", "tool_name": "pay", "reason": "no"}
        for n in range(4):
            self.log("agents", session_id=f"s{n % 3}", tenant_id="ab"[n % 2], data={"n": n})
        self.log("agents", REQUEST, "s0", data=call, **run)
        self.log("agents", DENIAL, "s0", data=call, **run)
        for n in range(5):
            cost = {"input_tokens": n, "cost_usd": 0.5}
            self.log("agents", "token_usage_updated", f"s{n % 3}", data=cost, **run)
        self.log("tools", session_id="s2", data={"tool_call_id": "c"}, **run)
        for n in range(3):
            self.log("legacy", session_id="old", data={"n": n})
        self.flush()

    def log(
        self, service: str, type: str = "message_sent", session_id: str = "s0", **fields: Any
    ) -> None:
        """Have a logger log one event."""
        receipt = self.logger(service).log(type, session_id=session_id, **fields)
        assert receipt is not None
        self._logged_ids.add(receipt.event_id)

    def logger(self, service: str) -> AuditLogger:
        """Return the logger of a service, which is started where none runs."""
        if service not in self.loggers:
            key_file = str(self.folder / f"{service}.key") if service in TENANTS else ""
            self.loggers[service] = AuditLogger(
                ProducerConfig(
                    kafka=self.kafka,
                    service=service,
                    spool_dir=str(self.folder / "spools" / service),
                    seal_key_file=key_file,
                    seal_events=10,
                    linger_seconds=0.0,
                )
            )
        return self.loggers[service]

    def flush(self) -> None:
        """Wait until Kafka has all that was logged, and note what that is."""
        for logger in self.loggers.values():
            eventually(partial(_is_sent, logger), "all that was logged in Kafka")
        for each in self.topic.read():
            event = _event(each)
            if event is not None and event.event_id in self._logged_ids:
                self._logged_ids.discard(event.event_id)
                if event.source is not None and event.source.service in TENANTS:
                    self.true[sha256(each.value or b"").digest()] = event

    def close_loggers(self) -> None:
        """End the loggers: what they have logged is sealed, by last seals."""
        self.flush()
        for logger in self.loggers.values():
            logger.close()
        self.loggers.clear()

    # -- what an attacker knows

    def found(self, is_it: Callable[[AuditEvent], bool]) -> Stored:
        """Return the last record in Kafka that is an event of which *is_it* holds."""
        return [
            each
            for each in self.topic.read()
            if (event := _event(each)) is not None and is_it(event)
        ][-1]

    def denial(self) -> Stored:
        """Return the denial that somebody would rather not have."""
        return self.found(lambda event: event.type == DENIAL)

    def newest_seal(self, service: str) -> Stored:
        """Return the newest seal of a service's logger."""
        return self.found(lambda event: event.type == "audit_sealed" and _of(event) == service)

    def wait_until_sealed(self, service: str) -> None:
        """Wait until Kafka has a first seal of a service's logger: a thread of its own makes it after ten events."""
        eventually(
            lambda: any(
                event.type == "audit_sealed" and _of(event) == service
                for each in self.topic.read()
                if (event := _event(each)) is not None
            ),
            f"a seal of {service}",
        )

    def seq_of_denial(self) -> int:
        """Return the number of the denial."""
        source = decode(self.denial().value or b"").source
        assert source is not None
        assert source.seq is not None
        return source.seq

    def producer_id(self, service: str) -> str:
        """Return the name that a service's logger has given itself."""
        source = next(event.source for event in self.true.values() if _of(event) == service)
        assert source is not None
        return source.producer_id or ""

    def next_seq(self, service: str) -> int:
        """Return the number after the last that Kafka has of a service's logger."""
        seqs = [
            event.source.seq or 0
            for each in self.topic.read()
            if (event := _event(each)) is not None
            if event.source is not None and event.source.service == service
        ]
        return max(seqs) + 1

    def forged(
        self, service: str, seq: int, type: str = "tool_approval_granted", **fields: Any
    ) -> AuditEvent:
        """Return an event in the name of a service's logger, which grants what was denied."""
        given: dict[str, Any] = {
            "tenant_id": "a",
            "run_id": "r",
            "data": {"approval_id": "k", "tool_name": "pay"},
        }
        return claimed(service, self.producer_id(service), seq, type, "s0", **(given | fields))

    def twin(self, service: str, producer_id: str, key: FileSigner) -> Logger:
        """Return somebody who makes events and seals as a service's logger does, by *key*."""
        return Logger(service, producer_id, key)

    def disk(self, partition: int) -> BrokerDisk:
        """Return the files of a partition, on the broker's disk."""
        assert self.cluster.stack is not None, "expected a broker whose files are at hand"
        return BrokerDisk(self.cluster.stack, self.kafka.topic, partition)

    # -- worker and auditor

    @property
    def group(self) -> str:
        """The worker's group."""
        return f"{self.kafka.topic}-group"

    def worker(self) -> Worker:
        """Start a worker that proves."""
        return self.site.start(
            proof_log_name=LOG,
            proof_key_file=self.proof.key_file,
            proof_owner_key=self.proof.owner_key,
            worker_on_gap=self.on_gap,
        )

    def store(self) -> None:
        """Have a worker store all that Kafka gives, and end in order."""
        worker = self.worker()
        self.wait_until_stored(worker)
        assert worker.end() == 0, worker.log[-2_000:]

    def wait_until_stored(self, worker: Worker) -> None:
        """Wait until the group has committed what can be read, and what the loggers have logged of it is stored."""
        there = {sha256(each.value or b"").digest() for each in self.topic.read()}
        # What lies below a committed offset is not read again, where an attack has put it there.
        logged = there & self.true.keys() if not self.loses_records else set()

        def is_stored() -> bool:
            assert worker.process.poll() is None, worker.log[-2_000:]
            with TopicIdentity(self.kafka) as admin:
                offsets = admin.lag(self.group)
            # An offset that somebody has set, even beyond the end, says nothing of what is stored.
            if any(part.next_offset != part.readable_end for part in offsets):
                return False
            rows = self.site.rows("SELECT SHA256(record) AS digest FROM event_log", "digest")
            return bool(rows) and logged <= {bytes(digest) for (digest,) in rows}

        eventually(is_stored, "all of it stored")

    def finish(self) -> None:
        """Have the loggers go on, seal and end, a worker store what there is, and readers be told."""
        for service in [*self.loggers]:
            self.log(service, session_id="later", tenant_id="a")
        self.close_loggers()
        self.store()
        judge_seals(self.clickhouse, self.policy, is_signed_by)
        configured_anchorer(self.clickhouse, self.proof).run()

    def verify(self, *, outside: bool = True, without: frozenset[str] = frozenset()) -> Report:
        """Do every duty, with the folder that others keep or without."""
        where = self.proof.anchors if outside else ""
        return verify(
            self.clickhouse, proof=self.proof, anchors=where, without=without, duties=DUTIES
        )

    def check_standings(self) -> None:
        """Hold every attested answer and number against what the loggers have logged."""
        rows = self.clickhouse.query(
            "SELECT SHA256(record), standing = 'attested' FROM events_with_standing"
            " WHERE type != 'audit_sealed'",
            bytes_columns=("SHA256(record)",),
        ).rows
        stored = {bytes(digest) for digest, _ in rows}
        attested = {bytes(digest) for digest, is_attested in rows if is_attested}
        assert attested <= self.true.keys(), (
            "what is attested no logger of an enrolled service has logged"
        )
        if not self.loses_records:
            assert self.true.keys() <= stored, "an event that was logged is not stored"
            assert attested == self.true.keys(), "an event that was sealed is not attested"
        self._check_answers([self.true[digest] for digest in attested])

    def _check_answers(self, events: list[AuditEvent]) -> None:
        only = "standing:attested -type:audit_sealed"
        with AuditReader(config=self.clickhouse.config) as reader:
            assert reader.count(only).value == len(events)
            tokens = sum(event.data.get("input_tokens", 0) for event in events)
            books = reader.usage("standing:attested", by="agent").value.total
            assert (books.increments.input_tokens or 0) == tokens
            approvals = reader.approvals("standing:attested").value.approvals
        types = {event.type for event in events}
        expected = {"denied"} if DENIAL in types else {"open" for each in types if each == REQUEST}
        assert {each.status for each in approvals} == expected

    def close(self) -> None:
        """End what runs."""
        for logger in self.loggers.values():
            logger.close(0.0)
        self.site.close()
        self.clickhouse.close()


def _is_sent(logger: AuditLogger) -> bool:
    try:
        logger.flush(DEADLINE_SECONDS)
    except (
        DeliveryRejectedError
    ):  # a topic that is made anew is missing for a moment; nothing is given up
        return False
    return True


def _text(key: FileSigner) -> str:
    return base64.b64encode(key.public_key).decode()


def _of(event: AuditEvent) -> str:
    return (event.source.service or "") if event.source is not None else ""


def _event(stored: Stored) -> AuditEvent | None:
    try:
        return decode(stored.value or b"")
    except InvalidEventError:
        return None


@contextmanager
def a_scene(
    cluster: Cluster, kafka: KafkaConfig, database: ClickHouseConfig, folder: Path
) -> Generator[BrokerScene]:
    """Give a scene whose loggers have logged some; all of it is ended with the block."""
    with ExitStack() as ending:
        scene = BrokerScene(cluster, kafka, database, folder)
        ending.callback(scene.close)
        scene.topic.create(compression_type="uncompressed")
        scene.log_some()
        yield scene
