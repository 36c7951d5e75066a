"""A handler of Python's logging: what is logged as an error within a run is an event of that run.

::

    logging.getLogger().addHandler(AuditHandler(audit))
"""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from trailhouse.producer.object_fields import code_and_message, given
from trailhouse.schemas.event_type import EventType
from trailhouse.schemas.json_form import is_text, kind_of

if TYPE_CHECKING:
    from trailhouse.producer import AuditLogger

SOURCE = "logging"
OURS = ("trailhouse", "confluent_kafka", "confluent-kafka")
"""Loggers, with all below them, whose records are about the audit log's own delivery."""
_is_handling: ContextVar[bool] = ContextVar("trailhouse_handles_a_log_record", default=False)


class AuditHandler(logging.Handler):
    """Makes `error_occurred` of records of level ERROR within a run: the exception's class and text, else the message.

    Logger, level and message stand in the metadata, what the message was made of nowhere. Nothing of ours is recorded,
    nor what is logged while a record is handled, so that no error of the audit log goes in a circle. Nothing raises,
    and nothing waits: what cannot be recorded is in `AuditLogger.stats`.

    Args:
        audit: Whose recorder and context tell the run.
        level: The least level that is recorded.
        outside_runs: Record also what is logged outside of any run: in the session that is bound, else in one of its
            own.
        strict: Raise what cannot be recorded out of the call that logged.
    """

    def __init__(
        self,
        audit: AuditLogger,
        level: int = logging.ERROR,
        *,
        outside_runs: bool = False,
        strict: bool = False,
    ) -> None:
        super().__init__(level)
        self._audit = audit
        self._outside_runs = outside_runs
        self._strict = strict

    def createLock(self) -> None:  # noqa: N802 - logging's name
        """Make no lock: the recorder is safe for threads, and one of ours may log while another waits for it."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        """Record *record*, if it is for us."""
        wanted: Any = self.filter(record)  # from Python 3.12 on a filter may return another record
        if wanted and not _is_ours(record.name) and not _is_handling.get():
            self.emit(wanted if isinstance(wanted, logging.LogRecord) else record)
        return bool(wanted)

    def emit(self, record: logging.LogRecord) -> None:
        """Record *record* as an event of the current run."""
        recorder = self._audit.recorder
        token = _is_handling.set(True)
        try:
            with recorder.guard("log record", strict=self._strict):
                run = recorder.current
                if run is None:
                    if not self._outside_runs and self._audit.context.run_id is None:
                        return
                    run = recorder.outside_runs(
                        source=SOURCE
                    )  # bound, where somebody else records it
                data, metadata = _described(record)
                run.log(EventType.ERROR_OCCURRED, data, metadata=metadata)
        finally:
            _is_handling.reset(token)


def _described(record: logging.LogRecord) -> tuple[dict[str, object], dict[str, object]]:
    message = _message(record)
    error = record.exc_info[1] if record.exc_info else None
    code, text = (None, message) if error is None else code_and_message(error)
    logged = None if error is None else message
    metadata = {"logger": record.name, "level": record.levelname, "log_message": logged}
    return given({"error_code": code, "error_message": text}), given(metadata)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - arguments that do not fit, or raise as they are shown
        return str.__str__(record.msg) if is_text(record.msg) else f"<{kind_of(record.msg)}>"


def _is_ours(name: str) -> bool:
    return name in OURS or name.startswith(tuple(f"{ours}." for ours in OURS))
