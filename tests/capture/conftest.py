"""What every environment of agent frameworks shares: no settings of the developer's, no network, no telemetry."""

import importlib.metadata
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from capture_rules import check_runs
from trailhouse.capture.installation import FRAMEWORKS, installed_names
from trailhouse.producer.testing import InMemoryAuditLogger

# What a framework would otherwise fetch, or send to its vendor, as soon as it is imported.
os.environ |= {
    "CREWAI_DISABLE_TELEMETRY": "true",
    "CREWAI_DISABLE_TRACKING": "true",
    "CREWAI_TRACING_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "LANGSMITH_TRACING": "false",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "TRACELOOP_TELEMETRY": "false",
}
# A shell starts what runs in its background with Ctrl-C ignored, and Python then leaves it so.
signal.signal(signal.SIGINT, signal.default_int_handler)
pytest.register_assert_rewrite("spooled_runs")
_connect = socket.socket.connect


def pytest_report_header() -> list[str]:
    """Name the frameworks that are here, since a test of one that is missing would be missing too."""
    here = {name: _version(framework.distribution) for name, framework in FRAMEWORKS.items()}
    return ["frameworks: " + ", ".join(f"{name} {found}" for name, found in here.items() if found)]


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the developer's own settings, keys and spools from every test."""
    for name in list(os.environ):
        if name.startswith(("TRAILHOUSE_", "OTEL_")) or name.endswith("_API_KEY"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection but those to this machine: a scripted model needs none."""

    def connect(self: socket.socket, address: object) -> None:
        host = address[0] if isinstance(address, tuple) else "localhost"
        if host not in ("127.0.0.1", "::1", "localhost"):
            raise ConnectionRefusedError("a test may only connect to this machine")
        _connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", connect)


@pytest.fixture
def audit() -> Iterator[InMemoryAuditLogger]:
    """Return a logger that keeps in memory what it logs; of that holds what holds in every run, if nothing was lost."""
    with InMemoryAuditLogger() as audit:
        yield audit
    if not audit.stats().unlogged_total:
        check_runs(audit.events, has_right_values=False)


@pytest.fixture(autouse=True)
def all_taken_out() -> Iterator[None]:
    """See that a test takes out what it installs: the next one would record into its log."""
    yield
    assert not installed_names(), "a test left an adapter installed"
