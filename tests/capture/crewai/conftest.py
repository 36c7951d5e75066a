"""CrewAI, recorded in every test here, and kept out of the developer's home."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from trailhouse.capture.crewai import install
from trailhouse.producer.testing import InMemoryAuditLogger


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep what CrewAI stores out of the developer's home."""
    monkeypatch.setenv("CREWAI_STORAGE_DIR", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture(autouse=True)
def installed(audit: InMemoryAuditLogger) -> Iterator[None]:
    undo = install(audit)
    yield
    undo()
