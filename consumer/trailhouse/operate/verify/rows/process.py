"""A process that holds some rows against their records for the one that started it: `python -m` this module.

It takes orders from its standard input and answers on its standard output, each with its length before it; it ends
with its input. Nothing else is written, so that no row can reach a log.
"""

import os
import signal
import sys
from array import array
from collections.abc import Iterator
from struct import Struct
from typing import IO

import msgspec

from trailhouse.operate.verify.rows.stream import Rows, Wanted, rows_of
from trailhouse.schemas.errors import StorageError, StorageRejectedError, StorageUnavailableError
from trailhouse.store.clickhouse import ClickHouse
from trailhouse.store.config import ClickHouseConfig

LENGTH_BYTES = 8
_each_digest = Struct("32s").iter_unpack


class Order(msgspec.Struct, frozen=True, array_like=True):
    """Which rows to look at, and where."""

    config: ClickHouseConfig
    wanted: Wanted


class Failure(msgspec.Struct, frozen=True, array_like=True):
    """Why ClickHouse did not answer."""

    message: str
    is_retriable: bool
    code: int = 0
    name: str = ""

    def error(self) -> StorageError:
        """Return what was raised there."""
        if self.is_retriable:
            return StorageUnavailableError(self.message)
        return StorageRejectedError(self.message, self.code, self.name)


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """A block of rows, or how an order ended."""

    block: tuple[bytes, ...] = ()
    """Numbers and hashes of `Rows`, one behind the other; keys where a row is blank alone."""
    places: list[tuple[str, str, str, int]] = []
    wrong: dict[int, tuple[str, ...]] = {}
    not_events: list[int] = []
    blank: list[int] = []
    is_last: bool = False
    failure: Failure | None = None

    @classmethod
    def of(cls, rows: Rows) -> "Answer":
        """Return what carries *rows*."""
        keys = b"".join(rows.record_keys) if rows.blank else b""
        block = (
            array("I", rows.which).tobytes(),
            array("Q", rows.offsets).tobytes(),
            array("Q", rows.appended_ms).tobytes(),
            b"".join(rows.digests),
            keys,
        )
        return cls(
            block, list(rows.places), dict(rows.wrong), list(rows.not_events), list(rows.blank)
        )

    def rows(self) -> Rows:
        """Return them again; `record_keys` are empty where no row is blank."""
        which, offsets, appended_ms, digests, keys = self.block
        return Rows(
            self.places,
            array("I", which),
            array("Q", offsets),
            array("Q", appended_ms),
            [digest for (digest,) in _each_digest(digests)],
            [keys[begin : begin + 16] for begin in range(0, len(keys), 16)],
            self.wrong,
            self.not_events,
            self.blank,
        )


def order_bytes(order: Order) -> bytes:
    """Return what `main` takes; a password is in it."""
    return msgspec.msgpack.encode(
        order, enc_hook=str
    )  # a setting that is secret is text of a class of its own


def answers(order: Order) -> Iterator[Answer]:
    """Yield the rows of *order*, and how it ended."""
    failure = None
    try:
        with ClickHouse(order.config) as clickhouse:
            for rows in rows_of(clickhouse, order.wanted):
                yield Answer.of(rows)
    except StorageError as error:
        code, name = (
            (error.code, error.name) if isinstance(error, StorageRejectedError) else (0, "")
        )
        failure = Failure(str(error), isinstance(error, StorageUnavailableError), code, name)
    yield Answer(is_last=True, failure=failure)


def framed(content: bytes) -> bytes:
    """Return *content* with its length before it."""
    return len(content).to_bytes(LENGTH_BYTES, "big") + content


def frame_from(pipe: IO[bytes]) -> bytes | None:
    """Return the next frame without its length; None at the end, and of one that is cut off."""
    head = pipe.read(LENGTH_BYTES)
    if len(head) < LENGTH_BYTES:
        return None
    size = int.from_bytes(head, "big")
    content = pipe.read(size)
    return content if len(content) == size else None


def main() -> None:
    """Do orders until there are no more."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C is for who started this, and ends the input
    while (order := frame_from(sys.stdin.buffer)) is not None:
        for answer in answers(msgspec.msgpack.decode(order, type=Order)):
            sys.stdout.buffer.write(framed(msgspec.msgpack.encode(answer)))
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:  # nobody waits for an answer any more
        os._exit(0)  # or Python would flush its output, and complain
