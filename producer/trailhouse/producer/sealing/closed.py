"""The last seals of loggers that have closed, kept in the folder of the spools: who comes next there repeats them.

When Kafka loses all of a logger that has ended, its seals too, before a worker has read any, nobody would know that it
was ever there. A repeated seal says by the service's signature which numbers it had. A copy counts no less and no more
than the seal, so nothing else has to be told apart.
"""

from __future__ import annotations

import contextlib
import logging
import os
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

import msgspec

from trailhouse.producer.spool.files import names_in, open_file
from trailhouse.producer.spool.root import open_root
from trailhouse.proof.seal import Seal, SealData, parse_seal
from trailhouse.schemas.errors import ProofError

if TYPE_CHECKING:
    from pathlib import Path

    from trailhouse.producer.clock import Clock
    from trailhouse.schemas.kafka_config import KafkaConfig

log = logging.getLogger(__name__)

MOST_AT_ONCE = 64
MOST_SECONDS = 30 * 86_400.0
"""What nobody has come to repeat for so long is forgotten."""
MOST_BYTES = 16 * 1024 * 1024
_PREFIX = ".closed-"


class ClosedSeal(NamedTuple):
    """One of them: its file's name, and what an event that repeats it holds."""

    name: str
    seal: Seal
    data: SealData


class ClosedSeals:
    """Those of one service and topic, by all loggers of one user and folder; files of the owner's alone.

    Nothing here raises: what cannot be kept or read is said once in the log, and is repeated by nobody.

    Args:
        root: The folder of the spools.
        kafka: Names the topic: who logs to another one repeats nothing of it there.
        service: Whose seals they are.
        clock: Tells when a seal was made.
    """

    def __init__(self, root: Path, kafka: KafkaConfig, service: str, clock: Clock) -> None:
        target = f"{kafka.bootstrap_servers} {kafka.topic} {service}".encode()
        self._mine = f"{_PREFIX}{crc32(target):08x}-"
        self._root = root
        self._service = service
        self._clock = clock

    def keep(self, data: SealData) -> None:
        """Keep *data*, of a last seal that was logged: on return it is in its file."""
        content = msgspec.json.encode(
            msgspec.structs.replace(data, repeats_ms=self._clock.unix_ns() // 1_000_000)
        )
        try:
            folder = open_root(self._root)
            try:
                _write(folder, f"{self._mine}{data.producer_id}", content)
            finally:
                os.close(folder)
        except OSError as error:
            log.warning("the last seal cannot be kept for the next logger (%s)", error.strerror)

    def waiting(self) -> list[ClosedSeal]:
        """Return those that nobody has repeated yet, some at a time."""
        with contextlib.suppress(OSError):
            folder = open_root(self._root)
            try:
                kept = sorted(name for name in names_in(folder) if name.startswith(_PREFIX))
                for name in kept:
                    self._forget_old(folder, name)
                mine = [name for name in kept if name.startswith(self._mine)]
                read = (self._read(folder, name) for name in mine[:MOST_AT_ONCE])
                return [each for each in read if each is not None]
            finally:
                os.close(folder)
        return []

    def forget(self, name: str) -> None:
        """Remove the one with this *name*: it was repeated."""
        with contextlib.suppress(OSError):
            folder = open_root(self._root)
            try:
                os.unlink(name, dir_fd=folder)
            finally:
                os.close(folder)

    def _forget_old(self, folder: int, name: str) -> None:
        with contextlib.suppress(OSError):
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if self._clock.age_seconds(status.st_mtime) > MOST_SECONDS:
                os.unlink(name, dir_fd=folder)

    def _read(self, folder: int, name: str) -> ClosedSeal | None:
        """Return what is in the file, where it is a seal of our service, signed; else remove it."""
        from trailhouse.proof.keys import is_signed_by

        try:
            file = open_file(name, os.O_RDONLY, dir_fd=folder)
            try:
                content = os.read(file, MOST_BYTES)
            finally:
                os.close(file)
            data = msgspec.json.decode(content, type=SealData)
            seal, public_key, signature = parse_seal(msgspec.to_builtins(data))
            is_ours = seal.service == self._service and data.repeats_ms is not msgspec.UNSET
            if is_ours and is_signed_by(public_key, signature, seal.text.encode()):
                return ClosedSeal(name, seal, data)
        except (OSError, msgspec.MsgspecError, ProofError):
            pass
        with contextlib.suppress(OSError):  # a disk has damaged it: nothing false is repeated
            os.unlink(name, dir_fd=folder)
        return None


def _write(folder: int, name: str, content: bytes) -> None:
    made = f"{name}.new"
    file = open_file(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, dir_fd=folder)
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(file, left) :]
    finally:
        os.close(file)
    os.rename(made, name, src_dir_fd=folder, dst_dir_fd=folder)
