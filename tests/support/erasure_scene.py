"""A proven log of two people, to be erased from, with an operator who may order."""

import base64
from pathlib import Path

import pytest

from cluster import Cluster
from trailhouse.cli.main import main
from trailhouse.proof.keys import create_key_file, note_signed
from trailhouse.proof.policy import owner_name
from trailhouse.proof.policy_changes import first_policy, with_operator
from trailhouse.schemas import Actor, AuditEvent, KafkaConfig
from trailhouse.store import ClickHouse, ClickHouseConfig
from trailhouse.store.policies import store_policy
from verified_log import NAME, VerifiedLog

SECRET = "lovelace@example.org lives at 12 Byron Street"
TABLES = ("event_log", "event_index", "event_usage", "event_quarantine")


def an_event(session: str, actor: str, text: str, type: str = "token_usage_updated") -> bytes:
    """Return the record of an event that says *text*, and counts tokens."""
    return AuditEvent(
        type=type,
        session_id=session,
        tenant_id="acme",
        run_id=f"run of {actor}",
        actor=Actor(type="user", id=actor),
        data={"text": text, "input_tokens": 7, "tool_name": f"tool of {actor}"},
    ).record


class Scene:
    """A proven log of two people, with an operator who may order, and the settings of the commands."""

    def __init__(self, config: ClickHouseConfig, folder: Path) -> None:
        self.log = VerifiedLog(config)
        self.folder = folder
        self.operator = create_key_file(folder / "alice.pem")
        policy = first_policy(NAME, self.log.key.public_key)
        for each in (policy, with_operator(policy, "alice", self.operator.public_key)):
            store_policy(
                self.log.clickhouse, each, note_signed(each.text, self.log.owner, owner_name(NAME))
            )
        self.ada = [
            an_event("s-1", "lovelace", SECRET),
            an_event("s-1", "lovelace", "more", "tool_called"),
        ]
        self.bob = [an_event("s-1", "bob", "hello"), an_event("s-2", "bob", "again")]
        self.bad = f"no event: {SECRET}".encode()
        self.log.append([*self.ada, *self.bob])
        self.log.append([self.bad, b"another"], partition=1)

    @property
    def storage(self) -> ClickHouse:
        """A connection to the log's database."""
        return self.log.clickhouse

    @property
    def who(self) -> list[str]:
        """The options that name the operator."""
        key = str(self.folder / "alice.pem")
        return ["--operator", "alice", "--operator-key", key, "--reason", "request 12"]

    def erase(self, *arguments: str) -> int:
        """Run `trailhouse erase`, with an operator and without a question; return its exit code."""
        certificate = str(self.folder / "certificate")
        return main(["erase", *arguments, *self.who, "--yes", "--certificate", certificate])

    def holding(self, text: str) -> dict[str, int]:
        """Return how many rows of each table hold *text* in any column, where there are some."""
        found = {
            table: sum(
                text in str(row) for row in self.storage.query(f"SELECT * FROM {table}").rows
            )
            for table in TABLES
        }
        return {table: count for table, count in found.items() if count}

    def numbers(self, table: str) -> list[tuple[object, ...]]:
        """Return what must stay of each row of *table*."""
        columns = "session_id, tenant_id, record_key, type, occurred_us"
        return self.storage.query(f"SELECT {columns} FROM {table} ORDER BY {columns}").rows


def scene_of(
    cluster: Cluster,
    kafka: KafkaConfig,
    database: ClickHouseConfig,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Scene:
    """Return a log to be erased from, and set the variables of its commands; *kafka* is told of erasures."""
    for name, value in cluster.environment(database=database.database).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TRAILHOUSE_KAFKA_TOPIC", kafka.topic)  # where erasures are told
    made = Scene(database, folder)
    monkeypatch.setenv("TRAILHOUSE_PROOF_LOG_NAME", NAME)
    monkeypatch.setenv(
        "TRAILHOUSE_PROOF_OWNER_KEY", base64.b64encode(made.log.owner.public_key).decode()
    )
    monkeypatch.chdir(folder)
    return made
