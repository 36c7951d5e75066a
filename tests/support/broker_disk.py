"""What somebody does to a broker's own files while it stands: a log is cut off, or bytes in it are changed.

The first is what an unclean election leaves behind as well: the leader that comes up has less than the one before had.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

from trailhouse.devstack import DevStack

_HEAD = struct.Struct(">qiibI")
"""First offset, length of what follows, leader epoch, magic, CRC-32C of all that stands behind it."""
_LENGTH_OFFSET = 12
_CRC_OFFSET, _CHECKED_OFFSET = 17, 21
_POLYNOMIAL = 0x82F63B78


class BrokerDisk:
    """The folder of one partition; its broker is stopped before anything is changed, and started after."""

    def __init__(self, stack: DevStack, topic: str, partition: int) -> None:
        self._stack = stack
        self._logs = stack.data_dir / "kafka" / "log"
        self._folder = self._logs / f"{topic}-{partition}"

    def cut(self, offset: int) -> None:
        """Take away what lies from *offset* on, to the end; a batch that begins before it goes as a whole."""
        self._stack.stop("kafka")
        file = self._segment()
        content = file.read_bytes()
        end = next((at for at, _, last in _batches(content) if last >= offset), len(content))
        file.write_bytes(content[:end])
        self._start()

    def change(self, old: bytes, new: bytes) -> None:
        """Put *new* where *old* stands, which is as long, and make the checksums right."""
        if len(old) != len(new):
            raise ValueError("a record must keep its length")
        self._stack.stop("kafka")
        file = self._segment()
        content = bytearray(file.read_bytes())
        if content.count(old) != 1:
            raise ValueError(f"expected these bytes once, in a log that is not packed: {file}")
        content[content.index(old) : content.index(old) + len(old)] = new
        for at, end, _ in _batches(bytes(content)):
            struct.pack_into(
                ">I", content, at + _CRC_OFFSET, crc32c(bytes(content[at + _CHECKED_OFFSET : end]))
            )
        file.write_bytes(content)
        self._start()

    def _segment(self) -> Path:
        [file] = sorted(self._folder.glob("*.log"))
        return file

    def _start(self) -> None:
        """Start the broker; without its marks and indexes it looks at what there is, as after a crash."""
        (self._logs / ".kafka_cleanshutdown").unlink(missing_ok=True)
        for pattern in (
            "*.index",
            "*.timeindex",
            "*.snapshot",
            "*.txnindex",
            "leader-epoch-checkpoint",
        ):
            for file in self._folder.glob(pattern):
                file.unlink()
        self._stack.start("kafka")


def _batches(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield where each batch begins and ends, and its last offset."""
    at = 0
    while at + _HEAD.size <= len(content):
        first, length, *_ = _HEAD.unpack_from(content, at)
        end = at + _LENGTH_OFFSET + length
        (last_delta,) = struct.unpack_from(">i", content, at + _CHECKED_OFFSET + 2)
        if length <= 0 or end > len(content):
            return
        yield at, end, first + last_delta
        at = end


def crc32c(content: bytes) -> int:
    """Return the checksum of Castagnoli, as Kafka's batches have it."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (_POLYNOMIAL if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
