"""What the tests of spans share: a provider whose spans are recorded, and its tracer."""

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

from trailhouse.capture.otel import AuditSpanProcessor
from trailhouse.producer.testing import InMemoryAuditLogger


@pytest.fixture
def provider(audit: InMemoryAuditLogger) -> Iterator[TracerProvider]:
    """Return a provider whose spans are recorded."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(AuditSpanProcessor(audit))
    yield provider
    provider.shutdown()


@pytest.fixture
def tracer(provider: TracerProvider) -> Any:
    return provider.get_tracer("an.instrumentation")
