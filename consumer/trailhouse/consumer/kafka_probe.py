"""Asks Kafka, in a thread, whether it is there. A consumer's own questions overrun their timeouts.

Measured: `list_topics` with 1 s came back after more than 8 s while a broker was shutting down.
"""

import threading
from collections.abc import Callable

from trailhouse.consumer.progress import Progress
from trailhouse.schemas.errors import DeliveryError

Ask = Callable[[], None]
"""Returns when Kafka answers and has the topic; else raises DeliveryError, soon in any case."""


class KafkaProbe:
    """One question at a time."""

    def __init__(
        self,
        ask: Ask,
        progress: Progress,
        *,
        on_answer: Callable[[], None],
        on_away: Callable[[DeliveryError], None],
    ) -> None:
        self._ask = ask
        self._progress = progress
        self._on_answer = on_answer
        self._on_away = on_away
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start to ask, unless a question is open. Does not block."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(
                target=self._run, name="trailhouse-kafka-probe", daemon=True
            )
            self._thread.start()

    def _run(self) -> None:
        try:
            self._ask()
        except DeliveryError as error:
            self._on_away(error)
            self._progress.waited()
        else:
            self._on_answer()
