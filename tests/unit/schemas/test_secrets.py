"""Secrets: read from files, never shown, and sent only where their own source says."""

import os
import pickle
import socket
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import rich
from msgspec.structs import replace
from rich.console import Console
from rich.pretty import pretty_repr

from trailhouse.producer import ProducerConfig
from trailhouse.query import ReaderConfig
from trailhouse.redaction.config import RedactionConfig
from trailhouse.schemas import KafkaConfig
from trailhouse.schemas.errors import ConfigError
from trailhouse.schemas.secret_destinations import is_loopback
from trailhouse.schemas.settings import SETTINGS
from trailhouse.store import ClickHouseConfig

SECRETS = [declared for declared in SETTINGS.values() if declared.is_secret]
PARTS = {
    "kafka": KafkaConfig,
    "clickhouse": ClickHouseConfig,
    "reader": ReaderConfig,
    "redaction": RedactionConfig,
}
LONG = "a" * 32
SASL: dict[str, Any] = {
    "security_protocol": "sasl_ssl",
    "sasl_mechanism": "PLAIN",
    "sasl_username": "u",
}
TOKEN: dict[str, Any] = {
    "security_protocol": "sasl_ssl",
    "sasl_mechanism": "OAUTHBEARER",
    "sasl_oauthbearer_client_id": "u",
}
CLIENT: dict[str, Any] = {
    "sasl_oauthbearer_client_secret": "hunter2",
    "sasl_oauthbearer_token_endpoint_url": "https://id/token",
}
CLEAR: dict[str, Any] = SASL | {"security_protocol": "sasl_plaintext", "sasl_password": "hunter2"}


def test_every_secret_is_known() -> None:
    """Each setting whose name says that it is a secret is declared as one."""
    named = [
        each
        for each in SETTINGS
        if each.endswith(("_PASSWORD", "_SECRET", "_TOKEN", "_REDACTION_KEY"))
    ]
    assert [each.variable for each in SECRETS] == named


@pytest.mark.parametrize("declared", SECRETS, ids=lambda each: each.variable)
@pytest.mark.parametrize(
    ("content", "secret"),
    [(f"{LONG} b\n", f"{LONG} b"), (f"{LONG}\r\n", LONG), (f"{LONG}\n\n", f"{LONG}\n")],
)
def test_a_secret_is_read_from_its_file(
    declared: Any, content: str, secret: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`…_FILE` names a file with the secret; one line's end is not part of it."""
    (tmp_path / "secret").write_bytes(content.encode())
    monkeypatch.setenv(declared.file_variable, str(tmp_path / "secret"))
    config = PARTS[declared.section]()

    assert getattr(config, declared.key) == secret
    (tmp_path / "secret").unlink()
    assert getattr(config, declared.key) == secret


def test_a_secret_and_its_file_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to know which of the two wins."""
    monkeypatch.setenv("TRAILHOUSE_KAFKA_SASL_PASSWORD", "hunter2")
    monkeypatch.setenv("TRAILHOUSE_KAFKA_SASL_PASSWORD_FILE", "/run/secrets/kafka")
    with pytest.raises(ConfigError) as caught:
        KafkaConfig()

    assert str(caught.value) == (
        "TRAILHOUSE_KAFKA_SASL_PASSWORD and TRAILHOUSE_KAFKA_SASL_PASSWORD_FILE are both given;"
        " unset one of them"
    )


@pytest.mark.parametrize(
    ("kind", "rule"),
    [
        ("missing", "cannot be read: No such file or directory"),
        ("folder", "must name a regular file"),
        ("pipe", "must name a regular file"),
        ("endless", "must name a regular file"),
        ("large", "has more than 65536 bytes"),
        ("empty", "is empty"),
        ("line", "is empty"),
        ("bytes", "is not UTF-8 text"),
    ],
)
def test_a_file_that_holds_no_secret_is_one_line(
    kind: str, rule: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be a secret's file is told at once, without its content; a pipe holds up nobody."""
    path = tmp_path / kind
    content = {"large": b"x" * 70_000, "empty": b"", "line": b"\n", "bytes": b"hunter2\xff"}
    if kind in content:
        path.write_bytes(content[kind])
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "endless":
        path.symlink_to("/dev/zero")
    monkeypatch.setenv("TRAILHOUSE_CLICKHOUSE_PASSWORD_FILE", str(path))
    with pytest.raises(ConfigError) as caught:
        ClickHouseConfig()

    assert rule in str(caught.value)
    assert "TRAILHOUSE_CLICKHOUSE_PASSWORD_FILE" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_secrets_are_never_shown() -> None:
    """No way of printing a configuration, or the options made from it, shows a secret."""
    kafka = KafkaConfig(
        **TOKEN,
        sasl_password="hunter2-a",
        ssl_key_password="hunter2-b",
        sasl_oauthbearer_client_secret="hunter2-c",
        sasl_oauthbearer_token_endpoint_url="https://id/token",
    )
    clickhouse = ClickHouseConfig(password="hunter2-d", ssl_key_password="hunter2-e")
    shown = StringIO()
    console = Console(file=shown, width=200)
    for each in (kafka, clickhouse, ProducerConfig(kafka=kafka), kafka.client_options()):
        shown.write(f"{each!r} {each} {[each]} {pretty_repr(each)}")
        rich.inspect(each, console=console, all=True)
    shown.write(repr([getattr(kafka, each.key) for each in SECRETS if each.section == "kafka"]))

    assert "hunter2" not in shown.getvalue()
    assert kafka.client_options()["sasl.oauthbearer.client.secret"] == "hunter2-c"
    assert pickle.loads(pickle.dumps(clickhouse)).password == "hunter2-d"


@pytest.mark.parametrize("declared", SECRETS, ids=lambda each: each.variable)
def test_errors_do_not_show_a_secret(declared: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong setting beside a secret is told without it."""
    monkeypatch.setenv(declared.variable, "hunter2")
    wrong = {
        "kafka": ("TOPIC", "not a name"),
        "clickhouse": ("DATABASE", "not a name"),
        "reader": ("BUDGET_SECONDS", "0"),
        "redaction": ("MODE", "nonsense"),
    }
    name, value = wrong[declared.section]
    monkeypatch.setenv(f"TRAILHOUSE_{declared.section.upper()}_{name}", value)
    with pytest.raises(ConfigError) as caught:
        PARTS[declared.section]()

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("variables", "file", "told"),
    [
        (
            {"CLICKHOUSE_PASSWORD": "x"},
            "[clickhouse]\nurl = 'https://other:8443'\n",
            "clickhouse.password is given by the environment, but clickhouse.url,"
            " which decides where it goes, by the file of TRAILHOUSE_CONFIG_FILE:"
            " give TRAILHOUSE_CLICKHOUSE_URL too, or both by the file of TRAILHOUSE_CONFIG_FILE",
        ),
        (
            {"CLICKHOUSE_PASSWORD": "x", "CLICKHOUSE_URL": "https://right"},
            "[clickhouse]\nssl_ca_location = '/etc/hosts'\n",
            "give TRAILHOUSE_CLICKHOUSE_SSL_CA_LOCATION too",
        ),
        (
            {"CLICKHOUSE_PASSWORD": "x", "CLICKHOUSE_URL": "http://right"},
            "[clickhouse]\nallow_unencrypted_credentials = true\n",
            "give TRAILHOUSE_CLICKHOUSE_ALLOW_UNENCRYPTED_CREDENTIALS too",
        ),
        (
            {"KAFKA_SASL_PASSWORD": "x"},
            "[kafka]\nbootstrap_servers = 'other:9092'\n",
            "give TRAILHOUSE_KAFKA_BOOTSTRAP_SERVERS too",
        ),
        (
            {"KAFKA_SASL_OAUTHBEARER_CLIENT_SECRET": "x"},
            "[kafka]\nsasl_oauthbearer_token_endpoint_url = 'https://other/token'\n",
            "give TRAILHOUSE_KAFKA_SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL too",
        ),
        (
            {"KAFKA_SASL_OAUTHBEARER_CLIENT_SECRET": "x"},
            "[kafka]\nbootstrap_servers = 'other:9092'\n",
            "give TRAILHOUSE_KAFKA_BOOTSTRAP_SERVERS too",
        ),
    ],
)
def test_a_secret_goes_only_where_its_own_source_says(
    variables: dict[str, str],
    file: str,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A settings file cannot lead a secret of the environment to a server of its own choice."""
    (tmp_path / "settings.toml").write_text(file)
    monkeypatch.setenv("TRAILHOUSE_CONFIG_FILE", str(tmp_path / "settings.toml"))
    for name, text in variables.items():
        monkeypatch.setenv(f"TRAILHOUSE_{name}", text)
    section = "clickhouse" if "[clickhouse]" in file else "kafka"
    with pytest.raises(ConfigError) as caught:
        PARTS[section]()

    assert told in str(caught.value)


def test_a_secrets_file_is_the_environments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret of `…_FILE` is bound as one of the environment; the settings file cannot name such a file."""
    (tmp_path / "settings.toml").write_text("[clickhouse]\nurl = 'https://other'\n")
    (tmp_path / "secret").write_text("hunter2")
    monkeypatch.setenv("TRAILHOUSE_CONFIG_FILE", str(tmp_path / "settings.toml"))
    monkeypatch.setenv("TRAILHOUSE_CLICKHOUSE_PASSWORD_FILE", str(tmp_path / "secret"))
    with pytest.raises(ConfigError, match="give TRAILHOUSE_CLICKHOUSE_URL too"):
        ClickHouseConfig()
    (tmp_path / "settings.toml").write_text(
        f"[clickhouse]\nurl = 'https://other'\npassword_file = '{tmp_path / 'secret'}'\n"
    )
    monkeypatch.delenv("TRAILHOUSE_CLICKHOUSE_PASSWORD_FILE")
    with pytest.raises(ConfigError, match="did you mean TRAILHOUSE_CLICKHOUSE_PASSWORD_FILE"):
        ClickHouseConfig()


def test_a_secret_of_the_program_is_not_led_by_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A secret that is given in code goes to an address that is given in code, or the default one."""
    monkeypatch.setenv("TRAILHOUSE_CLICKHOUSE_URL", "https://other")
    with pytest.raises(ConfigError, match=r"given in code, but clickhouse\.url.* give url= there"):
        ClickHouseConfig(password="hunter2")
    assert ClickHouseConfig(password="hunter2", url="https://right").url == "https://right"


def test_a_stronger_source_may_lead_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who runs the program may send the file's secret elsewhere, and the program both."""
    (tmp_path / "settings.toml").write_text(
        "[clickhouse]\nurl = 'https://one'\npassword = 'hunter2'\n"
    )
    monkeypatch.setenv("TRAILHOUSE_CONFIG_FILE", str(tmp_path / "settings.toml"))
    assert ClickHouseConfig().url == "https://one"
    monkeypatch.setenv("TRAILHOUSE_CLICKHOUSE_URL", "https://two")
    assert ClickHouseConfig().url == "https://two"
    three = replace(ClickHouseConfig(), url="https://three")
    assert (three.url, three.password) == ("https://three", "hunter2")


@pytest.mark.parametrize(
    ("part", "fields"),
    [
        (ClickHouseConfig, {"url": "http://10.0.0.1:8123", "password": "hunter2"}),
        (ClickHouseConfig, {"url": "http://[fd00::1]:8123", "password": "hunter2"}),
        (ClickHouseConfig, {"url": "http://127.0.0.1.example.org", "password": "hunter2"}),
        (KafkaConfig, CLEAR | {"bootstrap_servers": "127.0.0.1:9092,kafka:9092"}),
        (KafkaConfig, CLEAR | {"sasl_mechanism": "SCRAM-SHA-512", "bootstrap_servers": "[fd00::1]:9092"}),
        (KafkaConfig, CLEAR | TOKEN | CLIENT | {"security_protocol": "SASL_PLAINTEXT", "bootstrap_servers": "kafka"}),
        (KafkaConfig, TOKEN | CLIENT | {"sasl_oauthbearer_token_endpoint_url": "http://id/token"}),
    ],
)  # fmt: skip
def test_nothing_secret_crosses_the_network_in_the_clear(
    part: type, fields: dict[str, Any]
) -> None:
    """A log-in that others could read is refused, with the way out, unless it was asked for."""
    with pytest.raises(
        ConfigError, match=r"in the clear; encrypt .*_ALLOW_UNENCRYPTED_CREDENTIALS=true$"
    ):
        part(**fields)

    assert part(**fields, allow_unencrypted_credentials=True) is not None


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost", "127.9.9.9"])
def test_this_machine_needs_no_encryption(host: str) -> None:
    """What does not leave the machine may be plain."""
    assert ClickHouseConfig(url=f"http://{host}:8123", password="x").password == "x"
    assert KafkaConfig(**CLEAR, bootstrap_servers=f"{host}:9092").sasl_password == "hunter2"


@pytest.mark.parametrize(
    ("addresses", "is_ours"),
    [
        (["127.0.0.1", "::1"], True),
        (["127.0.0.1", "10.0.0.1"], False),
        (["10.0.0.1"], False),
        ([], False),
    ],
)
def test_localhost_is_what_it_resolves_to(
    addresses: list[str], is_ours: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name is this machine only where each of its addresses is."""
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *_, **__: [(0, 0, 0, "", (each, 0)) for each in addresses]
    )
    assert is_loopback("localhost") is is_ours


def test_kafkas_own_spelling_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protocols and mechanisms are written as Kafka's documents do, or as librdkafka's."""
    monkeypatch.setenv("TRAILHOUSE_KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("TRAILHOUSE_KAFKA_SASL_MECHANISM", "scram-sha-512")
    config = KafkaConfig(sasl_username="u", sasl_password="p")

    options = config.client_options()
    assert (options["security.protocol"], options["sasl.mechanism"]) == (
        "sasl_ssl",
        "SCRAM-SHA-512",
    )


@pytest.mark.parametrize(
    ("part", "fields", "rule"),
    [
        (KafkaConfig, {"ssl_ca_location": "/nowhere"}, r"kafka\.ssl_ca_location: must be a file"),
        (KafkaConfig, {"security_protocol": "ssl", "ssl_certificate_location": __file__}, "must be given"),
        (KafkaConfig, {"ssl_certificate_location": __file__, "ssl_key_location": __file__}, "must be ssl or sasl_ssl"),
        (KafkaConfig, TOKEN, "token_endpoint_url: must be given for OAUTHBEARER"),
        (KafkaConfig, TOKEN | {"sasl_oauthbearer_token_endpoint_url": "https://u:p@id/token"}, "without user"),
        (KafkaConfig, TOKEN | {"sasl_oauthbearer_token_endpoint_url": "http://[::1]other/token"}, "without user"),
        (KafkaConfig, SASL | {"sasl_mechanism": "MD5"}, "must be one of PLAIN, SCRAM-SHA-256"),
        (ClickHouseConfig, {"ssl_ca_location": __file__}, r"clickhouse\.url: must be https"),
        (ClickHouseConfig, {"url": "https://h", "ssl_key_location": __file__}, "given together with"),
        (ClickHouseConfig, {"url": "https://h:99999"}, "must be like http://host:8123"),
        (ClickHouseConfig, {"url": "https://h?x=y"}, "must be like http://host:8123"),
    ],
)  # fmt: skip
def test_what_cannot_work_together_is_refused(
    part: type, fields: dict[str, Any], rule: str
) -> None:
    """A certificate without its key, or where nothing is encrypted, is told before any connection."""
    with pytest.raises(ConfigError, match=rule):
        part(**fields)
