"""Watches a commit that does not come back: whether Kafka is away, which is waited for, or we hang."""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from trailhouse.consumer.kafka_probe import Ask
from trailhouse.consumer.progress import Progress
from trailhouse.schemas.errors import DeliveryError

FIRST_CHECK_SECONDS = 1.0
OVERDUE_SECONDS = 5.0
CHECK_SECONDS = 1.0


class CommitWatch:
    """Entered before a commit and left after it.

    librdkafka goes on trying for as long as Kafka is away, in our thread. Meanwhile a second thread
    asks Kafka: an answer that does not come is a sign of life, since there is nothing to be done; if
    Kafka answers and the commit still hangs, the watchdog hears nothing, and ends the process.
    """

    def __init__(
        self,
        check: Ask,
        on_away: Callable[[DeliveryError | None], None],
        progress: Progress,
    ) -> None:
        self._check = check
        self._on_away = on_away
        self._progress = progress
        self._back = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="trailhouse-commit", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._back.set()
        self._thread.join()  # what it says must not come after what the commit's outcome says

    def _watch(self) -> None:
        began = time.monotonic()
        self._back.wait(FIRST_CHECK_SECONDS)
        while not self._back.is_set():
            try:
                self._check()
            except DeliveryError as error:
                self._on_away(error)
                self._progress.turned()
                self._progress.waited()
            else:
                if time.monotonic() - began >= OVERDUE_SECONDS:
                    self._on_away(None)
            self._back.wait(CHECK_SECONDS)
