"""What data lacks is said in the metadata, never with a value, and the event is kept."""

import json
from decimal import Decimal
from typing import Any

import pytest

from trailhouse.producer.testing import InMemoryAuditLogger
from trailhouse.schemas.draft import EventDraft
from trailhouse.schemas.errors import InvalidEventError
from trailhouse.schemas.event_data import DATA_KEYS
from trailhouse.schemas.event_shapes import SHAPES, WARNINGS_KEY, warn_of_shape
from trailhouse.schemas.event_type import EventType

VALUE = "a value of " + "somebody"


@pytest.mark.parametrize(
    ("type_name", "data", "warnings"),
    [
        ("tool_call_started", {}, ["data.tool_name: is missing"]),
        ("tool_call_failed", {"tool_name": 7}, ["data.tool_name: should be a string, is int"]),
        ("tool_call_completed", {"tool_name": "search"}, None),
        ("tool_approval_requested", {"tool_name": "t"}, ["data.policy_name: is missing"]),
        (
            "token_usage_updated",
            {"input_tokens": True, "output_tokens": -1, "cache_read_tokens": VALUE},
            [
                "data.input_tokens: should be an integer from 0, is bool",
                "data.output_tokens: should be an integer from 0, is int",
                "data.cache_read_tokens: should be an integer from 0, is str",
            ],
        ),
        ("token_usage_updated", {"usage_missing": True}, None),
        ("token_usage_updated", {"input_tokens": 1, "output_tokens": 0, "cost_usd": Decimal(1)}, None),
        ("model_call_completed", {"model": "m"}, None),
        ("model_call_failed", {"input_tokens": "x"}, ["data.input_tokens: should be an integer from 0, is str"]),
        ("run_completed", None, ["data.stop_reason: is missing"]),
        ("error_occurred", {"error_message": None}, ["data.error_message: is missing"]),
        ("policy_violation", {"policy": "p"}, ["data.kind: is missing"]),
        ("custom.type", {}, None),
        ("run_started", {}, None),
    ],
)  # fmt: skip
def test_what_data_lacks_is_said(
    audit_log: InMemoryAuditLogger, type_name: str, data: Any, warnings: list[str] | None
) -> None:
    """An event whose data lacks something, or has it of another kind, is logged, and says so."""
    audit_log.log(type_name, session_id="s-1", data=data, metadata={"kept": 1})
    metadata = dict(audit_log.only(type_name).metadata)
    assert metadata.pop(WARNINGS_KEY, None) == warnings
    assert metadata == {"kept": 1}
    assert VALUE not in json.dumps(audit_log.events[0].metadata)


def test_a_member_of_the_enum_has_its_rule(audit_log: InMemoryAuditLogger) -> None:
    """A type given as a member is the type."""
    audit_log.log(EventType.POLICY_VIOLATION, session_id="s-1")
    assert len(audit_log.events[0].metadata[WARNINGS_KEY]) == 2


def test_what_a_caller_gave_stays_as_it_was() -> None:
    """Neither the caller's metadata nor the draft are changed, and a second look says the same once more."""
    metadata: dict[str, Any] = {"kept": 1}
    draft = EventDraft(type="run_completed", data={}, metadata=metadata)
    first, second = warn_of_shape(draft), warn_of_shape(draft)
    assert first == second != draft
    assert metadata == {"kept": 1}


@pytest.mark.parametrize("metadata", ["text", 7, ["x"]])
def test_what_is_refused_is_refused_as_before(
    audit_log: InMemoryAuditLogger, metadata: Any
) -> None:
    """Metadata that is no mapping is refused by name, as without a warning, and so is a type that is none."""
    wrong: tuple[dict[str, Any], ...] = (
        {"type": "run_completed", "metadata": metadata},
        {"type": {}, "metadata": {}},
    )
    for fields in wrong:
        with pytest.raises(InvalidEventError, match=r"metadata|type"):
            audit_log.log(session_id="s-1", **fields)


def test_each_rule_is_about_a_key_of_its_type() -> None:
    """What a rule asks for is among the keys that docs/events.md names for the type."""
    for name, shape in SHAPES.items():
        keys = {key.name for key in DATA_KEYS[EventType(name)]}
        assert {*shape.texts, *shape.counts, *shape.optional_counts} <= keys, name


def test_what_is_recorded_and_reported_is_looked_at(audit_log: InMemoryAuditLogger) -> None:
    """The recorder's events and those of `log_error` are looked at like those of `log`."""
    with audit_log.run("s-1") as run:
        run.log("policy_violation", {"policy": "p"})
        audit_log.log_error(error={"code": "E"})
    assert audit_log.only("policy_violation").metadata[WARNINGS_KEY] == ["data.kind: is missing"]
    assert audit_log.only("error_occurred").metadata[WARNINGS_KEY]
