"""What an examination says: the frameworks, and what is wrong with how they are recorded."""

from __future__ import annotations

import msgspec

PROBLEM = "problem"
NOTE = "note"


class Finding(msgspec.Struct, frozen=True):
    """One thing that was found.

    Attributes:
        kind: Which, such as ``sampled_away``; stays the same between versions.
        severity: ``problem``: something that agents do is not recorded, or not where it belongs; or ``note``.
        text: What it is.
        way_out: What to do about it.
    """

    kind: str
    severity: str
    text: str
    way_out: str


class FrameworkState(msgspec.Struct, frozen=True):
    """One framework, in this environment and in this process.

    Attributes:
        name: Its adapter's name, or what its users call it.
        distribution: What installs it.
        version: What is installed; None if it is not.
        tried: The version that Trailhouse was tried with.
        imported: Whether the process has imported it; None where no process was looked at.
        recorded_by: What records it: ``adapter``, ``otel``, both in that order, or nothing.
    """

    name: str
    distribution: str
    version: str | None
    tried: str
    imported: bool | None
    recorded_by: list[str]


class CaptureReport(msgspec.Struct, frozen=True):
    """What was found.

    Attributes:
        looked_at: ``environment``: what is installed and set; or ``application``: a process too.
        frameworks: Those that are installed.
        findings: What is wrong, problems first.
        sessions_missing: How many runs nobody gave a session; None where no process was looked at.
        unlogged: How many events could not be logged.
    """

    looked_at: str
    frameworks: list[FrameworkState]
    findings: list[Finding]
    sessions_missing: int | None = None
    unlogged: int | None = None

    @property
    def has_problems(self) -> bool:
        """Whether something that agents do is not recorded as it should be."""
        return any(finding.severity == PROBLEM for finding in self.findings)
