"""An answer that came in pieces: whole, or ended by what ClickHouse writes where it fails halfway."""

from collections.abc import Iterable, Iterator

from clickhouse_connect.driver.exceptions import DatabaseError

_MARK = b"__exception__"
_LONGEST_TAIL = 16_384
"""ClickHouse cuts its message to this size, marks included."""


def without_exception(pieces: Iterable[bytes], tag: str) -> Iterator[bytes]:
    """Yield *pieces*, the end held back until it is known to be no exception.

    The status of the answer was sent with its first piece, so that a failure can only be told at its end: between two
    marks that hold *tag*, which is drawn anew for each answer, so that no data can look like it. It is raised as
    clickhouse-connect raises ClickHouse's other errors; what was yielded until then is no whole answer.
    """
    held = b""
    mark = _MARK + b"\r\n" + tag.encode() if tag else b""
    for piece in pieces:
        if len(piece) > 2 * _LONGEST_TAIL:
            # What was held is no end, since so much follows: a large piece is copied once.
            if held:
                yield held
            yield piece[:-_LONGEST_TAIL]
            held = piece[-_LONGEST_TAIL:]
            continue
        held += piece
        if len(held) > 2 * _LONGEST_TAIL:
            yield held[:-_LONGEST_TAIL]
            held = held[-_LONGEST_TAIL:]
    if mark and (at := held.rfind(mark)) >= 0:
        raise DatabaseError(held[at + len(mark) :].decode(errors="replace"))
    if held:
        yield held
