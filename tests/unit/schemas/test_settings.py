"""Where settings come from, and what a wrong one gets."""

from pathlib import Path
from typing import Any

import pytest

from trailhouse.consumer import WorkerConfig
from trailhouse.producer import ProducerConfig
from trailhouse.schemas import KafkaConfig
from trailhouse.schemas.errors import ConfigError
from trailhouse.schemas.setting_table import SETTING_KEYS
from trailhouse.schemas.settings import SETTINGS


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run each test in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def name_file(monkeypatch: pytest.MonkeyPatch, folder: Path, content: str) -> None:
    """Write a settings file and name it, as a user does."""
    (folder / "settings.toml").write_text(content)
    monkeypatch.setenv("TRAILHOUSE_CONFIG_FILE", str(folder / "settings.toml"))


def test_given_before_environment_before_file_before_default(
    empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is given wins over the environment, that over the file, that over the default."""
    assert KafkaConfig().topic == "trailhouse.events"
    name_file(monkeypatch, empty_folder, '[kafka]\ntopic = "from-file"\npartitions = 3\n')
    assert KafkaConfig().topic == "from-file"
    monkeypatch.setenv("TRAILHOUSE_KAFKA_TOPIC", "from-environment")
    assert KafkaConfig().topic == "from-environment"
    assert KafkaConfig(topic="given").topic == "given"
    assert KafkaConfig().partitions == 3
    assert ProducerConfig().kafka.topic == "from-environment"


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("1", True), ("false", False), ("0", False)]
)
def test_truth_values_mean_what_they_say(
    text: str, value: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The word false is false."""
    monkeypatch.setenv("TRAILHOUSE_PRODUCER_ENABLED", text)

    assert ProducerConfig().enabled is value


@pytest.mark.parametrize(
    ("variable", "text", "rule"),
    [
        ("TRAILHOUSE_PRODUCER_ENABLED", "maybe", "must be true or false"),
        ("TRAILHOUSE_PRODUCER_ENABLED", "", "must be true or false"),
        ("TRAILHOUSE_PRODUCER_QUEUE_EVENTS", "many", "must be a whole number"),
        ("TRAILHOUSE_PRODUCER_QUEUE_EVENTS", "0", "from 1 to"),
        ("TRAILHOUSE_PRODUCER_LINGER_SECONDS", "nan", "from 0 to 900"),
        ("TRAILHOUSE_KAFKA_TOPIC", "a b", "letters, digits"),
        ("TRAILHOUSE_KAFKA_SECURITY_PROTOCOL", "tls", "one of plaintext, ssl"),
        ("TRAILHOUSE_PRODUCER_CLOSE_TIMEOUT_SECONDS", "inf", "from 0 to 86400"),
        ("TRAILHOUSE_KAFKA_BOOTSTRAP_SERVERS", "not a host", "host:port"),
        ("TRAILHOUSE_KAFKA_BOOTSTRAP_SERVERS", "a:9092,,b:9092", "host:port"),
        ("TRAILHOUSE_KAFKA_TOPICS", "x", "did you mean TRAILHOUSE_KAFKA_TOPIC?"),
    ],
)
def test_a_wrong_setting_is_named(
    variable: str, text: str, rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong or unknown setting is refused by name, with what is allowed."""
    monkeypatch.setenv(variable, text)
    with pytest.raises(ConfigError) as caught:
        ProducerConfig()

    assert rule in str(caught.value)
    assert variable.split("_", 2)[2].lower() in str(caught.value).lower()


@pytest.mark.parametrize("given", ["a", "a:1", "a.b:9092, [::1]:9092", "127.0.0.1:9092,b:1"])
def test_addresses_are_hosts_with_or_without_a_port(given: str) -> None:
    """A broker's address is a name, an IPv4 or a bracketed IPv6 address."""
    assert KafkaConfig(bootstrap_servers=given).bootstrap_servers == given


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"enabled": "false"}, "producer.enabled: must be true or false, got str"),
        ({"queue_events": "5"}, "producer.queue_events: must be a whole number, got str"),
        ({"queue_events": True}, "producer.queue_events: must be a whole number, got bool"),
        ({"linger_seconds": None}, "producer.linger_seconds: must be a number, got NoneType"),
        ({"kafka": {"topic": "t"}}, "producer.kafka: must be a KafkaConfig"),
    ],
)
def test_what_is_given_in_code_is_checked_too(fields: dict[str, Any], rule: str) -> None:
    """A value of the wrong type is refused by name; the text "false" would be true."""
    with pytest.raises(ConfigError, match=rule):
        ProducerConfig(**fields)


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({}, "sasl_mechanism: must be given"),
        ({"sasl_mechanism": "PLAIN", "sasl_username": "u"}, "sasl_password: must be given"),
        ({"sasl_mechanism": "PLAIN", "sasl_password": "p"}, "sasl_username: must be given"),
    ],
)
def test_sasl_without_what_it_needs_is_refused(fields: dict[str, Any], rule: str) -> None:
    """A log-in that cannot succeed is a wrong setting, told before any connection."""
    with pytest.raises(ConfigError, match=rule):
        KafkaConfig(security_protocol="sasl_ssl", **fields)


def test_the_settings_of_another_part_are_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """One environment serves all parts: a worker's variable does not stop a producer."""
    monkeypatch.setenv("TRAILHOUSE_WORKER_BATCH_ROWS", "7")

    assert ProducerConfig().enabled is True
    assert WorkerConfig().batch_rows == 7


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (
            "[kafka]\ntopics = 'x'\n",
            r"unknown setting \[kafka\] topics .*did you mean \[kafka\] topic",
        ),
        ("[kafka]\npartitions = 'three'\n", "must be a whole number"),
        ("topic = 'x'\n", "outside a section"),
        ("[kafak]\ntopic = 'x'\n", r"did you mean \[kafka\] topic"),
        ("[kafka\n", r"cannot be read: it is not TOML: at line 1, column 7"),
        ("[clickhouse]\npassword = hunter2\n", r"not TOML: at line 2, column 12$"),
    ],
)
def test_a_wrong_file_is_named(
    content: str, rule: str, empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong key, value or form of the settings file is refused with its place."""
    name_file(monkeypatch, empty_folder, content)
    with pytest.raises(ConfigError, match=rule):
        KafkaConfig()


def test_a_named_file_must_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    """A settings file that is asked for and missing is an error."""
    monkeypatch.setenv("TRAILHOUSE_CONFIG_FILE", "elsewhere.toml")
    with pytest.raises(ConfigError, match=r"elsewhere\.toml, which does not exist"):
        KafkaConfig()


def test_a_file_of_the_working_directory_is_not_read(empty_folder: Path) -> None:
    """What lies in the folder where a program happens to start changes nothing, nor does it stop it."""
    (empty_folder / "trailhouse.toml").write_text("[producer]\nenabled = false\n[kafka\n")

    assert ProducerConfig().enabled is True


def test_every_setting_says_what_it_does() -> None:
    """Every setting has a text for the documents, and a section of the table."""
    for name, setting in SETTINGS.items():
        assert setting.text.endswith((".", "…")), name
        assert setting.section in SETTING_KEYS, name
