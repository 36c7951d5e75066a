"""What is in the wheel, what a base install can do, and which names are public."""

import ast
import importlib.metadata
import os
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.packaging

ROOT = Path(__file__).parents[2]
PARTS = {
    "schemas": ["schemas"],
    "producer": ["producer", "redaction"],
    "consumer": [
        "access",
        "api",
        "cli",
        "consumer",
        "devstack",
        "mcp",
        "operate",
        "query",
        "store",
    ],
}


def source_files() -> set[str]:
    """Return every file of the three roots as the wheel should name it."""
    found: set[str] = set()
    for root in PARTS:
        for path in (ROOT / root / "trailhouse").rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                found.add(path.relative_to(ROOT / root).as_posix())
    return found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel as pip does."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(folder), str(ROOT)], check=True, timeout=120)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def base_install(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that holds what a plain `pip install .` brings: us, confluent-kafka, msgspec, google-re2."""
    folder = tmp_path_factory.mktemp("base")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    site = Path(sysconfig.get_paths()["purelib"])
    platform_site = Path(sysconfig.get_paths()["platlib"])
    for name in ("confluent_kafka", "msgspec", "re2", "confluent_kafka.libs"):
        for parent in {site, platform_site}:
            if (parent / name).exists():
                (folder / name).symlink_to(parent / name)
    return folder


def run_with_base(base_install: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run *code* where nothing but the base install can be imported."""
    # What waits in the user's own spool is not this test's to send.
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(base_install),
        "XDG_STATE_HOME": str(base_install / "state"),
    }
    return subprocess.run(
        [sys.executable, "-S", "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_wheel_holds_every_file_and_no_other(wheel: Path) -> None:
    """The wheel has exactly the files of the three roots, py.typed in each part, and no namespace file."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}

    assert names == source_files()
    assert "trailhouse/__init__.py" not in names
    for parts in PARTS.values():
        for part in parts:
            assert {f"trailhouse/{part}/__init__.py", f"trailhouse/{part}/py.typed"} <= names


def test_a_base_install_needs_three_packages(base_install: Path) -> None:
    """With confluent-kafka, msgspec and google-re2 alone the producer is imported and makes events."""
    code = "from trailhouse.producer import AuditLogger, ProducerConfig, telemetry; print(AuditLogger().is_enabled)"
    result = run_with_base(base_install, code)

    assert (result.returncode, result.stdout.strip(), result.stderr) == (0, "True", "")


def test_without_google_re2_secrets_are_taken_out_and_it_is_said_so(base_install: Path) -> None:
    """Where there is no wheel of it, Python's `re` does the same, and the log says so at the start."""
    code = (
        "import sys; sys.modules['re2'] = None; from trailhouse.producer.testing import InMemoryAuditLogger;"
        "audit = InMemoryAuditLogger(); audit.log('a.b', session_id='s', data={'password': 'x-1'});"
        "print(audit.events[0].data)"
    )
    result = run_with_base(base_install, code)

    assert result.stdout.strip() == "{'password': '[REDACTED:password]'}"
    assert result.stderr.count("google-re2 is not installed") == 1


@pytest.mark.parametrize("command", ["--help", "worker", "log s", "demo", "dev"])
def test_a_missing_extra_is_named(base_install: Path, command: str) -> None:
    """A command whose extra is missing says which to install, in one line."""
    words = ["trailhouse", *command.split()]
    code = (
        f"import sys; sys.argv = {words!r}; from trailhouse.cli.main import main; sys.exit(main())"
    )
    result = run_with_base(base_install, code)

    assert result.returncode == 1, result.stderr
    assert "pip install 'trailhouse[cli]'" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr


@pytest.mark.parametrize(
    "command", ["status", "account", "reconcile", "log s", "sessions", "quarantine list"]
)
def test_what_reads_needs_no_worker(command: str) -> None:
    """With the extra `cli` alone, each command that reads gets as far as asking for its servers."""
    words = ["trailhouse", *command.split()]
    code = (
        "import sys; sys.modules |= dict.fromkeys(['faust', 'mode', 'prometheus_client', 'chdb', 'jgo', 'aiohttp']);"
        f"sys.argv = {words!r}; from trailhouse.cli.main import main; sys.exit(main())"
    )
    nowhere = {
        "PATH": os.environ["PATH"],
        "TRAILHOUSE_CLICKHOUSE_URL": "http://127.0.0.1:1",
        "TRAILHOUSE_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    }

    done = subprocess.run(
        [sys.executable, "-c", code], env=nowhere, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert "does not answer" in done.stdout + done.stderr
    assert "pip install" not in done.stderr


def test_the_metadata_says_what_is_needed() -> None:
    """The base needs three packages, and every extra of the documents exists."""
    metadata = importlib.metadata.metadata("trailhouse")
    base = [entry for entry in metadata.get_all("Requires-Dist") or [] if "extra ==" not in entry]

    assert sorted(entry.split(">")[0].strip() for entry in base) == [
        "confluent-kafka",
        "google-re2",
        "msgspec",
    ]
    assert set(metadata.get_all("Provides-Extra") or []) == {
        "all",
        "api",
        "arrow",
        "claude-agent",
        "cli",
        "crewai",
        "devstack",
        "google-adk",
        "langchain",
        "litellm",
        "mcp",
        "openai-agents",
        "otel",
        "pandas",
        "polars",
        "proof",
        "timestamp",
        "query",
        "s3",
        "sql",
        "worker",
    }


def test_the_pins_have_hashes_and_no_addresses() -> None:
    """constraints.txt pins each package once for a Python, with hashes, and names no server."""
    text = (ROOT / "constraints.txt").read_text()
    pins = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]

    assert "://" not in text
    assert all("==" in pin for pin in pins)
    assert text.count("--hash=sha256:") >= len(pins)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    pinned = {pin.split("==")[0].split("[")[0] for pin in pins}
    for requirement in project["project"]["dependencies"]:
        assert requirement.split(">")[0] in pinned


def test_every_module_says_what_it_is_for() -> None:
    """Each module opens with one line that says what it is for."""
    for name in sorted(source_files()):
        if name.endswith(".py"):
            [path] = [ROOT / root / name for root in PARTS if (ROOT / root / name).exists()]
            first_line = (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]
            assert len(first_line) > 20, f"{path} does not say what it is for"
            assert first_line.endswith((".", ":")), f"{path}: {first_line}"


QUESTIONS_THAT_ABORT = {
    "describe_cluster",
    "describe_consumer_groups", "list_consumer_group_offsets", "alter_consumer_group_offsets",
    "delete_consumer_groups", "list_consumer_groups", "list_offsets",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(name for name in source_files() if name.endswith(".py")))
def test_no_module_asks_what_may_abort_its_process(name: str) -> None:
    """Some of the admin client's questions abort the process when a broker dies (librdkafka 4605) or starts."""
    [path] = [ROOT / root / name for root in PARTS if (ROOT / root / name).exists()]
    asked = {
        node.attr
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
    }
    assert not asked & QUESTIONS_THAT_ABORT, f"expected another question, in {name}"
