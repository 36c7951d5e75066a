"""Send events and wait for every acknowledgement, remembering which line each came from."""

from collections import deque
from collections.abc import Callable

from trailhouse.producer import AuditLogger, Receipt
from trailhouse.schemas.errors import (
    DeliveryRejectedError,
    DeliveryTimeoutError,
    EventTooLargeError,
    QueueFullError,
    SpoolFullError,
)
from trailhouse.schemas.event import AuditEvent


class Sent:
    """An event on its way: the number of its line, its number in the journal, and its receipt."""

    __slots__ = ("entry", "number", "receipt")

    def __init__(self, number: int, entry: int, receipt: Receipt) -> None:
        self.number = number
        self.entry = entry
        self.receipt = receipt


class Emission:
    """Events on their way, in order, each with the number of its line.

    Args:
        audit: The logger that sends; it must be enabled.
        timeout_seconds: Longest wait for the acknowledgement of the oldest event.
        on_acknowledged: Called with an event's number in the journal.
        on_refused: Called with the number of a line, that in the journal, and the reason.
    """

    def __init__(
        self,
        audit: AuditLogger,
        timeout_seconds: float,
        *,
        on_acknowledged: Callable[[int], None],
        on_refused: Callable[[int, int, str], None],
    ) -> None:
        self.acknowledged_events = 0
        self._audit = audit
        self._timeout_seconds = timeout_seconds
        self._on_acknowledged = on_acknowledged
        self._on_refused = on_refused
        self._pending: deque[Sent] = deque()

    @property
    def pending_events(self) -> int:
        """Events that the broker has not answered yet."""
        return len(self._pending)

    def send(self, number: int, entry: int, event: AuditEvent) -> None:
        """Queue one event; waits for acknowledgements while the queue is full.

        Raises:
            SpoolFullError, DeliveryTimeoutError: There is no room and nothing moves. Retriable.
            DeliveryRejectedError: The broker refuses everything. Permanent.
        """
        while True:
            try:
                receipt = self._audit.emit(event)
                break
            except EventTooLargeError as error:
                return self._on_refused(number, entry, str(error))
            except (SpoolFullError, QueueFullError):
                # Nothing of ours is on its way, so that waiting would make no room.
                if not self._pending:
                    raise
                self._settle_oldest()
        # None while auditing is off, which is refused before anything is read.
        if receipt is not None:
            self._pending.append(Sent(number, entry, receipt))
        return self.settle()

    def settle(self) -> None:
        """Note what the broker has answered by now; does not wait."""
        pending = self._pending
        while pending and (oldest := pending[0]).receipt.is_settled:
            if oldest.receipt.refusal is None:
                self._note_acknowledged(oldest)
            else:
                self._settle_oldest()

    def finish(self) -> None:
        """Return when every event is acknowledged or was reported as refused.

        Raises:
            DeliveryTimeoutError: No acknowledgement in time; events may still arrive. Retriable.
            DeliveryRejectedError: The broker refuses everything. Permanent.
        """
        while self._pending:
            self._settle_oldest()

    def _settle_oldest(self) -> None:
        oldest = self._pending[0]
        try:
            oldest.receipt.result(self._timeout_seconds)
        except DeliveryTimeoutError as error:
            raise DeliveryTimeoutError(
                f"line {oldest.number} was not acknowledged within {self._timeout_seconds:g} s: check that"
                " Kafka is up, and emit again"
            ) from error
        except DeliveryRejectedError as error:
            # All is refused, as without a right to write: it is not this line's fault.
            if oldest.receipt.refusal is None:
                raise
            self._on_refused(oldest.number, oldest.entry, str(error))
            self._pending.popleft()
        else:
            self._note_acknowledged(oldest)

    def _note_acknowledged(self, oldest: Sent) -> None:
        self._pending.popleft()
        self.acknowledged_events += 1
        self._on_acknowledged(oldest.entry)
