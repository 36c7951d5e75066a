"""The frames of a spool file: marker, number, lengths, checksums, key and record. Pure."""

import struct
from typing import NamedTuple
from zlib import crc32

MARKER = b"\xffTSF"
"""Begins every frame. UTF-8 knows no byte 0xFF, so it stands in no key and in no record."""

MAX_RECORD_BYTES = 100_000_000
"""What `max_event_bytes` allows at most: a length above it is damage, and nobody makes room for it."""

_HEAD = struct.Struct("<QIH")
_CHECKS = struct.Struct("<II")
HEADER_BYTES = len(MARKER) + _HEAD.size + _CHECKS.size
_pack_head = _HEAD.pack
_pack_checks = _CHECKS.pack


class Frame(NamedTuple):
    """One record as it was spooled; `end` is the offset in the file after it."""

    number: int
    key: bytes
    record: bytes
    end: int


class Damage(NamedTuple):
    """A range of a file that is no frame; `begin` is its offset in the file."""

    begin: int
    content: bytes

    @property
    def end(self) -> int:
        """The offset in the file after it."""
        return self.begin + len(self.content)


def frame(number: int, key: bytes, record: bytes) -> bytes:
    """Return the frame of one record: HEADER_BYTES bytes, *key* and *record*.

    Lengths have a checksum of their own: a damaged one must not be taken for a frame that was cut off.
    """
    head = _pack_head(number, len(record), len(key))
    checks = _pack_checks(crc32(head), crc32(record, crc32(key)))
    return b"".join((MARKER, head, checks, key, record))


def scan(content: bytes, offset: int) -> tuple[list[Frame | Damage], int]:
    """Return the frames in *content*, which begins at *offset* of a file, and how many bytes they take.

    What is behind those bytes is an incomplete frame: cut off here, or for ever. Damaged ranges end
    at the next frame that is whole, so what follows them is found.
    """
    found: list[Frame | Damage] = []
    begin = 0
    while len(content) - begin >= HEADER_BYTES:
        end = _frame_end(content, begin)
        if end is None:
            end = _next_marker(content, begin + 1)
            found.append(Damage(offset + begin, content[begin:end]))
        elif end > len(content):
            break
        else:
            found.append(_frame(content, begin, end, offset))
        begin = end
    return found, begin


def _frame_end(content: bytes, begin: int) -> int | None:
    """Return where the frame at *begin* ends, by its lengths; None when there is no sound header."""
    if not content.startswith(MARKER, begin):
        return None
    head = content[begin + len(MARKER) : begin + len(MARKER) + _HEAD.size]
    head_check, _ = _CHECKS.unpack_from(content, begin + len(MARKER) + _HEAD.size)
    if crc32(head) != head_check:
        return None
    _, record_bytes, key_bytes = _HEAD.unpack(head)
    if record_bytes > MAX_RECORD_BYTES:
        return None
    return int(begin + HEADER_BYTES + key_bytes + record_bytes)


def _frame(content: bytes, begin: int, end: int, offset: int) -> Frame | Damage:
    number, _, key_bytes = _HEAD.unpack_from(content, begin + len(MARKER))
    _, body_check = _CHECKS.unpack_from(content, begin + len(MARKER) + _HEAD.size)
    body = begin + HEADER_BYTES
    if crc32(content[body:end]) != body_check:
        return Damage(offset + begin, content[begin:end])
    return Frame(
        number, content[body : body + key_bytes], content[body + key_bytes : end], offset + end
    )


def _next_marker(content: bytes, begin: int) -> int:
    """Return where the next frame may begin; a marker may be cut off at the end of *content*."""
    found = content.find(MARKER, begin)
    return found if found >= 0 else max(begin, len(content) - len(MARKER) + 1)
