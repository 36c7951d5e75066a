"""What is installed: each adapter once, and undone by what installing it returned."""

from __future__ import annotations

import importlib.metadata
import logging
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from trailhouse.schemas.errors import ConfigError
from trailhouse.schemas.json_form import kind_of

if TYPE_CHECKING:
    from trailhouse.producer import AuditLogger

log = logging.getLogger(__name__)

Undo = Callable[[], None]
"""Takes an adapter out again; may be called twice."""


class Framework(NamedTuple):
    """What an adapter records: its distribution, the extra that installs it, and the version it was tried with."""

    distribution: str
    extra: str
    tried: str


FRAMEWORKS: dict[str, Framework] = {
    "openai_agents": Framework("openai-agents", "openai-agents", "0.24.0"),
    "langchain": Framework("langchain-core", "langchain", "1.8.3"),
    "claude_agent": Framework("claude-agent-sdk", "claude-agent", "0.2.189"),
    "crewai": Framework("crewai", "crewai", "1.15.30"),
    "litellm": Framework("litellm", "litellm", "1.110.2"),
    "google_adk": Framework("google-adk", "google-adk", "2.13.0"),
    "otel": Framework("opentelemetry-sdk", "otel", "1.45.2"),
}
"""By the name of the module of `trailhouse.capture`."""


class _Installed(NamedTuple):
    audit: AuditLogger
    undo: Undo


_installed: dict[str, _Installed] = {}
_ever: dict[str, weakref.ref[AuditLogger]] = {}
"""Who was installed in this process, and for whom last: an application may have taken it out before it is examined."""
_lock = threading.RLock()


def install_once(name: str, audit: AuditLogger, install: Callable[[], Undo]) -> Undo:
    """Install the adapter *name* for *audit* by *install*, unless it is; return what undoes that.

    Installed again for the same logger it stays as it is; for another logger the new one takes its place.

    Args:
        name: The adapter, a key of `FRAMEWORKS`.
        audit: Whose log it records in.
        install: Hooks it into the framework, and returns what takes it out.

    Raises:
        ConfigError: The framework is not installed, or its version has not what the adapter stands on; says which
            version it was tried with. Permanent; nothing is installed.
    """
    with _lock:
        before = _installed.get(name)
        if before is not None and before.audit is audit:
            return _undo(name, before)
        if before is not None:
            _undo(name, before)()
        try:
            entry = _Installed(audit, install())
        except Exception as error:
            raise ConfigError(_refusal(name, error)) from error
        _installed[name] = entry
        note_use(name, audit)
        return _undo(name, entry)


def is_installed(name: str) -> bool:
    """Tell whether the adapter *name* is installed in this process."""
    return name in _installed


def installed_names() -> list[str]:
    """Return the adapters that are installed in this process, in the order of their installation."""
    return list(_installed)


def note_use(name: str, audit: AuditLogger) -> None:
    """Note that the adapter *name* records in *audit*, where it is used without being installed."""
    _ever[name] = weakref.ref(audit)


def was_used(name: str) -> bool:
    """Tell whether the adapter *name* records in this process, or has."""
    return name in _ever


def audits() -> list[AuditLogger]:
    """Return the loggers that adapters record in, or did last."""
    return [audit for noted in list(_ever.values()) if (audit := noted()) is not None]


def version_of(name: str) -> str | None:
    """Return the version of the framework of the adapter *name*; None where it is not there."""
    try:
        return importlib.metadata.version(FRAMEWORKS[name].distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _undo(name: str, entry: _Installed) -> Undo:
    def undo() -> None:
        with _lock:
            if _installed.get(name) is not entry:
                return
            del _installed[name]
            try:
                entry.undo()
            except Exception as error:  # noqa: BLE001 - taking us out harms nobody
                log.error("the adapter %s could not be taken out: %s", name, kind_of(error))

    return undo


def _refusal(name: str, error: Exception) -> str:
    framework, found = FRAMEWORKS[name], version_of(name)
    if found is None:
        return f'{framework.distribution} is not installed: pip install "trailhouse[{framework.extra}]"'
    return (
        f"{framework.distribution} {found} has not what trailhouse.capture.{name} stands on ({kind_of(error)}); "
        f"it was tried with {framework.tried}"
    )
