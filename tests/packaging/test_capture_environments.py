"""What adapters of agent frameworks weigh: nothing where they are unused, and versions that were really run."""

import ast
import importlib
import importlib.metadata
import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from capture_rules import check_runs
from trailhouse.capture.doctor.frameworks import KNOWN
from trailhouse.capture.installation import FRAMEWORKS
from trailhouse.producer.testing import InMemoryAuditLogger

pytestmark = pytest.mark.packaging

ROOT = Path(__file__).parents[2]
CAPTURE = ROOT / "producer" / "trailhouse" / "capture"
ENVIRONMENTS = ("all", "adk", "crewai", "strands")
ENVIRONMENT_OF = {"crewai": "crewai", "google_adk": "adk", "strands": "strands"}
PACKAGES = (
    "agent_framework", "agents", "anthropic", "autogen_core", "claude_agent_sdk", "crewai", "dspy", "google.adk",
    "langchain", "langchain_core", "langgraph", "litellm", "llama_index", "mcp", "openai", "opentelemetry.sdk",
    "pydantic_ai", "smolagents", "strands", "workflows",
)  # fmt: skip
LINES_OF_AN_ADAPTER = 150


def modules() -> list[str]:
    """Return every module of ours that records frameworks, by its name."""
    files = (file.relative_to(CAPTURE.parents[1]).with_suffix("") for file in CAPTURE.rglob("*.py"))
    return sorted(".".join(file.parts).removesuffix(".__init__") for file in files)


def pins(environment: str) -> dict[str, str]:
    """Return what an environment pins: distribution → version."""
    text = (ROOT / "tests" / "capture" / environment / "requirements.txt").read_text()
    return dict(re.findall(r"^([\w.-]+)==(\S+) \\$", text, re.MULTILINE))


def test_no_framework_is_imported() -> None:
    """The producer and every module of `trailhouse.capture` are imported, and no framework with them."""
    assert "trailhouse.capture.installation" in modules()
    code = (
        "import importlib, sys\n"
        f"sys.modules |= dict.fromkeys({PACKAGES!r})\n"  # importing one raises, though it were caught
        f"for name in {['trailhouse.producer', *modules()]!r}: importlib.import_module(name)\n"
        f"assert not any(sys.modules[name] for name in {PACKAGES!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_base_needs_three_packages_at_most() -> None:
    """A service that only logs installs no framework, and little else."""
    required = importlib.metadata.requires("trailhouse") or []
    base = [entry for entry in required if "extra ==" not in entry]
    assert 1 <= len(base) <= 3, base


@pytest.mark.parametrize("module", modules())
def test_an_adapter_is_short(module: str) -> None:
    """What stands on a framework's inner workings can be read in one sitting."""
    file = CAPTURE.parents[1] / Path(*module.split("."))
    file = file / "__init__.py" if file.is_dir() else file.with_suffix(".py")
    assert len(file.read_text(encoding="utf-8").splitlines()) <= LINES_OF_AN_ADAPTER


@pytest.mark.parametrize("name", KNOWN)
def test_the_version_tried_is_the_one_that_tests_run(name: str) -> None:
    """What the documents, the doctor and the refusals say was tried is what the framework's environment pins."""
    known = KNOWN[name]
    assert pins(ENVIRONMENT_OF.get(name, "all"))[known.distribution] == known.tried
    assert FRAMEWORKS.get(name, known).tried == known.tried


def sections() -> dict[str, str]:
    """Return the sections of the page on capture that have an adapter's line, by the adapter's name."""
    pieces = (ROOT / "docs" / "capture.md").read_text(encoding="utf-8").split("\n## ")[1:]
    found = {}
    for piece in pieces:
        for name in re.findall(r"^(\w+)\.install\(audit\)", piece, re.MULTILINE):
            found[name] = piece
    return found


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_each_adapter_has_its_page(name: str) -> None:
    """A section with the extra that installs it, its one line, what is recorded and what is not seen."""
    section = sections()[name]
    assert f"trailhouse[{FRAMEWORKS[name].extra}]" in section
    assert "\n- Recorded: " in section
    assert "\n- Not seen: " in section


def test_the_pages_lines_are_importable() -> None:
    """What each block of code imports of ours is there, and takes what it is given."""
    text = (ROOT / "docs" / "capture.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) >= len(FRAMEWORKS) + 2
    for block in blocks:
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(node.module or "")
                for alias in node.names:
                    name = f"{node.module}.{alias.name}"
                    found = getattr(module, alias.name, None) or importlib.import_module(name)
                    installs = getattr(found, "install", None)
                    assert installs is None or "audit" in inspect.signature(installs).parameters


def test_plain_python_on_the_page_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The block of the section on plain Python records a run, a tool's call and their ends."""
    text = (ROOT / "docs" / "capture.md").read_text(encoding="utf-8")
    [block] = re.findall(r"## Plain Python\n\n```python\n(.*?)```", text, re.DOTALL)
    made: list[InMemoryAuditLogger] = []

    def logger() -> InMemoryAuditLogger:
        made.append(InMemoryAuditLogger())
        return made[0]

    monkeypatch.setattr("trailhouse.producer.AuditLogger", logger)
    exec(block, {})  # noqa: S102 - the documents are ours

    [run] = check_runs(made[0].events)
    assert run.types == ["run_started", "tool_call_started", "tool_call_completed", "run_completed"]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_pins_have_hashes_and_no_addresses(environment: str) -> None:
    """Each package of an environment has one version, with hashes, and no server is named."""
    text = (ROOT / "tests" / "capture" / environment / "requirements.txt").read_text()
    assert len(pins(environment)) > 20
    assert "://" not in text
    assert text.count("--hash=sha256:") >= len(pins(environment))
    pinned = [line for line in text.splitlines() if line and not line.startswith(" ")]
    assert all("==" in line for line in pinned)


def test_each_environment_has_its_target() -> None:
    """`make capture` runs every folder of tests, and none that is not there."""
    [named] = re.findall(r"^CAPTURE := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    folders = {file.parent.name for file in (ROOT / "tests" / "capture").glob("*/requirements.txt")}
    assert set(named.split()) == folders == set(ENVIRONMENTS)


def test_an_extra_installs_what_its_adapter_records() -> None:
    """Each adapter has an extra, not in `all`: their pins conflict."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras: dict[str, list[str]] = project["optional-dependencies"]
    for framework in FRAMEWORKS.values():
        [requirement] = extras[framework.extra]
        assert requirement.split(">=")[0] == framework.distribution
        assert framework.extra not in extras["all"][0]
