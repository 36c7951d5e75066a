"""The known event types; any other name of the same form is kept as a custom type."""

import re
from enum import StrEnum

TYPE_PATTERN = r"[a-z][a-z0-9_.]{0,63}"
_has_type_form = re.compile(TYPE_PATTERN).fullmatch


class EventType(StrEnum):
    """What can happen in the life of a session, a run or the audit log itself."""

    SESSION_CREATED = "session_created"
    SESSION_STARTED = "session_started"
    SESSION_PAUSED = "session_paused"
    SESSION_RESUMED = "session_resumed"
    SESSION_COMPLETED = "session_completed"
    SESSION_FAILED = "session_failed"
    SESSION_CANCELLED = "session_cancelled"
    RUN_STARTED = "run_started"
    RUN_COMPLETED = "run_completed"
    RUN_FAILED = "run_failed"
    RUN_CANCELLED = "run_cancelled"
    RUN_TIMEOUT = "run_timeout"
    RUN_ABANDONED = "run_abandoned"
    MESSAGE_SENT = "message_sent"
    MESSAGE_RECEIVED = "message_received"
    MESSAGE_STREAMED = "message_streamed"
    TOOL_CALL_STARTED = "tool_call_started"
    TOOL_CALL_COMPLETED = "tool_call_completed"
    TOOL_CALL_FAILED = "tool_call_failed"
    MODEL_CALL_STARTED = "model_call_started"
    MODEL_CALL_COMPLETED = "model_call_completed"
    MODEL_CALL_FAILED = "model_call_failed"
    AGENT_CREATED = "agent_created"
    AGENT_HANDED_OFF = "agent_handed_off"
    GUARDRAIL_PASSED = "guardrail_passed"
    GUARDRAIL_TRIPPED = "guardrail_tripped"
    EVALUATION_RECORDED = "evaluation_recorded"
    ERROR_OCCURRED = "error_occurred"
    ERROR_RECOVERED = "error_recovered"
    TOKEN_USAGE_UPDATED = "token_usage_updated"  # noqa: S105 - language-model tokens
    TURN_COMPLETED = "turn_completed"
    WORKSPACE_SNAPSHOT_TAKEN = "workspace_snapshot_taken"
    WORKSPACE_DIFF_COMPUTED = "workspace_diff_computed"
    POLICY_VIOLATION = "policy_violation"
    TOOL_APPROVAL_REQUESTED = "tool_approval_requested"
    TOOL_APPROVAL_GRANTED = "tool_approval_granted"
    TOOL_APPROVAL_DENIED = "tool_approval_denied"
    AUDIT_ENABLED = "audit_enabled"
    AUDIT_DISABLED = "audit_disabled"
    AUDIT_READ = "audit_read"
    AUDIT_SEALED = "audit_sealed"
    AUDIT_VERIFIED = "audit_verified"
    AUDIT_ERASURE = "audit_erasure"


def is_type_name(name: str) -> bool:
    """Tell whether *name* can be an event type, known or custom."""
    return name in _KNOWN or _has_type_form(name) is not None


_KNOWN = frozenset(str(member) for member in EventType)
