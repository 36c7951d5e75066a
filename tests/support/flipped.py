"""Each byte of a file flipped: what an attacker can change with the least effort."""

from collections.abc import Iterator


def each_byte_flipped(content: bytes, mask: int = 0x01) -> Iterator[tuple[int, bytes]]:
    """Yield each place in *content*, and all of it with the bits of *mask* there turned over."""
    for place, byte in enumerate(content):
        yield place, content[:place] + bytes([byte ^ mask]) + content[place + 1 :]
