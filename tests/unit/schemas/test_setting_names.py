"""Which names are refused, which are warned of, and which are Kubernetes' own."""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from trailhouse.consumer import WorkerConfig
from trailhouse.producer import ProducerConfig
from trailhouse.schemas import KafkaConfig, setting_names
from trailhouse.schemas.errors import ConfigError
from trailhouse.schemas.kubernetes_variables import is_made_by_kubernetes
from trailhouse.schemas.setting_table import SECRET_KEYS, SETTING_KEYS
from trailhouse.schemas.settings import SETTINGS, setting
from trailhouse.store import ClickHouseConfig

SERVICES = {
    "TRAILHOUSE": "tcp://10.96.0.7:6066",
    "TRAILHOUSE_WORKER": "tcp://10.96.0.8:6066",
    "TRAILHOUSE_WORKER_WEB": "udp://[fd00::7]:6066",
    "TRAILHOUSE_KAFKA": "tcp://10.96.0.9:9092",
    "TRAILHOUSE_CLICKHOUSE": "tcp://10.96.0.10:8123",
    "TRAILHOUSE_PRODUCER_SPOOL": "sctp://10.96.0.11:80",
    "TRAILHOUSE_CONFIG": "tcp://10.96.0.12:80",
}


@pytest.fixture(autouse=True)
def nothing_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Warn anew in each test."""
    monkeypatch.setattr(setting_names, "warned_of", set())


def of_service(name: str, address: str) -> Iterator[tuple[str, str]]:
    """Yield what Kubernetes puts into a container for one Service with one named port."""
    protocol, _, rest = address.partition("://")
    host, _, port = rest.rpartition(":")
    yield f"{name}_SERVICE_HOST", host.strip("[]")
    yield f"{name}_SERVICE_PORT", port
    yield f"{name}_SERVICE_PORT_HTTP_WEB", port
    yield f"{name}_PORT", address
    base = f"{name}_PORT_{port}_{protocol.upper()}"
    yield base, address
    yield f"{base}_PROTO", protocol
    yield f"{base}_PORT", port
    yield f"{base}_ADDR", host.strip("[]")


def make_all_parts() -> None:
    """Make the settings of every part, as a program that holds all of them does."""
    ProducerConfig()
    WorkerConfig()
    ClickHouseConfig()


def test_the_table_of_names_is_what_the_parts_declare() -> None:
    """Every name in it is a setting of a part, with or without a secret, and no part has another."""
    assert {(each.section, each.key) for each in SETTINGS.values()} == {
        (section, key) for section, keys in SETTING_KEYS.items() for key in keys
    }
    assert {(each.section, each.key) for each in SETTINGS.values() if each.is_secret} == SECRET_KEYS


def test_a_setting_outside_the_table_is_not_declared() -> None:
    """A part cannot have a setting that the other parts would take for a mistake."""
    with pytest.raises(ValueError, match="table"):
        setting("producer", "modes", "durable", "What is written.")
    with pytest.raises(ValueError, match="table"):
        setting("kafka", "topic", "", "A secret.", is_secret=True)


def test_a_process_knows_the_settings_of_parts_that_it_has_not() -> None:
    """What a producer's settings file says of the worker is no mistake there."""
    program = (
        "import logging; logging.basicConfig(); from trailhouse.producer import ProducerConfig;"
        "import sys; ProducerConfig(); assert 'trailhouse.consumer' not in sys.modules"
    )
    environment = os.environ | {"TRAILHOUSE_WORKER_WEB_PORT": "0", "TRAILHOUSE_WORKER_WEB_PRT": "0"}
    ran = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert "TRAILHOUSE_WORKER_WEB_PRT" in ran.stderr
    assert "TRAILHOUSE_WORKER_WEB_PORT is not" not in ran.stderr


@pytest.mark.parametrize("service", SERVICES)
def test_variables_of_a_service_are_not_ours(
    service: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A Service of any of our names stops nobody, sets nothing, and is not warned of."""
    for name, text in of_service(service, SERVICES[service]):
        monkeypatch.setenv(name, text)
    make_all_parts()

    assert WorkerConfig().web_port == 6066
    assert KafkaConfig().bootstrap_servers == "127.0.0.1:9092"
    assert caplog.records == []


def test_no_setting_has_a_name_that_kubernetes_makes() -> None:
    """The names that are told by themselves, without their values, are none of ours."""
    assert [name for name in SETTINGS if is_made_by_kubernetes(name, "7")] == []


@pytest.mark.parametrize("text", ["7000", "10.0.0.1:6066", "http://10.0.0.1:6066", ""])
def test_a_port_that_kubernetes_would_not_give_is_a_mistake(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that ends in `_PORT` is a Service's only with a Service's address."""
    monkeypatch.setenv("TRAILHOUSE_WORKER_PORT", text)

    with pytest.raises(ConfigError, match="did you mean TRAILHOUSE_WORKER_WEB_PORT"):
        WorkerConfig()


def test_our_port_is_a_number_or_a_services_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """The web port is taken from its variable, unless a Service of that name has overwritten it."""
    monkeypatch.setenv("TRAILHOUSE_WORKER_WEB_PORT", "7000")
    assert WorkerConfig().web_port == 7000
    monkeypatch.setenv("TRAILHOUSE_WORKER_WEB_PORT", "tcp:7000")
    with pytest.raises(ConfigError, match="TRAILHOUSE_WORKER_WEB_PORT: must be a whole number"):
        WorkerConfig()


@pytest.mark.parametrize(
    ("variable", "part", "nearest"),
    [
        ("TRAILHOUSE_PRODUCER_QUEUE_SIZE_EVENTS", ProducerConfig, "PRODUCER_QUEUE_EVENTS"),
        ("TRAILHOUSE_PRODUCER_ENABLE", ProducerConfig, "PRODUCER_ENABLED"),
        ("TRAILHOUSE_WORKER_BATCHROWS", WorkerConfig, "WORKER_BATCH_ROWS"),
        ("TRAILHOUSE_KAFKA_SASL_PASWORD", ProducerConfig, "KAFKA_SASL_PASSWORD"),
        ("TRAILHOUSE_KAFKA_SASL_PASSWORD_FIEL", KafkaConfig, "KAFKA_SASL_PASSWORD_FILE"),
        ("TRAILHOUSE_KAFKA_SECURTIY_PROTOCOL", KafkaConfig, "KAFKA_SECURITY_PROTOCOL"),
        ("TRAILHOUSE_CLICKHOUSE_PASSWORDS", ClickHouseConfig, "CLICKHOUSE_PASSWORD"),
        ("TRAILHOUSE_CLICKHOUSE_YRL", ClickHouseConfig, "CLICKHOUSE_URL"),
    ],
)
def test_a_mistake_dies_with_the_nearest_name(
    variable: str, part: type, nearest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part refuses what is meant for it: any unknown name of its own, and one letter's slip in a shared one."""
    monkeypatch.setenv(variable, "hunter2")
    with pytest.raises(ConfigError) as caught:
        part()

    assert str(caught.value) == f"unknown setting {variable}; did you mean TRAILHOUSE_{nearest}?"


@pytest.mark.parametrize(
    "variable",
    [
        "TRAILHOUSE_KAFKA_CLIENT_RACK",
        "TRAILHOUSE_CLICKHOUSE_REPLICA_URLS",
        "TRAILHOUSE_WORKER_MAX_RECORD_SHARE",
    ],
)
def test_what_a_newer_version_may_have_is_warned_of_once(
    variable: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An older producer goes on beside a setting it does not know, and says so once, without the value."""
    monkeypatch.setenv(variable, "hunter2")
    for _ in range(3):
        ProducerConfig()

    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        f"{variable} is not a setting of this version, and has no effect"
    )


def test_a_newer_key_of_the_settings_file_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The file's names are judged as the environment's are; a section that is not there yet, too."""
    path = tmp_path / "settings.toml"
    path.write_text("[kafka]\nclient_rack = 'a'\n[reader]\npage = 5\n[worker]\nnew = 1\n")
    monkeypatch.setenv("TRAILHOUSE_CONFIG_FILE", str(path))
    ProducerConfig()

    told = [record.getMessage().partition(" in ")[0] for record in caplog.records]
    assert told == ["[kafka] client_rack", "[reader] page", "[worker] new"]
    with pytest.raises(ConfigError, match=r"unknown setting \[worker\] new in "):
        WorkerConfig()


def test_names_that_are_not_ours_are_let_be(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What begins with our name and with no section of ours belongs to somebody else."""
    monkeypatch.setenv("TRAILHOUSE_HOME", "/opt/trailhouse")
    monkeypatch.setenv("TRAILHOUSE_VERSION", "7")
    make_all_parts()

    assert caplog.records == []
