"""Examines how the agents of a process are recorded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from trailhouse.capture.doctor import spans
from trailhouse.capture.doctor.findings import (
    NOTE,
    PROBLEM,
    CaptureReport,
    Finding,
    FrameworkState,
)
from trailhouse.capture.doctor.frameworks import (
    KNOWN,
    instrumentations_of,
    is_imported,
    may_be_unused,
    version_of,
)
from trailhouse.capture.installation import FRAMEWORKS, audits, was_used

if TYPE_CHECKING:
    from trailhouse.producer import AuditLogger


_OFF = Finding(
    "auditing_off",
    PROBLEM,
    "auditing is switched off: nothing is written",
    "set TRAILHOUSE_PRODUCER_ENABLED to true, or call `AuditLogger.set_enabled`",
)


def report(*loggers: AuditLogger, is_application: bool = True) -> CaptureReport:
    """Return what of this process's agents is recorded, and what nobody sees.

    Best called once its agents have run: what is imported late, or loses its context, is seen only then. It changes
    nothing, imports no framework, and asks nobody else.

    Args:
        loggers: The loggers to ask for what they counted; those that adapters were installed for are asked anyway.
        is_application: Look at the process too, and not only at what is installed and set.
    """
    states = list(_states(is_application))
    findings = [*_versions(states), *spans.found_in_environment()]
    asked = {id(each): each for each in (*loggers, *audits())}.values() if is_application else ()
    sessions_missing = sum(each.recorder.sessions_missing_total for each in asked)
    unlogged = sum(each.stats().unlogged_total for each in asked)
    if is_application:
        findings += [*_unseen(states), *_doubles(), *spans.found_in_process()]
        findings += _counted(sessions_missing, unlogged)
        if any(not each.is_enabled for each in asked):
            findings.append(_OFF)
    return CaptureReport(
        "application" if is_application else "environment",
        states,
        sorted(findings, key=lambda finding: finding.severity != PROBLEM),
        sessions_missing if is_application else None,
        unlogged if is_application else None,
    )


def _states(is_application: bool) -> Iterator[FrameworkState]:
    by_spans = is_application and spans.has_processor()
    for name, known in KNOWN.items():
        if (version := version_of(name)) is None:
            continue
        has_spans = known.makes_spans or bool(instrumentations_of(name))
        recorded_by = ["adapter"] if name in FRAMEWORKS and was_used(name) else []
        if by_spans and has_spans and name != "otel":
            recorded_by.append("otel")
        imported = is_imported(name) if is_application else None
        yield FrameworkState(name, known.distribution, version, known.tried, imported, recorded_by)


def _versions(states: Sequence[FrameworkState]) -> Iterator[Finding]:
    for state in states:
        if state.version != state.tried:
            yield Finding(
                "version_untried",
                NOTE,
                f"{state.distribution} is {state.version}, and was tried with {state.tried}",
                "see that what it records is what you expect, or install the version tried",
            )


def _unseen(states: Sequence[FrameworkState]) -> Iterator[Finding]:
    for state in states:
        if not state.imported or state.recorded_by or may_be_unused(state.name):
            continue
        adapter = f"call `trailhouse.capture.{state.name}.install(audit)`"
        otel = "add `trailhouse.capture.otel.AuditSpanProcessor(audit)`, and what makes its spans"
        yield Finding(
            "seen_by_nobody",
            PROBLEM,
            f"{state.distribution} is imported, and nothing records its agents",
            adapter if state.name in FRAMEWORKS else otel,
        )


def _doubles() -> Iterator[Finding]:
    for name in KNOWN:
        found = instrumentations_of(name)
        if len(found) > 1:
            yield Finding(
                "instrumented_twice",
                PROBLEM,
                f"{KNOWN[name].distribution} has {len(found)} instrumentations: {', '.join(found)}",
                "leave one: each makes spans of the same calls, under ids of its own",
            )
        elif found and name in FRAMEWORKS and was_used(name) and spans.has_processor():
            yield Finding(
                "adapter_and_spans",
                NOTE,
                f"{KNOWN[name].distribution} has an adapter and spans: the adapter records, and its spans are left out",
                "nothing needs to be done",
            )


def _counted(sessions_missing: int, unlogged: int) -> Iterator[Finding]:
    if sessions_missing:
        yield Finding(
            "session_missing",
            PROBLEM,
            f"runs without a session: {sessions_missing}, kept under their trace's or their own id",
            "name the session as the framework has it, or run within `audit.run(session)`; a thread needs the context:"
            " `contextvars.copy_context().run`",
        )
    if unlogged:
        yield Finding(
            "unlogged",
            PROBLEM,
            f"events that could not be logged: {unlogged}",
            "the log of `trailhouse` says why, once a minute",
        )
