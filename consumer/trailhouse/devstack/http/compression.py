"""Bodies compressed over HTTP: read what clients send, write what they accept, piece by piece."""

import importlib
import zlib
from collections.abc import Callable
from typing import Any, Protocol

from trailhouse.devstack.engine_error import EngineError

PREFERENCE = ("zstd", "lz4", "gzip")
"""The codings this server writes, in the order in which ClickHouse prefers them."""


class Decompressor(Protocol):
    """Turns compressed pieces into plain ones."""

    def feed(self, piece: bytes) -> bytes:
        """Return what *piece* completes, maybe nothing. Raises `EngineError` for broken data."""
        ...

    def finish(self) -> None:
        """Raise `EngineError` when the compressed data stops in the middle."""
        ...


class Compressor(Protocol):
    """Turns plain pieces into compressed ones."""

    def feed(self, piece: bytes) -> bytes: ...

    def finish(self) -> bytes: ...


def decompressor(coding: str) -> Decompressor:
    """Return the reader of one ``Content-Encoding``; empty and ``identity`` are plain.

    Raises:
        EngineError: The coding is unknown here (ClickHouse's code 48).
    """
    coding = coding.strip().lower()
    if coding in ("", "identity"):
        return _Plain()
    if coding in _MEMBERS and (start := _MEMBERS[coding]()) is not None:
        return _Members(coding, start)
    raise EngineError(48, "NOT_IMPLEMENTED", f"Unknown compression method {coding}")


def choose_coding(accept_encoding: str) -> str | None:
    """Return the coding ClickHouse would pick for this ``Accept-Encoding``, None for a plain answer."""
    accepted = {part.split(";")[0].strip().lower() for part in accept_encoding.split(",")}
    return next(
        (
            coding
            for coding in PREFERENCE
            if coding in accepted and _COMPRESSORS[coding]() is not None
        ),
        None,
    )


def compressor(coding: str) -> Compressor:
    """Return the writer of a coding that `choose_coding` gave.

    Raises:
        EngineError: The coding is unknown here (ClickHouse's code 48).
    """
    made = _COMPRESSORS[coding]() if coding in _COMPRESSORS else None
    if made is None:
        raise EngineError(48, "NOT_IMPLEMENTED", f"Unknown compression method {coding}")
    return made


class _Plain:
    def feed(self, piece: bytes) -> bytes:
        return piece

    def finish(self) -> None:
        return None


class _Members:
    """Reads one or more compressed members written one after the other, as clients do per block."""

    def __init__(self, coding: str, start: Callable[[], Any]) -> None:
        self._coding = coding
        self._start = start
        self._member: Any = None

    def feed(self, piece: bytes) -> bytes:
        plain = b""
        while piece:
            if self._member is None:
                self._member = self._start()
            try:
                plain += self._member.decompress(piece)
            except Exception as error:  # each library raises its own class for broken data
                raise EngineError(
                    354, "CANNOT_DECOMPRESS", f"The {self._coding} body is broken: {error}"
                ) from error
            if not self._member.eof:
                break
            piece, self._member = self._member.unused_data, None
        return plain

    def finish(self) -> None:
        if self._member is not None:
            raise EngineError(
                354, "CANNOT_DECOMPRESS", f"The {self._coding} body stops in the middle"
            )


class _Gzip:
    def __init__(self) -> None:
        self._stream = zlib.compressobj(level=3, wbits=31)

    def feed(self, piece: bytes) -> bytes:
        return self._stream.compress(piece)

    def finish(self) -> bytes:
        return self._stream.flush()


class _Zstd:
    def __init__(self, module: Any) -> None:
        self._stream = module.ZstdCompressor(level=1)

    def feed(self, piece: bytes) -> bytes:
        return bytes(self._stream.compress(piece))

    def finish(self) -> bytes:
        return bytes(self._stream.flush())


class _Lz4:
    def __init__(self, module: Any) -> None:
        self._stream = module.LZ4FrameCompressor()
        self._header = bytes(self._stream.begin())

    def feed(self, piece: bytes) -> bytes:
        header, self._header = self._header, b""
        return header + bytes(self._stream.compress(piece))

    def finish(self) -> bytes:
        return self.feed(b"") + bytes(self._stream.flush())


def _optional(*names: str) -> Any:
    for name in names:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


def _member_start(make: Callable[[Any], Any], *names: str) -> Callable[[], Any] | None:
    module = _optional(*names)
    return None if module is None else lambda: make(module)


_ZSTD = ("compression.zstd", "backports.zstd")
_MEMBERS: dict[str, Callable[[], Callable[[], Any] | None]] = {
    "gzip": lambda: lambda: zlib.decompressobj(wbits=31),
    "zstd": lambda: _member_start(lambda module: module.ZstdDecompressor(), *_ZSTD),
    "lz4": lambda: _member_start(lambda module: module.LZ4FrameDecompressor(), "lz4.frame"),
}
_COMPRESSORS: dict[str, Callable[[], Compressor | None]] = {
    "gzip": _Gzip,
    "zstd": lambda: None if (module := _optional(*_ZSTD)) is None else _Zstd(module),
    "lz4": lambda: None if (module := _optional("lz4.frame")) is None else _Lz4(module),
}
