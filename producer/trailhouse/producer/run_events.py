"""The events of a run, by what is known of run, session, result or error, in whatever form that is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from trailhouse.producer import object_fields
from trailhouse.producer.context import described
from trailhouse.schemas.draft import EventDraft
from trailhouse.schemas.event_type import EventType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from trailhouse.producer.context import Bound
    from trailhouse.producer.receipt import Receipt


class RunEvents(ABC):
    """One method for each event of a run. What `AuditLogger.log` says of guarantees and errors holds for each.

    *run* and *session* are structs, mappings, objects with the same names, or plain ids; without them, those
    that are bound. What the events that begin and end a run hold beside their `data`, when it is known, is in
    `metadata`: `run_metadata`, `session_metadata` and `session_status`.
    """

    def log_run_started(self, run: object = None, session: object = None) -> Receipt | None:
        """Log `run_started` with the agent and the run's `status`."""
        return self._log_run(
            EventType.RUN_STARTED, run, session, object_fields.started_data, with_metadata=True
        )

    def log_run_completed(
        self, run: object = None, session: object = None, result: object = None
    ) -> Receipt | None:
        """Log `run_completed` with the result's `token_usage` (``{}`` if missing), and, when known,
        its `cost_usd`, `stop_reason` and `duration_ms`."""
        return self._log_run(
            EventType.RUN_COMPLETED,
            run,
            session,
            lambda run, session: object_fields.completed_data(run, session, result),
            with_metadata=True,
        )

    def log_run_failed(
        self, run: object = None, session: object = None, error: object = None
    ) -> Receipt | None:
        """Log `run_failed` with the error's `code` and `message`; *error* may be an exception."""
        return self._log_run(
            EventType.RUN_FAILED,
            run,
            session,
            lambda run, session: object_fields.failed_data(run, session, error),
            with_metadata=True,
        )

    def log_run_cancelled(
        self, run: object = None, session: object = None, error: object = None
    ) -> Receipt | None:
        """Log `run_cancelled` with what cancelled the run, as `log_run_failed` does."""
        return self._log_run(
            EventType.RUN_CANCELLED,
            run,
            session,
            lambda run, session: object_fields.failed_data(run, session, error),
            with_metadata=True,
        )

    def log_error(
        self, run: object = None, session: object = None, error: object = None
    ) -> Receipt | None:
        """Log `error_occurred`: an error that does not end the run."""
        return self._log_run(
            EventType.ERROR_OCCURRED,
            run,
            session,
            lambda run, session: object_fields.failed_data(run, session, error),
        )

    def log_usage_metrics(
        self,
        session: object = None,
        metrics: Mapping[str, Any] | None = None,
        run_id: str | None = None,
    ) -> Receipt | None:
        """Log `token_usage_updated` with *metrics* verbatim, `cost_usd` too: what was used since the last."""
        return self._log_run(
            EventType.TOKEN_USAGE_UPDATED,
            run_id,
            session,
            lambda *_: {} if metrics is None else metrics,
        )

    def _log_run(
        self,
        type: EventType,
        run: object,
        session: object,
        data_of: Callable[[object, object], Any],
        *,
        with_metadata: bool = False,
    ) -> Receipt | None:
        run, session = described(run), described(session)
        bound = self._bound
        draft = bound.stamp(EventDraft(type=type, **object_fields.context_fields(run, session)))
        if self._admit(draft) is None:
            return None
        if run is None and draft.run_id == bound.run_id:
            run = bound.run
        if session is None and draft.session_id == bound.session_id:
            session = bound.session
        data = draft.data = data_of(run, session)
        if (
            type is not EventType.TOKEN_USAGE_UPDATED and data["agent_id"] is None
        ):  # that one is verbatim
            data["agent_id"] = draft.agent_id
        if with_metadata:
            draft.metadata = object_fields.metadata_of(run, session)
        return self._write(draft)

    @property
    @abstractmethod
    def _bound(self) -> Bound:
        """What is bound where this is called."""

    @abstractmethod
    def _admit(self, draft: EventDraft) -> EventDraft | None:
        """Return *draft*, which is complete but for its content; None when it is not to be written."""

    @abstractmethod
    def _write(self, draft: EventDraft) -> Receipt | None:
        """Write an event that is complete, unless a processor of contents holds it back."""
