"""Put exported records into the topic, the same bytes: however often that is done, each is read once."""

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from trailhouse.broker.requeuer import Requeuer
from trailhouse.query import Manifest, check_export
from trailhouse.query.export.manifest import MANIFEST
from trailhouse.schemas.codec import decode_envelope
from trailhouse.schemas.errors import IntegrityError, InvalidEventError, QueryError
from trailhouse.schemas.kafka_config import KafkaConfig
from trailhouse.schemas.record_hash import record_hash
from trailhouse.schemas.topic import MAX_RECORD_BYTES

RECORDS_AT_A_TIME = 2_000
BYTES_AT_A_TIME = 8_388_608
ERASED = "not sent: an operator has ordered this record to be erased"


class ImportLine(NamedTuple):
    """A record to be sent, under the key that its producer gave it."""

    key: bytes | None
    record: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()


class Imported(msgspec.Struct, kw_only=True):
    """What became of the lines of an import.

    Attributes:
        sent_events: In the topic, with every in-sync replica's acknowledgement.
        refused_lines: Not events, or refused by the broker; the others were sent.
        erased_lines: Records that an operator has ordered to be erased: they were not sent.
    """

    sent_events: int = 0
    refused_lines: int = 0
    erased_lines: int = 0


def lines_to_import(path: Path) -> list[Path]:
    """Return the files of JSON lines at *path*, a file or the folder of an export, which is checked first.

    Raises:
        IntegrityError: The folder's files are not as its manifest says. Permanent.
        QueryError: Its export is not of JSON lines. Permanent.
        ExportError: The folder holds no whole export. Retriable once it is whole.
        OSError: It cannot be read.
    """
    if not path.is_dir():
        return [path]
    found = check_export(path)
    if found.problems:
        raise IntegrityError(
            f"{path} is not as its manifest says, nothing was sent: {found.problems[0]}"
        )
    manifest = msgspec.json.decode((path / MANIFEST).read_bytes(), type=Manifest)
    if manifest.format != "jsonl":
        raise QueryError(
            f"{path} holds {manifest.format}: only an export to JSON lines can be imported"
        )
    return [path / each.name for each in manifest.files]


def import_records(
    kafka: KafkaConfig,
    files: Sequence[Path],
    *,
    refuse: Callable[[Path, int, str], None],
    report: Callable[[Imported], None],
    erased: Collection[bytes] = frozenset(),
) -> Imported:
    """Send each line of *files*, byte for byte and in order, and return what became of them.

    Delivery:
        What is counted as sent is in the topic. Import again after anything: a record that is there twice is read once.

    Args:
        kafka: Where to.
        files: JSON lines, each a whole record: with its id, time and session.
        refuse: Told of each line that is not sent: its file, its number, and the rule that it breaks.
        report: Told how far it is.
        erased: The SHA-256 of records that are ordered to be erased (`store.erasures`).

    Raises:
        BrokerUnavailableError: Kafka does not answer in time. Retriable: import again.
        ConfigError: librdkafka does not take the settings. Permanent.
        OSError: A file cannot be read.
    """
    done = Imported()
    requeuer = Requeuer(kafka)
    for file in files:
        for block in _blocks(file, done, refuse, erased):
            sent = requeuer.send([(line, "") for _, line in block])
            for (number, _), outcome in zip(block, sent, strict=True):
                if outcome.refusal is None:
                    done.sent_events += 1
                else:
                    done.refused_lines += 1
                    refuse(file, number, f"the broker refuses it: {outcome.refusal}")
            report(done)
    return done


def _blocks(
    file: Path,
    done: Imported,
    refuse: Callable[[Path, int, str], None],
    erased: Collection[bytes],
) -> Iterator[list[tuple[int, ImportLine]]]:
    block: list[tuple[int, ImportLine]] = []
    size_bytes = 0
    for number, content in _lines(file):
        try:
            line = _line(content)
        except InvalidEventError as error:
            done.refused_lines += 1
            refuse(file, number, str(error))
            continue
        if record_hash(content) in erased:
            done.erased_lines += 1
            refuse(file, number, ERASED)
            continue
        block.append((number, line))
        size_bytes += len(content)
        if len(block) >= RECORDS_AT_A_TIME or size_bytes >= BYTES_AT_A_TIME:
            yield block
            block, size_bytes = [], 0
    if block:
        yield block


def _lines(file: Path) -> Iterator[tuple[int, bytes]]:
    """Yield each line that is not blank with its number; of one without an end no more than a record can be."""
    number, is_rest = 0, False
    with file.open("rb") as stream:
        while content := stream.readline(2 * MAX_RECORD_BYTES):
            is_part, is_rest = is_rest, not content.endswith(b"\n")
            if not is_part:
                number += 1
                if content.strip():
                    yield number, content.removesuffix(b"\n")


def _line(content: bytes) -> ImportLine:
    if len(content) > MAX_RECORD_BYTES:
        raise InvalidEventError("record", f"must be at most {MAX_RECORD_BYTES} bytes")
    envelope = decode_envelope(content).envelope
    return ImportLine(envelope.session_id.encode(), content)
