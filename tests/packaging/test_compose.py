"""docker-compose.yml: it agrees with the code and with itself, and gives no container more than it needs."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
import yaml

from trailhouse.cli.reference import commands
from trailhouse.consumer import WorkerConfig
from trailhouse.proof.config import ProofConfig
from trailhouse.schemas import KafkaConfig
from trailhouse.schemas.settings import SETTINGS, setting_variables
from trailhouse.store import ClickHouseConfig

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
OURS = ("init", "worker")
ROLES = ("init", "worker", "reader", "auditor")
PASSWORDS = {f"{role.upper()}_PASSWORD" for role in ROLES}
REQUIRED = r"\$\{(\w+):\?[^}]+\}"


def users() -> dict[str, ET.Element]:
    """Return the users that ClickHouse gets."""
    root = ET.parse(ROOT / "compose" / "clickhouse-users.xml").getroot()  # noqa: S314 - our own file
    found = root.find("users")
    assert found is not None
    return {user.tag: user for user in found}


@pytest.mark.parametrize("name", OURS)
def test_the_settings_exist(name: str) -> None:
    """Every TRAILHOUSE_ name is a setting, its value is legal, and the password goes to this user alone."""
    assert set(re.findall(r"TRAILHOUSE_[A-Z_]+", TEXT)) <= set(setting_variables())
    fields: dict[str, dict[str, Any]] = {"kafka": {}, "clickhouse": {}, "worker": {}, "proof": {}}
    for variable, value in SERVICES[name]["environment"].items():
        declared = SETTINGS[variable]
        unset = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)
        fields[declared.section][declared.key] = declared.kind(unset)
    KafkaConfig(**fields["kafka"])
    clickhouse = ClickHouseConfig(**fields["clickhouse"])
    assert WorkerConfig(**fields["worker"]).web_port == 6066
    assert clickhouse.user == f"trailhouse_{name}"
    proof = ProofConfig(**fields["proof"])
    assert proof.log_name
    # In the volume that `init` may write to, where it makes the key, and the worker may not.
    assert Path(proof.key_file).parent == Path(SERVICES[name]["volumes"][0].split(":")[1])
    assert SERVICES[name]["volumes"][0].endswith(":ro") is (name == "worker")
    assert re.fullmatch(REQUIRED, clickhouse.password)
    assert clickhouse.password.startswith(f"${{{name.upper()}_PASSWORD:?")


def test_it_runs_our_commands() -> None:
    """Each service of ours runs a command of the command line, after what it needs."""
    known = {path for path, _ in commands()}
    ours = {name for name, each in SERVICES.items() if each["image"].startswith("trailhouse:")}

    assert ours == set(OURS)
    for name in OURS:
        assert f"trailhouse {SERVICES[name]['command'][0]}" in known
    assert SERVICES["worker"]["depends_on"]["init"] == {
        "condition": "service_completed_successfully"
    }


def test_addresses_agree() -> None:
    """Our addresses are those that the servers listen on."""
    environment = SERVICES["worker"]["environment"]
    kafka = SERVICES["kafka"]["environment"]

    assert (
        f"INSIDE://{environment['TRAILHOUSE_KAFKA_BOOTSTRAP_SERVERS']}"
        in kafka["KAFKA_ADVERTISED_LISTENERS"]
    )
    assert environment["TRAILHOUSE_CLICKHOUSE_URL"] == "http://clickhouse:8123"


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_gets_no_more_than_it_needs(name: str) -> None:
    """No capability, no new privilege, nothing to write to but its data and memory, and limits of everything."""
    service = SERVICES[name]

    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert all("size=" in each for each in service["tmpfs"])
    assert service["mem_limit"] == service["memswap_limit"]
    assert service["pids_limit"] > 0
    assert service["cpus"] > 0
    assert not {"network_mode", "pid", "userns_mode", "devices"} & service.keys()
    assert service.get("user", "") not in ("0", "root", "0:0")
    assert "healthcheck" in service or name == "init"


@pytest.mark.parametrize("name", SERVICES)
def test_nothing_is_open_to_other_machines(name: str) -> None:
    """Each port is published on the loopback address, and nothing of this machine but named files is mounted."""
    service = SERVICES[name]

    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    volumes = set(yaml.safe_load(TEXT)["volumes"])
    for mount in service.get("volumes", []):
        source, _, rest = mount.partition(":")
        assert source in volumes or ((ROOT / source).is_file() and rest.endswith(":ro")), mount


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned(name: str) -> None:
    """Each image has a version, and takes a digest from outside; how to get one is said above."""
    image = SERVICES[name]["image"]
    if name in OURS:
        assert re.search(r"FROM python:\d+\.\d+\.\d+-slim\$\$\{PYTHON_DIGEST\}", TEXT)
    else:
        assert re.fullmatch(r"[\w/-]+:[\d.]+\d\$\{[A-Z]+_DIGEST:-\}", image), image
    assert "docker buildx imagetools inspect" in TEXT


def test_no_password_is_known_beforehand() -> None:
    """Every password must be given, has no default, and none stands in a file of ours."""
    environment = SERVICES["clickhouse"]["environment"]
    given = {name: value for name, value in environment.items() if name.endswith("_PASSWORD")}
    assert given.keys() == PASSWORDS
    for name, value in given.items():
        found = re.fullmatch(REQUIRED, value)
        assert found is not None
        assert found[1] == name
    assert not re.search(r"PASSWORD:?-", TEXT)
    assert environment["CLICKHOUSE_SKIP_USER_SETUP"] == "1"
    assert "CLICKHOUSE_DEFAULT_ACCESS_MANAGEMENT" not in environment
    assert ".env" in (ROOT / ".gitignore").read_text().split()


def test_each_role_has_the_documented_grants_and_no_more() -> None:
    """ClickHouse's users are the roles of docs/cluster.md with their grants; `default` is gone."""
    document = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    found = users()
    assert found.pop("default").get("remove") == "remove"
    assert found.keys() == {f"trailhouse_{role}" for role in ROLES}
    for role in ROLES:
        user = found[f"trailhouse_{role}"]
        grants = [each.text for each in user.iterfind("grants/query")]
        documented = re.findall(rf"^(GRANT .*) TO trailhouse_{role};$", document, re.MULTILINE)
        assert grants == documented
        assert grants != []
        password = user.find("password")
        assert password is not None
        assert password.attrib == {"from_env": f"{role.upper()}_PASSWORD"}
        assert user.find("access_management") is None
