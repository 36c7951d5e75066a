"""ClickHouse's engine inside this process: one data folder, any number of connections, statements in parallel.

Every call here blocks its thread and releases Python's lock while the engine works. A connection
serves one statement at a time and keeps its own settings and current database.
"""

import importlib
import os
from collections.abc import Generator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

from trailhouse.devstack.engine_error import from_engine
from trailhouse.schemas.errors import StackError

MEMORY_LIMIT_BYTES = 2_000_000_000
CACHE_LIMIT_BYTES = 64_000_000
MEMORY_LOOK_MILLISECONDS = 1_000
"""How often the engine compares its own count with the system's; by default each 50, most of an idle engine's work."""
_CACHES = (
    "mark_cache_size",
    "primary_index_cache_size",
    "index_mark_cache_size",
    "query_condition_cache_size",
)


class _RawResult(Protocol):
    def bytes(self) -> bytes: ...
    def rows_read(self) -> int: ...
    def bytes_read(self) -> int: ...
    def storage_rows_read(self) -> int: ...
    def storage_bytes_read(self) -> int: ...
    def rows_written(self) -> int: ...
    def bytes_written(self) -> int: ...


class _RawConnection(Protocol):
    def query(
        self, query_str: str | bytes, format: str = ..., *, params: dict[str, str] = ...
    ) -> _RawResult: ...
    def send_query(
        self, query_str: str | bytes, format: str = ..., *, params: dict[str, str] = ...
    ) -> object: ...
    def streaming_fetch_result(self, stream: object) -> _RawResult: ...
    def streaming_cancel_query(self, stream: object) -> None: ...
    def close(self) -> None: ...


class Work(NamedTuple):
    """What a statement did, in rows and bytes, as ClickHouse's summary counts them."""

    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    result_rows: int = 0
    result_bytes: int = 0

    def __add__(self, other: object) -> "Work":
        if not isinstance(other, Work):
            return NotImplemented
        return Work(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


class EngineConnection:
    """One connection to the engine: its settings, its current database, one statement at a time."""

    def __init__(self, raw: _RawConnection) -> None:
        self._raw = raw

    def run(
        self, sql: bytes | str, output_format: str, params: Mapping[str, str] | None = None
    ) -> tuple[bytes, Work]:
        """Run a statement and return its whole answer. Raises `EngineError`."""
        try:
            result = self._raw.query(sql, output_format, params=dict(params or {}))
            return result.bytes(), _work(result)
        except RuntimeError as error:
            raise from_engine(error) from error

    def stream(
        self, sql: bytes, output_format: str, params: Mapping[str, str]
    ) -> Generator[tuple[bytes, Work]]:
        """Run a statement and yield its answer block by block; closing cancels it. Raises `EngineError`."""
        try:
            handle = self._raw.send_query(sql, output_format, params=dict(params))
        except RuntimeError as error:
            raise from_engine(error) from error
        is_over = False
        try:
            while True:
                try:
                    result = self._raw.streaming_fetch_result(handle)
                except RuntimeError as error:
                    is_over = True
                    raise from_engine(error) from error
                if result.rows_read() == 0:
                    is_over = True
                    return
                yield result.bytes(), _work(result)
        finally:
            if not is_over:
                self._raw.streaming_cancel_query(handle)

    def insert(self, sql: bytes, settings: bytes, input_format: str, rows: int) -> Work:
        """Run an INSERT whose rows are in a file, and return once the engine has them all.

        From a file, because chdb's two other ways lose rows. Its streaming insert (`send_insert`)
        answers "done" for a block that the table then refuses: a constraint, too many partitions, no
        memory. And a statement with its rows after it ends at the first empty line among them.

        Args:
            sql: The statement up to its settings.
            settings: Its SETTINGS clause, or nothing.
            input_format: The format of the rows.
            rows: Descriptor of the open file that holds them.

        Raises:
            EngineError: Nothing, or only some partitions' rows, are stored.
        """
        source = f" FROM INFILE '/dev/fd/{rows}' COMPRESSION 'none' ".encode()
        _, work = self.run(sql + source + settings + f" FORMAT {input_format}".encode(), "Null")
        return work._replace(read_rows=0, read_bytes=0, result_rows=0, result_bytes=0)

    def use(self, database: str) -> None:
        """Make *database* the current one. Raises `EngineError` when it does not exist."""
        self.run(f"USE {quote_name(database)}", "TabSeparated")

    def set(self, settings: Mapping[str, str]) -> None:
        """Apply settings, until the connection ends. Raises `EngineError` for an unknown one."""
        if settings:
            pairs = ", ".join(
                f"{quote_name(name)} = {quote_text(value)}" for name, value in settings.items()
            )
            self.run(f"SET {pairs}", "TabSeparated")

    def close(self) -> None:
        """Close the connection; a running statement on it is given up."""
        self._raw.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Engine:
    """The engine over one data folder, with the grants and the profile that *config_file* gives its user `default`.

    Only one process may hold a folder.
    """

    def __init__(
        self,
        data_dir: Path,
        memory_limit_bytes: int,
        config_file: Path,
    ) -> None:
        chdb = load_chdb()
        # chdb takes SIGTERM and SIGINT over when it is imported; this process decides itself how it stops.
        chdb.reset_signal_handlers()
        options: dict[str, object] = {
            "max_server_memory_usage": memory_limit_bytes,
            "memory_worker_period_ms": MEMORY_LOOK_MILLISECONDS,
        }
        options |= dict.fromkeys(_CACHES, CACHE_LIMIT_BYTES)
        options["config-file"] = config_file
        self._connect: Any = chdb.connect
        # Every connection must name the folder and its options in the very same words.
        self._address = f"{os.path.realpath(data_dir)}?" + "&".join(
            f"{name}={value}" for name, value in options.items()
        )
        self._root = self.connect()
        answer, _ = self._root.run("SELECT version(), timezone()", "TabSeparated")
        self.version, self.timezone = answer.decode().rstrip("\n").split("\t")

    def connect(self) -> EngineConnection:
        """Open a connection with default settings; costs well under a millisecond."""
        try:
            return EngineConnection(self._connect(self._address))
        except RuntimeError as error:
            raise from_engine(error) from error

    def kill(self, query_id: str) -> None:
        """Cancel the running statement that was started under *query_id*; no error when there is none."""
        with self.connect() as connection:
            connection.run(
                f"KILL QUERY WHERE Settings['log_comment'] = {quote_text(query_id)} ASYNC",
                "TabSeparated",
            )

    def close(self) -> None:
        """Close the engine and let the folder go."""
        self._root.close()


def load_chdb() -> Any:
    """Import the engine; takes about a second.

    Raises:
        StackError: The package is missing. Permanent.
    """
    try:
        importlib.import_module("chdb")
        return importlib.import_module("chdb._chdb")
    except ImportError as error:
        raise StackError(
            "ClickHouse's engine is not installed: pip install 'trailhouse[devstack]'"
        ) from error


def quote_name(name: str) -> str:
    """Write *name* as an identifier of ClickHouse's SQL."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def quote_text(text: str) -> str:
    """Write *text* as a string literal of ClickHouse's SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _work(result: _RawResult) -> Work:
    return Work(
        read_rows=result.storage_rows_read(),
        read_bytes=result.storage_bytes_read(),
        written_rows=result.rows_written(),
        written_bytes=result.bytes_written(),
        result_rows=result.rows_read(),
        result_bytes=result.bytes_read(),
    )
