"""The places that keep anchors, as the settings name them; and reading what one keeps, from outside."""

from collections.abc import Callable, Iterator, Mapping

from trailhouse.anchoring.writers.folder import FolderWriter
from trailhouse.anchoring.writers.git import GitWriter
from trailhouse.anchoring.writers.kafka import KafkaWriter
from trailhouse.anchoring.writers.s3 import S3Writer
from trailhouse.anchoring.writers.writer import AnchorWriter
from trailhouse.schemas.errors import AnchorError, ConfigError

_WRITERS: Mapping[str, Callable[[str], AnchorWriter]] = {
    "folder": FolderWriter,
    "git": GitWriter,
    "kafka": KafkaWriter,
    "s3": S3Writer,
}

MOST_MISSING = 1_000
"""Who may write to a place could name a number that nobody ever reads up to."""


def writer_of(place: str) -> AnchorWriter:
    """Return the writer for *place*, such as ``folder:/srv/anchors``; no I/O.

    Raises:
        ConfigError: It is of no known kind, or malformed. Permanent.
    """
    kind, found, rest = place.partition(":")
    make = _WRITERS.get(kind)
    if not found or not rest or make is None:
        kinds = ", ".join(f"`{each}:`" for each in _WRITERS)
        raise ConfigError(f"proof.anchors: must begin with one of {kinds}, and name a place")
    return make(rest)


def writers_of(places: str) -> list[AnchorWriter]:
    """Return the writers for *places*, separated by commas; none for the empty text.

    Raises:
        ConfigError: One is of no known kind, malformed, or named twice. Permanent.
    """
    names = [name for each in places.split(",") if (name := each.strip())]
    if len(set(names)) < len(names):
        raise ConfigError("proof.anchors: names a place twice")
    return [writer_of(name) for name in names]


def read_anchors(
    place: str, *, after: int = 0, unprotected: Callable[[int, str], None] | None = None
) -> Iterator[tuple[int, bytes]]:
    """Yield number and file of each anchor that *place* keeps, after number *after*, the smallest first.

    *unprotected* is told of each that could be replaced or deleted there, though the place promises that it cannot, and
    why. Nothing else is checked: see `trailhouse.proof.anchor_chain`. A number that is missing is passed over.

    Raises:
        ConfigError: The place is malformed. Permanent.
        AnchorError: It is away or refuses, or more than `MOST_MISSING` numbers in a row are missing. Retriable.
    """
    writer = writer_of(place)
    missing = 0
    for number in range(after + 1, writer.newest() + 1):
        content = writer.read(number)
        missing = missing + 1 if content is None else 0
        if missing > MOST_MISSING:
            raise AnchorError(
                f"{place} has no anchor for {missing} numbers up to {number}, and one of a larger number:"
                " somebody else has put it there, or took the others away"
            )
        if content is not None:
            if unprotected is not None and (fault := writer.fault(number)):
                unprotected(number, fault)
            yield number, content
