"""A question to Kafka and ClickHouse that is asked in a thread, again until there is an answer."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from trailhouse.consumer.health import Health
from trailhouse.consumer.progress import Progress
from trailhouse.schemas.errors import DeliveryError, StorageError

Answer = TypeVar("Answer")
FIRST_WAIT_SECONDS = 0.2
LONGEST_WAIT_SECONDS = 5.0


class Question(Generic[Answer]):
    """Asks once it is made. While a part is away it waits and asks again; it never guesses."""

    def __init__(self, ask: Callable[[], Answer], health: Health, progress: Progress) -> None:
        self._ask = ask
        self._health = health
        self._progress = progress
        self._done = threading.Event()
        self._dropped = threading.Event()
        self._answers: list[Answer] = []
        self._error: BaseException | None = None
        threading.Thread(target=self._run, name="trailhouse-question", daemon=True).start()

    @property
    def is_answered(self) -> bool:
        """Whether `answer` will return or raise at once."""
        return self._done.is_set()

    def wait(self, timeout_seconds: float) -> bool:
        """Wait for the answer; False when it is not there in time."""
        return self._done.wait(timeout_seconds)

    def answer(self) -> Answer:
        """Return the answer, once `is_answered`.

        Raises:
            TrailhouseError: What the question raised for good, such as IntegrityError.
        """
        if self._error is not None:
            raise self._error
        return self._answers[0]

    def drop(self) -> None:
        """Ask no more; nobody waits for the answer."""
        self._dropped.set()

    def _run(self) -> None:
        wait_seconds = FIRST_WAIT_SECONDS
        while not self._dropped.is_set():
            try:
                self._answers.append(self._ask())
            except StorageError as error:
                self._health.note_away("clickhouse", error)
                self._progress.waited()
            except DeliveryError as error:
                self._health.note_away("kafka", error)
                self._progress.waited()
            except BaseException as error:  # noqa: BLE001 - it is raised again where the answer is asked for
                self._error = error
                break
            else:
                break
            self._dropped.wait(wait_seconds)
            wait_seconds = min(2 * wait_seconds, LONGEST_WAIT_SECONDS)
        self._done.set()
