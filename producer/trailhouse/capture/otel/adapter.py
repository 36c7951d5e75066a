"""Installing: the processor, and the sampler's wrapper, in the application's tracer provider."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trailhouse.capture.installation import Undo, install_once

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

    from trailhouse.producer import AuditLogger


def install(
    audit: AuditLogger, tracer_provider: TracerProvider | None = None, *, strict: bool = False
) -> Undo:
    """Have what OpenTelemetry's spans tell of agents recorded in *audit*; return what undoes that.

    Adds a span processor to the provider and wraps its sampler, so that nothing is missing that was sampled away.
    What is exported stays the same. Where no provider is set, one is set that exports nothing; an application that
    sets its own does so before.

    Args:
        audit: Where to record.
        tracer_provider: The SDK's provider; the global one if not given.
        strict: As for `AuditSpanProcessor`.

    Raises:
        ConfigError: The SDK is not installed, or the provider is not the SDK's. Permanent; nothing is installed.
    """
    return install_once("otel", audit, lambda: _install(audit, tracer_provider, strict=strict))


def _install(audit: AuditLogger, given: TracerProvider | None, *, strict: bool) -> Undo:
    from trailhouse.capture.otel.span_processor import AuditSpanProcessor

    provider = _global_provider() if given is None else given
    processor = AuditSpanProcessor(audit, strict=strict)
    provider.add_span_processor(processor)
    unwrap = _wrap_samplers(provider)

    def undo() -> None:
        unwrap()
        processor.shutdown()
        _remove(provider, processor)

    return undo


def _global_provider() -> Any:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

    provider = trace.get_tracer_provider()
    if isinstance(provider, trace.ProxyTracerProvider):  # nobody has set one
        provider = TracerProvider(sampler=ALWAYS_OFF)
        trace.set_tracer_provider(provider)
    return provider


def _wrap_samplers(provider: Any) -> Undo:
    """Wrap the sampler of *provider*, and that of each tracer it has made, which keeps its own."""
    from trailhouse.capture.otel.sampler import audit_sampler

    # No public way leads to the tracers; without them spans of libraries that asked early would be sampled away.
    wrapped = audit_sampler(provider.sampler)
    before = [(holder, holder.sampler) for holder in _holders_of_samplers(provider)]
    for holder, sampler in before:
        holder.sampler = wrapped if sampler is wrapped.inner else audit_sampler(sampler)

    def undo() -> None:
        for holder in _holders_of_samplers(provider):  # also those made since
            kept = [sampler for known, sampler in before if known is holder]
            if kept and getattr(holder.sampler, "inner", None) is kept[0]:
                holder.sampler = kept[0]
            elif not kept and holder.sampler is wrapped:
                holder.sampler = before[0][1]

    return undo


def _holders_of_samplers(provider: Any) -> list[Any]:
    return [provider, *list(getattr(provider, "_tracers", {}).values())]


def _remove(provider: Any, processor: Any) -> None:
    """Take *processor* out of *provider*, where its list of processors is as we know it."""
    multi = getattr(provider, "_active_span_processor", None)
    processors = getattr(multi, "_span_processors", None)
    if multi is not None and isinstance(processors, tuple):
        multi._span_processors = tuple(each for each in processors if each is not processor)
