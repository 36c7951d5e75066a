"""How a run ended, and how a session stands: what docs/reads.md says of status, as SQL."""

from typing import Literal

RunStatus = Literal["running", "completed", "failed", "cancelled", "timeout", "abandoned"]
RUN_STATUSES: tuple[RunStatus, ...] = (
    "running", "completed", "failed", "cancelled", "timeout", "abandoned",
)  # fmt: skip
SessionStatus = Literal[
    "created", "started", "paused", "resumed", "completed", "failed", "cancelled"
]
SESSION_STATUSES: tuple[SessionStatus, ...] = (
    "created", "started", "paused", "resumed", "completed", "failed", "cancelled",
)  # fmt: skip

_ENDINGS = ", ".join(f"'run_{status}'" for status in RUN_STATUSES[1:])
ENDS_RUN = f"(type IN ({_ENDINGS}))"
LAST = "(occurred_us, record_key)"
"""The order that says which event is last: when it happened; of two at one moment, the greater hash."""
LAST_ENDING = f"argMaxIf(type, {LAST}, {ENDS_RUN})"
RUN_STATUS = f"if(countIf({ENDS_RUN}) = 0, 'running', substring({LAST_ENDING}, 5))"
ENDED_US = f"maxIf(occurred_us, {ENDS_RUN})"

_CHANGES = ", ".join(f"'session_{status}'" for status in SESSION_STATUSES)
SESSION_STATUS = f"substring(argMaxIf(type, {LAST}, type IN ({_CHANGES})), 9)"
"""What the last event about the session itself says; empty where there is none."""

IS_ERROR = "(type = 'error_occurred' OR endsWith(type, '_failed'))"
