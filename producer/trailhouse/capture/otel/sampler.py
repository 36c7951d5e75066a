"""The sampler's wrapper: what is sampled away from telemetry still reaches the audit log."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from trailhouse.capture.otel.kinds import SCOPED_NAMES, kind_of

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.sampling import Sampler


def audit_sampler(inner: Sampler) -> Sampler:
    """Return *inner*, but that it drops no span of an agent, a tool or a model, and none within one.

    Those become RECORD_ONLY: span processors see them, and exporters, which ask for SAMPLED, do not.
    """
    made = _class()
    return inner if isinstance(inner, made) else made(inner)


@functools.cache
def _class() -> Any:
    """Return the wrapper's class; made late, since to import this takes no SDK."""
    from opentelemetry import trace
    from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult

    class AuditSampler(Sampler):
        def __init__(self, inner: Sampler) -> None:
            self.inner = inner

        def should_sample(
            self, parent_context: Any, trace_id: int, name: str, kind: Any = None, attributes: Any = None,
            *more: Any, **named: Any,
        ) -> SamplingResult:  # fmt: skip
            result = self.inner.should_sample(
                parent_context, trace_id, name, kind, attributes, *more, **named
            )
            if result.decision is not Decision.DROP:
                return result
            # The child of a span that is recorded must be too, or an agent beneath it is lost.
            parent = trace.get_current_span(parent_context)
            is_within = parent.is_recording() and not parent.get_span_context().trace_flags.sampled
            if not (is_within or _is_told_of(name, attributes)):
                return result
            return SamplingResult(Decision.RECORD_ONLY, attributes, result.trace_state)

        def get_description(self) -> str:
            return f"AuditSampler{{{self.inner.get_description()}}}"

        def __getattr__(self, name: str) -> Any:
            # Whoever set a sampler that can be set anew reaches it through the provider.
            if name == "inner":
                raise AttributeError(name)
            return getattr(self.inner, name)

    return AuditSampler


def _is_told_of(name: str, attributes: Any) -> bool:
    try:
        # LlamaIndex's spans say what they are as they end.
        return (
            name in SCOPED_NAMES
            or name.endswith(".run")
            or kind_of(name, attributes or {}) is not None
        )
    except Exception:  # noqa: BLE001 - whatever somebody gives as attributes must not stop his span
        return False
