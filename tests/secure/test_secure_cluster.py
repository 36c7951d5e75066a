"""Every part as a user of its own, on three brokers with TLS and ACLs and on ClickHouse behind TLS."""

import contextlib
import re
import subprocess
import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from certificates import KEY_PASSWORD, Authority, Identity
from command_line import PROGRAM, environment, run_command
from free_ports import free_port, free_ports
from secure_kafka import PASSWORDS, TOPIC, SecureKafka, documented_acls, secure_kafka
from tls_front import TlsFront, tls_front
from token_endpoint import CLIENT_ID, CLIENT_SECRET, Signer, token_endpoint
from trailhouse.broker.admin import KafkaAdmin
from trailhouse.devstack import DevStack
from trailhouse.producer import AuditLogger, ProducerConfig
from trailhouse.query import AuditReader
from trailhouse.schemas import KafkaConfig
from trailhouse.schemas.errors import BrokerRejectedError, DeliveryRejectedError
from trailhouse.schemas.settings import SETTINGS
from trailhouse.store import ClickHouseConfig
from waiting import eventually
from worker_process import Worker

pytestmark = pytest.mark.cluster

EVENTS = b'{"type":"message_sent","session_id":"by-cli"}\n' * 3


ROLES = ("init", "producer", "worker", "operator")
ACLS = {role: documented_acls(role) for role in ROLES}


@dataclass(frozen=True)
class Secured:
    """The cluster, ClickHouse behind `front`, and a folder with a file for each secret."""

    kafka: SecureKafka
    front: TlsFront
    clickhouse_user: str
    own: Identity
    folder: Path

    def clickhouse(self, **fields: Any) -> ClickHouseConfig:
        """Return settings that reach ClickHouse over TLS, with our own certificate."""
        given: dict[str, Any] = {
            "url": self.front.url,
            "user": self.clickhouse_user,
            "password": (self.folder / "clickhouse").read_text(),
            "ssl_ca_location": str(self.kafka.authority.ca),
            "ssl_certificate_location": str(self.own.certificate),
            "ssl_key_location": str(self.own.encrypted_key),
            "ssl_key_password": KEY_PASSWORD,
        }
        return ClickHouseConfig(**given | fields)

    def settings(self, role: str, **fields: Any) -> dict[str, str]:
        """Return the variables of a command that runs as *role*, every secret by its file."""
        kafka, clickhouse = self.kafka.config(role, **fields), self.clickhouse()
        variables: dict[str, str] = {}
        for declared in SETTINGS.values():
            config = {"kafka": kafka, "clickhouse": clickhouse}.get(declared.section)
            value = getattr(config, declared.key, declared.default)
            if value == declared.default:
                continue
            variables[declared.variable] = str(value)
            if declared.is_secret:
                path = self.folder / f"{role}-{declared.key}-{uuid.uuid4().hex[:6]}"
                path.write_text(f"{variables.pop(declared.variable)}\n")
                variables[declared.file_variable] = str(path)
        variables["TRAILHOUSE_PRODUCER_SPOOL_DIR"] = str(self.folder / "spool")
        return variables

    def worker(self, **fields: Any) -> Worker:
        """Start a worker as its own user."""
        variables = self.settings("worker", **fields) | {
            "TRAILHOUSE_WORKER_WEB_PORT": str(free_port()),
            "TRAILHOUSE_WORKER_SESSION_TIMEOUT_SECONDS": "6",
        }
        folder = self.folder / "worker"
        folder.mkdir(exist_ok=True)
        return Worker([*PROGRAM, "worker"], environment(variables), folder)


@pytest.fixture(scope="module")
def signer() -> Signer:
    """Return the key that tokens are signed with."""
    return Signer()


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory, signer: Signer) -> Iterator[Secured]:
    """Start everything, give each role its documented ACLs, and make topic and tables as `init`."""
    folder = tmp_path_factory.mktemp("secured")
    authority = Authority(folder / "certificates")
    with ExitStack() as stack:
        brokers = folder / "kafka"
        brokers.mkdir()
        kafka = stack.enter_context(secure_kafka(brokers, authority, signer.jwks))
        dev = DevStack(folder / "clickhouse-data", ports=free_ports(), parts=("clickhouse",))
        variables = stack.enter_context(dev).environment()
        (folder / "clickhouse").write_text(variables["TRAILHOUSE_CLICKHOUSE_PASSWORD"])
        server, own = authority.identity("clickhouse"), authority.identity("trailhouse-producer")
        url = variables["TRAILHOUSE_CLICKHOUSE_URL"]
        front = stack.enter_context(tls_front(url, server, client_ca=authority.ca))
        kafka.grant(each for acls in ACLS.values() for each in acls)
        made = Secured(kafka, front, variables["TRAILHOUSE_CLICKHOUSE_USER"], own, folder)
        told: list[str] = []

        def is_made() -> bool:  # the brokers learn of ACLs one after the other
            done = run_command("init", settings=made.settings("init"))
            told.append(done.stderr.decode())
            return done.returncode == 0

        eventually(is_made, f"init by the documented ACLs: {told}")
        yield made


@pytest.fixture(scope="module")
def worker(secured: Secured) -> Iterator[Worker]:
    """Return a worker that runs by the documented ACLs."""
    started = secured.worker()
    try:
        started.wait_until_ready()
        yield started
    finally:
        started.kill()


def one_line(told: "subprocess.CompletedProcess[bytes]") -> str:
    """Return the one line of an error, which shows no secret."""
    text = told.stderr.decode()
    assert told.returncode == 1, text
    errors = [line for line in text.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, text
    assert not [each for each in (*PASSWORDS.values(), KEY_PASSWORD, CLIENT_SECRET) if each in text]
    return errors[0]


def log_events(config: KafkaConfig, folder: Path, session: str, count: int = 20) -> list[str]:
    """Log *count* events, wait for the broker, and return their ids."""
    with AuditLogger(ProducerConfig(kafka=config, spool_dir=str(folder))) as audit:
        ids = [audit.log("message_sent", session_id=session).event_id for _ in range(count)]  # type: ignore[union-attr]
        audit.flush(30)
    return ids


def wait_stored(secured: Secured, session: str, ids: list[str]) -> None:
    """Wait until a reader sees exactly *ids*, in order."""
    with AuditReader(config=secured.clickhouse()) as reader:

        def seen() -> bool:
            found = [event.event_id for event in reader.get_audit_log(session)]
            assert len(found) == len(set(found)), "expected no event twice"
            return len(found) >= len(ids)

        eventually(seen, f"{len(ids)} events of {session} stored", 60)
        assert [event.event_id for event in reader.get_audit_log(session)] == ids


def test_every_command_works_by_the_documented_acls(secured: Secured, worker: Worker) -> None:
    """Producer, worker, reader and the operator's commands need what docs/cluster.md lists, and no more."""
    told = run_command("emit", settings=secured.settings("producer"), stdin=EVENTS)
    assert told.returncode == 0, told.stderr.decode()
    worker.wait_for("records_stored_total", 3)
    operator = secured.settings("operator")
    for command in ("status", "reconcile", "account", "replay"):
        told = run_command(command, settings=operator)
        assert told.returncode == 0, f"{command}: {told.stdout.decode()} {told.stderr.decode()}"
    reader = {name: text for name, text in operator.items() if "KAFKA" not in name}
    told = run_command("log", "by-cli", "--format", "jsonl", settings=reader)
    assert told.returncode == 0, told.stderr.decode()
    assert len(told.stdout.splitlines()) == 3
    assert worker.health()[0] == 200


@pytest.mark.parametrize(
    ("role", "command"),
    [("init", "init"), ("producer", "emit"), ("operator", "reconcile")],
)
def test_a_wrong_password_is_one_line(secured: Secured, role: str, command: str) -> None:
    """Each command says that the log-in is refused, and which settings decide it."""
    told = run_command(
        *(["emit", "--timeout-seconds", "8"] if command == "emit" else [command]),
        settings=secured.settings(role, sasl_password="not hunter2"),
        stdin=EVENTS,
    )
    assert re.search(r"SASL|security", one_line(told))


@pytest.mark.parametrize(("role", "command"), [("init", "init"), ("operator", "reconcile")])
def test_an_authority_that_is_not_trusted_is_one_line(
    secured: Secured, role: str, command: str, tmp_path: Path
) -> None:
    """A broker with a certificate of somebody else gets no password, and the setting is named."""
    ca = str(Authority(tmp_path / "other").ca)
    told = run_command(command, settings=secured.settings(role, ssl_ca_location=ca))
    assert "refuses the connection (_SSL)" in one_line(told)


def test_a_producer_that_is_refused_says_so_on_its_receipt(
    secured: Secured, tmp_path: Path
) -> None:
    """A wrong password and an untrusted authority are told while the event waits, safe in its spool."""
    other = str(Authority(tmp_path / "other").ca)
    for number, wrong in enumerate(({"sasl_password": "nope"}, {"ssl_ca_location": other})):
        config = secured.kafka.config("producer", **wrong)
        audit = AuditLogger(ProducerConfig(kafka=config, spool_dir=str(tmp_path / str(number))))
        receipt = audit.log("message_sent", session_id="refused")
        assert receipt is not None
        with pytest.raises(DeliveryRejectedError, match="TRAILHOUSE_KAFKA_SECURITY_PROTOCOL"):
            receipt.result(20)
        with contextlib.suppress(DeliveryRejectedError):
            audit.close(0)


@pytest.mark.parametrize(
    ("role", "command", "kind", "operation"),
    [
        ("init", "init", "TOPIC", "CREATE"),
        ("init", "init", "TOPIC", "DESCRIBE_CONFIGS"),
        ("producer", "emit", "TOPIC", "WRITE"),
        ("operator", "reconcile", "GROUP", "DESCRIBE"),
        ("operator", "replay", "TOPIC", "READ"),
    ],
)
def test_a_missing_acl_is_one_line(
    secured: Secured, role: str, command: str, kind: str, operation: str
) -> None:
    """A command without one of its ACLs ends with one line that names the refusal; with it, it works."""
    [missing] = [each for each in ACLS[role] if (each.kind, each.operation) == (kind, operation)]
    # `init` finds a topic that is there already, unless it is another.
    topic = f"{TOPIC}.other" if operation == "CREATE" else TOPIC
    settings = secured.settings(role, topic=topic)
    words = ["emit", "--timeout-seconds", "8"] if command == "emit" else [command]
    secured.kafka.revoke([missing])
    try:
        refused: list[subprocess.CompletedProcess[bytes]] = []

        def is_refused() -> bool:  # the brokers learn of it one after the other
            refused.append(run_command(*words, settings=settings, stdin=EVENTS))
            return refused[-1].returncode != 0

        eventually(is_refused, f"{command} without {operation} refused")
    finally:
        secured.kafka.grant([missing])
    assert re.search("permission|rights", one_line(refused[-1]))


def test_a_worker_without_an_acl_says_so(secured: Secured) -> None:
    """A worker that may not read is up, not ready, and says why on /health."""
    worker = secured.worker(
        sasl_username="trailhouse-nobody", sasl_password=PASSWORDS["trailhouse-nobody"]
    )
    try:
        eventually(
            lambda: "AUTHORIZATION" in str(worker.health()[1]) or worker.process.poll(), "a refusal"
        )
        told = str(worker.health()[1]) + worker.log
        assert "AUTHORIZATION" in told
        assert PASSWORDS["trailhouse-nobody"] not in told
    finally:
        worker.kill()


def test_a_broker_that_is_killed_under_load_costs_nothing(
    secured: Secured, worker: Worker, tmp_path: Path
) -> None:
    """With three replicas, of which two acknowledge, a killed broker loses and doubles no event."""
    config = ProducerConfig(kafka=secured.kafka.config("producer"), spool_dir=str(tmp_path))
    logged: dict[str, list[str]] = {f"killed-{number}": [] for number in range(12)}
    is_over = threading.Event()

    def load(audit: AuditLogger) -> None:
        while not is_over.wait(0.001):
            for session, ids in logged.items():
                receipt = audit.log("message_sent", session_id=session, data={"n": len(ids)})
                assert receipt is not None
                ids.append(receipt.event_id)

    victim = secured.kafka.leaders()[0]
    with AuditLogger(config) as audit:
        thread = threading.Thread(target=load, args=(audit,))
        thread.start()
        try:
            eventually(lambda: audit.stats().acknowledged_total > 500, "events under way")
            secured.kafka.kill(victim)
            eventually(lambda: victim not in secured.kafka.leaders().values(), "new leaders", 60)
            before = audit.stats().acknowledged_total
            eventually(
                lambda: audit.stats().acknowledged_total > before + 500, "events by two brokers", 60
            )
        finally:
            is_over.set()
            thread.join()
        audit.flush(60)
    try:
        for session, ids in logged.items():
            wait_stored(secured, session, ids)
        assert worker.process.poll() is None
    finally:
        secured.kafka.start(victim)


def test_a_certificate_logs_in(secured: Secured, worker: Worker, tmp_path: Path) -> None:
    """Where brokers ask for a certificate its common name is the user; its key may be encrypted."""
    session = f"mutual-{uuid.uuid4().hex[:6]}"
    config = secured.kafka.mutual_config(
        secured.own, ssl_key_location=str(secured.own.encrypted_key), ssl_key_password=KEY_PASSWORD
    )
    wait_stored(secured, session, log_events(config, tmp_path, session))
    stranger = secured.kafka.authority.identity("trailhouse-nobody")
    with (
        KafkaAdmin(secured.kafka.mutual_config(stranger)) as admin,
        pytest.raises(BrokerRejectedError, match="TOPIC_AUTHORIZATION_FAILED"),
    ):
        admin.topic()
    nothing = secured.kafka.mutual_config(
        secured.own, ssl_certificate_location="", ssl_key_location=""
    )
    with KafkaAdmin(nothing) as admin, pytest.raises(BrokerRejectedError, match="SASL settings"):
        admin.topic()


def token_config(secured: Secured, url: str, **fields: Any) -> KafkaConfig:
    """Return settings that log in by a token of *url*."""
    given: dict[str, Any] = {
        "sasl_mechanism": "OAUTHBEARER",
        "sasl_username": "",
        "sasl_password": "",
        "sasl_oauthbearer_token_endpoint_url": f"{url}/token",
        "sasl_oauthbearer_client_id": CLIENT_ID,
        "sasl_oauthbearer_client_secret": CLIENT_SECRET,
        "sasl_oauthbearer_scope": "audit",
        "sasl_oauthbearer_ca_location": str(secured.kafka.authority.ca),
    }
    return secured.kafka.config("producer", **given | fields)


def test_a_token_logs_in(secured: Secured, worker: Worker, signer: Signer, tmp_path: Path) -> None:
    """OAUTHBEARER fetches a token over TLS and logs in with it, and the brokers check its signature."""
    session = f"token-{uuid.uuid4().hex[:6]}"
    identity = secured.kafka.authority.identity("tokens")
    with token_endpoint(signer) as (plain, asked), tls_front(plain, identity) as front:
        config = token_config(secured, front.url)
        wait_stored(secured, session, log_events(config, tmp_path, session))
        assert set(asked) == {"audit"}
    with token_endpoint(Signer()) as (plain, _), tls_front(plain, identity) as front:
        forged = token_config(secured, front.url)
        with KafkaAdmin(forged) as admin, pytest.raises(BrokerRejectedError, match="SASL"):
            admin.topic()


def test_a_token_endpoint_that_points_elsewhere_is_not_followed(
    secured: Secured, signer: Signer
) -> None:
    """The client secret goes to the address of the settings alone."""
    with (
        token_endpoint(signer) as (elsewhere, came),
        token_endpoint(signer, redirect=f"{elsewhere}/token") as (url, asked),
    ):
        config = token_config(secured, url, sasl_oauthbearer_ca_location="")
        with (
            KafkaAdmin(config, timeout_seconds=5) as admin,
            pytest.raises(BrokerRejectedError, match="SASL settings"),
        ):
            admin.topic()
        assert asked
        assert came == []


def test_clickhouse_behind_tls_refuses_whom_it_does_not_know(secured: Secured) -> None:
    """Without our certificate, or without trust in the server's, no statement is sent."""
    seen = len(secured.front.requests)
    settings = secured.settings("operator")
    for name in ("SSL_CERTIFICATE_LOCATION", "SSL_KEY_LOCATION", "SSL_KEY_PASSWORD_FILE"):
        del settings[f"TRAILHOUSE_CLICKHOUSE_{name}"]
    line = one_line(run_command("log", "s", settings=settings))
    assert "TRAILHOUSE_CLICKHOUSE_SSL_CERTIFICATE_LOCATION" in line
    settings = secured.settings("operator")
    del settings["TRAILHOUSE_CLICKHOUSE_SSL_CA_LOCATION"]
    line = one_line(run_command("log", "s", settings=settings))
    assert "is not trusted" in line
    assert len(secured.front.requests) == seen
