"""Documents that cannot rot: what they say is compared with the code."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from trailhouse.cli.reference import render, render_settings
from trailhouse.schemas import EventType
from trailhouse.schemas.event_data import DATA_KEYS
from trailhouse.schemas.record import ENVELOPE_FIELDS
from trailhouse.schemas.settings import PROCESS_VARIABLES, secret_file_variables, setting_variables

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_readme_lists_commands_and_settings_as_they_are() -> None:
    """The README's command list and table of settings are those of the code: run `make docs`."""
    assert render() in README
    assert render_settings() in README


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documents_name_only_what_exists(document: Path) -> None:
    """Every setting, make target and file that a document names exists."""
    text = document.read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert set(re.findall(r"TRAILHOUSE_[A-Z_]+[A-Z]", text)) <= {
        *setting_variables(),
        *PROCESS_VARIABLES,
        *secret_file_variables(),
        "TRAILHOUSE_TEST_CLUSTER",
    }
    assert set(re.findall(r"`make ([a-z-]+)`", text)) <= targets
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (document.parent / link).exists(), (
            f"{document.name} links to {link}, which is not there"
        )


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documents_name_tests_that_exist(document: Path) -> None:
    """A promise that names the test which shows it names one that is there."""
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", document.read_text(encoding="utf-8"))
    missing = [
        f"{path}::{name}"
        for path, name in named
        if not (ROOT / path).is_file() or f"def {name}" not in (ROOT / path).read_text()
    ]
    assert missing == []


def test_the_events_page_has_every_type_and_field() -> None:
    """docs/events.md names every known type and every field."""
    text = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")

    assert [name for name in EventType if f"`{name}`" not in text] == []
    assert DATA_KEYS.keys() == set(EventType), "every known type has its keys in the table"
    assert [name for name in ENVELOPE_FIELDS if f"`{name}`" not in text] == []


def test_the_changelog_names_the_version() -> None:
    """The changelog has a part for what is not released, or for this version."""
    assert re.search(
        r"^## \[(Unreleased|0\.1\.0)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE
    )


def test_make_help_lists_every_target() -> None:
    """`make help` explains each target."""
    make = shutil.which("make")
    assert make is not None, "make is needed"
    shown = subprocess.run(
        [make, "help"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
    ).stdout

    for target in ("demo", "test", "check", "bench"):
        assert f"make {target} " in shown


def test_generated_files_are_up_to_date() -> None:
    """Running the generator changes nothing."""
    code = (
        "import runpy; docs = runpy.run_path('docs/generate.py');"
        "stale = [path.name for path, parts in docs['made']().items()"
        " if docs['filled'](text := path.read_text(), parts) != text];"
        " assert not stale, f'run make docs: {stale}'"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)
