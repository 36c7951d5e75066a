"""Asks Kafka or ClickHouse in a thread of its own, so that a slow answer, or none, holds up nobody."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from trailhouse.consumer.monitoring.health import Health
from trailhouse.consumer.monitoring.heartbeat import Heartbeat
from trailhouse.schemas.backoff import Backoff
from trailhouse.schemas.errors import BrokerError, StorageError

Answer = TypeVar("Answer")
OnFailure = Callable[[BrokerError | StorageError], None]
FIRST_WAIT_SECONDS = 0.2
LONGEST_WAIT_SECONDS = 5.0


class BackgroundQuery(Generic[Answer]):
    """Asks from `start` on: once; or again until there is an answer; or at an interval. It never guesses.

    A question that Kafka or ClickHouse could not answer is told to *on_failure*. Any other error is a
    mistake, or final: with *retry* it is raised where the answer is asked for, since somebody waits for
    it there; without, it ends the thread, as it ends any.
    """

    def __init__(
        self,
        ask: Callable[[], Answer],
        *,
        name: str,
        retry: Backoff | None = None,
        every_seconds: float | None = None,
        first_after_seconds: float = 0.0,
        is_needed: Callable[[], bool] = lambda: True,
        max_age_seconds: float = float("inf"),
        on_answer: Callable[[Answer], None] = lambda _: None,
        on_failure: OnFailure = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare the question; `start` asks it.

        Args:
            ask: Returns the answer; it may block, and may be called again.
            name: What the thread is called, after ``trailhouse-``.
            retry: How long to wait after a failure; without it as long as after an answer.
            every_seconds: How long to wait after an answer; None asks no more.
            first_after_seconds: How long to wait before the first question.
            is_needed: Called before each question, once there has been an answer; False puts it off once more.
            max_age_seconds: An older answer says nothing any more.
            on_answer: Called in the thread with each answer, unless it was stopped meanwhile.
            on_failure: Called in the thread with each failure, unless it was stopped meanwhile.
            clock: Returns seconds, for the answer's age.
        """
        self._ask = ask
        self._name = name
        self._retry = retry
        self._every_seconds = every_seconds
        self._first_after_seconds = first_after_seconds
        self._is_needed = is_needed
        self._max_age_seconds = max_age_seconds
        self._on_answer = on_answer
        self._on_failure = on_failure
        self._clock = clock
        self._stopped = threading.Event()
        self._done = threading.Event()
        self._thread: threading.Thread | None = None
        self._last: tuple[Answer, float] | None = None
        self._error: BaseException | None = None

    def start(self) -> None:
        """Begin to ask, unless a question is open. Does not block."""
        # One question at a time: threads would pile up behind a part that does not answer.
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(
                target=self._run, name=f"trailhouse-{self._name}", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """Ask no more; nobody is told of the question that is open. Does not block."""
        self._stopped.set()

    def join(self) -> None:
        """Wait until the open question has come to its end, so that nothing is said after it."""
        if self._thread is not None:
            self._thread.join()

    def wait(self, timeout_seconds: float) -> bool:
        """Wait for the last answer; False when it is not there in time."""
        return self._done.wait(timeout_seconds)

    @property
    def is_answered(self) -> bool:
        """Whether `answer` will return or raise at once."""
        return self._done.is_set()

    def answer(self) -> Answer:
        """Return the answer, once `is_answered`.

        Raises:
            TrailhouseError: As the question, what it raised for good, such as OffsetGapError.
        """
        if self._error is not None:
            raise self._error
        if self._last is None:
            raise LookupError("the question was dropped before it was answered")
        return self._last[0]

    def latest(self) -> Answer | None:
        """Return the last answer, or None while there is none, or it is too old to be relied on."""
        if self._last is None:
            return None
        answer, at_seconds = self._last
        return answer if self._clock() - at_seconds < self._max_age_seconds else None

    def _run(self) -> None:
        pause_seconds: float | None = self._first_after_seconds
        try:
            while pause_seconds is not None and not self._stopped.wait(pause_seconds):
                if self._last is None or self._is_needed():
                    pause_seconds = self._ask_once()
        except BaseException as error:
            self._error = error
            if self._retry is None:
                raise
        finally:
            # Whatever ended it: nobody may wait for an answer that does not come any more.
            self._done.set()

    def _ask_once(self) -> float | None:
        """Ask, and return how long to wait before the next question; None: there is none."""
        try:
            answer = self._ask()
        except (BrokerError, StorageError) as error:
            if not self._stopped.is_set():
                self._on_failure(error)
            return self._every_seconds if self._retry is None else self._retry.next_seconds()
        # The next failure is a new one, and is asked about again soon.
        if self._retry is not None:
            self._retry.reset()
        self._last = answer, self._clock()
        # Whoever stopped it has moved on: an answer of before must not change what is said now.
        if not self._stopped.is_set():
            self._on_answer(answer)
        return self._every_seconds


class SkipsWhileIdle:
    """Says that a question is needed when anything has moved since the last one, and else each n-th time.

    For `BackgroundQuery`: an answer in which nothing can have changed costs Kafka as much as any.
    """

    def __init__(self, moved: Callable[[], object], idle_turns: int) -> None:
        """Compare what *moved* returns from time to time; ask each *idle_turns*-th time all the same."""
        self._moved = moved
        self._idle_turns = idle_turns
        self._seen: object = None
        self._skipped = 0

    def __call__(self) -> bool:
        """Return whether to ask now."""
        seen = self._moved()
        if seen == self._seen and self._skipped + 1 < self._idle_turns:
            self._skipped += 1
            return False
        self._seen, self._skipped = seen, 0
        return True


def ask_until_answered(
    ask: Callable[[], Answer], health: Health, heartbeat: Heartbeat
) -> BackgroundQuery[Answer]:
    """Begin to ask, and go on while a part is away: /health says so, and the watchdog waits."""

    def note(error: BrokerError | StorageError) -> None:
        health.note_away("clickhouse" if isinstance(error, StorageError) else "kafka", error)
        heartbeat.waited()

    retry = Backoff(FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS)
    query = BackgroundQuery(ask, name="question", retry=retry, on_failure=note)
    query.start()
    return query
