"""The plugin that pytest finds where trailhouse is installed: one fixture, and nothing before it is used."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from trailhouse.producer.testing import InMemoryAuditLogger


@pytest.fixture
def audit_log() -> "Iterator[InMemoryAuditLogger]":
    """Return an audit logger that keeps in memory what it logs: `trailhouse.producer.testing`."""
    from trailhouse.producer.testing import InMemoryAuditLogger  # each test run imports this module

    with InMemoryAuditLogger() as audit:
        yield audit
