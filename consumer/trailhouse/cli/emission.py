"""Send events and wait for every acknowledgement, remembering which line each came from."""

from collections import deque
from collections.abc import Callable

from trailhouse.producer import AuditLogger, Receipt
from trailhouse.schemas.errors import (
    BrokerRejectedError,
    DeliveryTimeoutError,
    EventTooLargeError,
    QueueFullError,
    SpoolFullError,
)
from trailhouse.schemas.event import AuditEvent


class Emission:
    """Events on their way, in order, each with the number of its line.

    Args:
        audit: The logger that sends; it must be enabled.
        timeout_seconds: Longest wait for the acknowledgement of the oldest event.
        report: Called with the number of a bad line and the reason.
    """

    def __init__(
        self, audit: AuditLogger, timeout_seconds: float, report: Callable[[int, str], None]
    ) -> None:
        self.acknowledged_events = 0
        self.bad_lines: set[int] = set()
        self._audit = audit
        self._timeout_seconds = timeout_seconds
        self._report = report
        self._pending: deque[tuple[int, Receipt]] = deque()

    @property
    def pending_events(self) -> int:
        """Events that the broker has not answered yet."""
        return len(self._pending)

    def refuse(self, number: int, reason: str) -> None:
        """Remember and report that the line *number* is bad."""
        self.bad_lines.add(number)
        self._report(number, reason)

    def send(self, number: int, event: AuditEvent) -> None:
        """Queue one event; waits for acknowledgements while the queue is full.

        Raises:
            SpoolFullError, DeliveryTimeoutError: There is no room and nothing moves. Retriable.
            BrokerRejectedError: The broker refuses everything. Permanent.
        """
        while True:
            try:
                receipt = self._audit.emit(event)
                break
            except EventTooLargeError as error:
                return self.refuse(number, str(error))
            except (SpoolFullError, QueueFullError):
                if not self._pending:
                    raise
                self._settle_oldest()
        if receipt is not None:
            self._pending.append((number, receipt))
        while self._pending and self._pending[0][1].is_settled:
            self._settle_oldest()
        return None

    def finish(self) -> None:
        """Return when every event is acknowledged or was reported as refused.

        Raises:
            DeliveryTimeoutError: No acknowledgement in time; events may still arrive. Retriable.
            BrokerRejectedError: The broker refuses everything. Permanent.
        """
        while self._pending:
            self._settle_oldest()

    def _settle_oldest(self) -> None:
        number, receipt = self._pending[0]
        try:
            receipt.result(self._timeout_seconds)
        except DeliveryTimeoutError as error:
            raise DeliveryTimeoutError(
                f"line {number} was not acknowledged within {self._timeout_seconds:g} s: check that"
                " Kafka is up, and emit again what was not acknowledged"
            ) from error
        except BrokerRejectedError as error:
            if receipt.refusal is None:
                raise
            self.refuse(number, str(error))
        else:
            self.acknowledged_events += 1
        self._pending.popleft()
