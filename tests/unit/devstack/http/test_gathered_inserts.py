"""Inserts that the development stack gathers: stored together, answered together, each once."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from io import BytesIO
from typing import IO

import pytest

from trailhouse.devstack.engine import Work
from trailhouse.devstack.engine_error import EngineError
from trailhouse.devstack.http.gathered_inserts import (
    MOST_BYTES,
    GatheredInserts,
    may_be_gathered,
    wait_seconds_of,
)

DEADLINE_SECONDS = 30.0


class Table:
    """Takes what is stored, and waits before it does until it may."""

    def __init__(self, *, refuses: bytes = b"\0", is_shut: bool = False) -> None:
        self.stored: list[bytes] = []
        self.refuses = refuses
        self.is_storing, self.may_store = threading.Event(), threading.Event()
        if not is_shut:
            self.may_store.set()

    def store(self, rows: IO[bytes]) -> Work:
        """Store *rows*, or refuse them all."""
        self.is_storing.set()
        assert self.may_store.wait(DEADLINE_SECONDS)
        rows.seek(0)
        found = rows.read()
        if self.refuses in found:
            raise EngineError(469, "VIOLATED_CONSTRAINT", "a constraint is violated")
        self.stored.append(found)
        return Work(written_rows=len(found))


def inserted(gathered: GatheredInserts, table: Table, kind: str, rows: bytes) -> Work:
    """Insert *rows* as a request does: the file stands at its end."""
    file = BytesIO()
    file.write(rows)
    return gathered.insert(kind, file, table.store)


def together(
    gathered: GatheredInserts, table: Table, count: int, kind: Callable[[int], str]
) -> list[Future[Work]]:
    """Insert so many at the same time, and return their answers once all are there."""
    start = threading.Barrier(count)

    def insert(number: int) -> Work:
        start.wait(DEADLINE_SECONDS)
        return inserted(gathered, table, kind(number), b"%d;" % number)

    with ThreadPoolExecutor(count) as threads:
        return [threads.submit(insert, number) for number in range(count)]


def test_what_comes_at_the_same_time_is_stored_together() -> None:
    """Each once, in fewer pieces than were brought; the sum of what the answers tell is what was stored."""
    table = Table()
    answers = together(GatheredInserts(0.5), table, 20, lambda _: "one kind")
    assert sorted(b"".join(table.stored).split(b";")[:-1]) == sorted(
        b"%d" % number for number in range(20)
    )
    assert len(table.stored) < 20
    assert sum(each.result().written_rows for each in answers) == len(b"".join(table.stored))


def test_inserts_of_different_kinds_are_stored_apart() -> None:
    """Another table, another database, another setting: none of it may hold another's rows."""
    table = Table()
    together(GatheredInserts(), table, 2, str)
    assert sorted(table.stored) == [b"0;", b"1;"]


def test_what_is_refused_is_refused_to_all_of_them() -> None:
    """Nobody is told that rows are stored which are not."""
    gathered, table = GatheredInserts(), Table(refuses=b"1;")
    answers = together(gathered, table, 2, lambda _: "one kind")
    failed = [each for each in answers if isinstance(each.exception(), EngineError)]
    assert len(failed) == 2 - len(table.stored)
    assert answers[1] in failed


def test_a_mistake_in_one_thread_answers_all_of_them() -> None:
    """Whatever ends the thread that stores, the others do not wait for ever, and are not told that they are stored."""

    def broken(_rows: IO[bytes]) -> Work:
        raise RuntimeError("a mistake")

    gathered = GatheredInserts()
    start = threading.Barrier(2)

    def insert() -> Work:
        start.wait(DEADLINE_SECONDS)
        return gathered.insert("one kind", BytesIO(), broken)

    with ThreadPoolExecutor(2) as threads:
        answers = [threads.submit(insert) for _ in range(2)]
    assert all(
        isinstance(each.exception(DEADLINE_SECONDS), RuntimeError | EngineError) for each in answers
    )


def test_a_large_insert_waits_for_nobody() -> None:
    """What is worth a part by itself is stored at once."""
    gathered, table = GatheredInserts(DEADLINE_SECONDS), Table()
    inserted(gathered, table, "one kind", b"x" * MOST_BYTES)
    assert [len(each) for each in table.stored] == [MOST_BYTES]


def test_what_comes_while_others_are_stored_waits_for_the_next_time() -> None:
    """Rows that came too late are not answered by an insert that does not hold them."""
    gathered, table = GatheredInserts(), Table(is_shut=True)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(inserted, gathered, table, "one kind", b"first")
        assert table.is_storing.wait(DEADLINE_SECONDS)
        second = threads.submit(inserted, gathered, table, "one kind", b"second")
        table.may_store.set()
        assert [each.result(DEADLINE_SECONDS).written_rows for each in (first, second)] == [5, 6]
    assert sorted(table.stored) == [b"first", b"second"]


@pytest.mark.parametrize(
    ("input_format", "settings", "expected"),
    [
        ("Native", {"async_insert": "1", "wait_for_async_insert": "1"}, True),
        ("Native", {"async_insert": "1"}, True),
        ("Native", {"async_insert": "1", "wait_for_async_insert": "0"}, False),
        ("Native", {"async_insert": "0"}, False),
        ("Native", {}, False),
        ("CSV", {"async_insert": "1"}, False),
    ],
)
def test_only_who_asks_for_it_is_gathered(
    input_format: str, settings: dict[str, str], expected: bool
) -> None:
    """And only blocks that may follow one another, whose sender waits until they are stored."""
    assert may_be_gathered(input_format, settings) is expected


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, None),
        ({"async_insert_busy_timeout_max_ms": "70"}, None),
        ({"async_insert_use_adaptive_busy_timeout": "1"}, None),
        ({"async_insert_use_adaptive_busy_timeout": "0"}, 0.2),
        (
            {
                "async_insert_use_adaptive_busy_timeout": "0",
                "async_insert_busy_timeout_max_ms": "70",
            },
            0.07,
        ),
    ],
)
def test_a_client_may_say_how_long_the_first_insert_waits(
    settings: dict[str, str], expected: float | None
) -> None:
    """By the settings of a server: without them it finds out by itself."""
    assert wait_seconds_of(settings) == expected


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "x", "60001", "9" * 5_000, "٣"])
def test_a_wait_that_no_server_takes_is_refused(text: str) -> None:
    """No thread waits for hours, or for what is no number."""
    with pytest.raises(EngineError):
        wait_seconds_of(
            {
                "async_insert_use_adaptive_busy_timeout": "0",
                "async_insert_busy_timeout_max_ms": text,
            }
        )
