"""Whether spans reach our processor: no tracer provider, one without it, or a sampler that drops them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from trailhouse.capture.doctor.findings import NOTE, PROBLEM, Finding
from trailhouse.capture.installation import is_installed, was_used

_OURS = "trailhouse.capture.otel"
_KEEP_SPANS = (
    "wrap the sampler: `TracerProvider(sampler=audit_sampler(…))`, from trailhouse.capture.otel"
)


def has_processor() -> bool:
    """Tell whether spans are recorded in this process: by the adapter, or by a processor that was added by hand."""
    return is_installed("otel") or any(_is_ours(each) for each in _processors(_provider()))


def found_in_process() -> Iterator[Finding]:
    """Yield what keeps spans from the processor that is there."""
    if not has_processor():
        return
    provider = _provider()
    if not hasattr(provider, "sampler"):
        yield Finding(
            "no_tracer_provider",
            PROBLEM,
            "no tracer provider of the SDK is set, so spans are nobody's",
            "call `opentelemetry.trace.set_tracer_provider(TracerProvider())` before the agents run",
        )
        return
    if not any(_is_ours(each) for each in _processors(provider)):
        yield Finding(
            "other_tracer_provider",
            PROBLEM,
            "the global tracer provider has not our processor: its spans are not recorded",
            "install after the provider is set, or name it: `otel.install(audit, tracer_provider=…)`",
        )
    if not _is_ours(provider.sampler) and (drops := _dropping(provider.sampler)):
        text = f"the sampler of the tracer provider drops spans: {drops}"
        yield Finding("sampled_away", PROBLEM, text, _KEEP_SPANS)


def found_in_environment(environment: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """Yield which variables of the environment switch spans off; a problem where spans are what is recorded."""
    severity = PROBLEM if has_processor() else NOTE
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        yield Finding(
            "tracing_off",
            severity,
            "OTEL_SDK_DISABLED is true: there are no spans, so adapters alone record",
            "unset it, or install the framework's adapter",
        )
    sampler = environment.get("OTEL_TRACES_SAMPLER", "").strip().lower()
    ratio = environment.get("OTEL_TRACES_SAMPLER_ARG", "").strip()
    is_dropping = sampler.endswith("always_off") or (
        sampler.endswith("traceidratio") and _is_part(ratio)
    )
    if is_dropping and not hasattr(_provider(), "sampler"):  # else the sampler itself is looked at
        named = f"{sampler} {ratio}".strip()
        yield Finding(
            "sampled_away",
            NOTE,
            f"OTEL_TRACES_SAMPLER is {named}: spans are sampled away, but by what `otel.install` sets",
            _KEEP_SPANS,
        )
    if _says_yes(environment.get("OPENAI_AGENTS_DISABLE_TRACING")) and not was_used(
        "openai_agents"
    ):
        yield Finding(
            "tracing_off",
            severity,
            "OPENAI_AGENTS_DISABLE_TRACING is set: instrumentations of the OpenAI Agents SDK see nothing",
            "install trailhouse.capture.openai_agents, which sees the runs all the same",
        )


def _says_yes(value: str | None) -> bool:
    return (value or "").strip().lower() in ("1", "true")


def _provider() -> Any:
    # Where nobody has imported OpenTelemetry nobody has spans, and looking at it is no reason to import it.
    trace = sys.modules.get("opentelemetry.trace")
    return trace.get_tracer_provider() if trace is not None else None


def _processors(provider: Any) -> tuple[Any, ...]:
    # Private, and all there is: the SDK names its processors nowhere.
    active = getattr(provider, "_active_span_processor", None)
    return tuple(getattr(active, "_span_processors", ()))


def _is_ours(thing: object) -> bool:
    return type(thing).__module__.startswith(_OURS)


def _dropping(sampler: Any) -> str:
    """Return the description of a sampler that drops; the SDK's are told by what they say of themselves."""
    described = str(sampler.get_description())
    rate = getattr(sampler, "rate", None)
    roots = getattr(sampler, "_root", None)
    if "AlwaysOff" in described and not described.startswith("ParentBased"):
        return described
    if isinstance(rate, float) and rate < 1.0:
        return described
    return _dropping(roots) if roots is not None and roots is not sampler else ""


def _is_part(ratio: str) -> bool:
    try:
        return float(ratio) < 1.0
    except ValueError:
        return False
