"""What the worker can reach and what not: one line in the log a change, and the answer of /health."""

import threading
from collections.abc import Mapping
from typing import Literal, get_args

import structlog

from trailhouse.schemas.errors import BrokerRejectedError, StorageRejectedError, TrailhouseError

Part = Literal["kafka", "clickhouse"]
WarningKind = Literal[
    "open_transaction",
    "stalled_partition",
    "unknown_member",
    "topic_settings",
    "group_unknown",
    "back_pressure",
    "anchoring",
    "unsigned_checkpoints",
]
WARNING_KINDS: tuple[WarningKind, ...] = get_args(WarningKind)
NOT_YET = "not reached yet"
_PARTS: tuple[Part, ...] = ("kafka", "clickhouse")


class Health:
    """The state of each part the worker depends on. Safe from any thread; never blocks for long."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reasons: dict[Part, str | None] = dict.fromkeys(_PARTS, NOT_YET)
        self._said: dict[Part, str] = {}
        self._warnings: dict[WarningKind, str] = {}
        self._inserts: dict[str, str] = {}
        self.times_asked = 0
        """How often somebody outside has asked; it only grows."""
        self._log = structlog.get_logger("trailhouse.worker")

    def note_asked(self) -> None:
        """Note that somebody outside wants to know: what is only looked at now and then is looked at soon."""
        self.times_asked += 1

    @property
    def is_ready(self) -> bool:
        """Whether records can flow: the group is joined and the last word of ClickHouse was good."""
        return not any(self._reasons.values())

    def report(self) -> dict[str, object]:
        """Return what /health answers: a status, a state with its reason for each part, how inserts go, the warnings.

        ``degraded`` is ready all the same: a worker that is started anew would meet what is warned of.
        """
        with self._lock:
            reasons = dict(self._reasons)
            warnings = dict(self._warnings)
            inserts = dict(self._inserts)
        # A warning is not a reason to be started anew: it would be there again.
        ready = "degraded" if warnings else "ready"
        return {
            "status": "not ready" if any(reasons.values()) else ready,
            **{
                part: {"state": "away", "reason": why} if why else {"state": "ready"}
                for part, why in reasons.items()
            },
            **({"inserts": inserts} if inserts else {}),
            "warnings": warnings,
        }

    def note_inserts(self, mode: Literal["gathered", "straight"], reason: str) -> None:
        """Note how inserts go to ClickHouse now, and why; it is no warning either way."""
        with self._lock:
            self._inserts = {"mode": mode, "reason": reason}

    @property
    def warnings(self) -> Mapping[WarningKind, str]:
        """What is wrong around the worker, one line a kind."""
        with self._lock:
            return dict(self._warnings)

    def warn(self, kind: WarningKind, reason: str | None) -> None:
        """Note what is wrong around the worker, or with None that it is over; both are said once."""
        with self._lock:
            before = self._warnings.pop(kind, None)
            if reason is not None:
                self._warnings[kind] = reason
        if reason is not None and before is None:
            self._log.warning("warning", kind=kind, reason=reason)
        elif reason is None and before is not None:
            self._log.info("over", kind=kind)

    def note_ready(self, part: Part) -> None:
        """Note that *part* answers; said once."""
        with self._lock:
            self._reasons[part] = None
            has_news = self._said.get(part) != "ready"
            self._said[part] = "ready"
        if has_news:
            self._log.info("ready", part=part)

    def note_away(self, part: Part, error: TrailhouseError) -> None:
        """Note that *part* is away or refuses; said once until its kind or its state changes."""
        kind = _kind(error)
        with self._lock:
            self._reasons[part] = str(error)
            # Every attempt of an outage fails alike: the log has one line of it, /health the latest reason.
            has_news = self._said.get(part) != kind
            self._said[part] = kind
        if has_news:
            self._log.warning("away, waiting", part=part, reason=str(error))

    def note_waiting(self, part: Part, reason: str) -> None:
        """Note that *part* answers but is not ready to work with; not said in the log."""
        with self._lock:
            self._reasons[part] = reason


def _kind(error: TrailhouseError) -> str:
    code = error.code if isinstance(error, (BrokerRejectedError, StorageRejectedError)) else ""
    return f"{type(error).__name__} {code}"
