"""The page about the producer: its code runs as it is printed, and its tests pass."""

import re
from pathlib import Path
from typing import Any

import pytest

from trailhouse.producer.testing import InMemoryAuditLogger

PAGE = (Path(__file__).parents[3] / "docs" / "producer.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def test_the_pages_code_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every block of the page runs, one after the other, with a logger that needs no broker."""
    made: list[InMemoryAuditLogger] = []

    class Noted(InMemoryAuditLogger):
        def __init__(self, *args: Any, **fields: Any) -> None:
            super().__init__(*args, **fields)
            made.append(self)

    monkeypatch.setattr("trailhouse.producer.AuditLogger", Noted)
    names: dict[str, Any] = {}
    blocks = [
        block.replace("with AuditLogger() as audit:\n", "audit = AuditLogger()\nif True:\n")
        for block in BLOCKS
    ]
    for block in blocks:
        exec(block, names)  # noqa: S102 - our own page
    names["test_the_tool_is_audited"](Noted())

    assert [(event.type, event.run_id, event.parent_run_id) for event in made[0].events] == [
        ("run_started", "run-1", None), ("tool_call_started", "run-1", None),
        ("model_call_completed", "run-1a", "run-1"), ("run_completed", "run-1", None),
        ("audit_disabled", None, None), ("audit_enabled", None, None),
        ("audit_disabled", None, None), ("audit_enabled", None, None),
    ]  # fmt: skip
    assert {event.tenant_id for event in made[0].events[:4]} == {"acme"}
    assert [event.type for event in made[1].events] == ["message_received", "tool_call_started"]
    assert [str(event.type) for event in made[2].events] == [
        "run_started", "tool_call_started",
        "run_started", "message_received", "error_occurred", "message_sent", "run_completed",
        "tool_call_completed", "run_completed",
    ]  # fmt: skip
