"""Inserting over ClickHouse's HTTP interface: formats, compressed bodies, clients that leave."""

import gzip
import socket
from collections.abc import Callable
from urllib.parse import urlencode

import lz4.frame  # type: ignore[import-untyped]  # it ships no types
import pytest
from backports import zstd

from clickhouse_http import DEADLINE_SECONDS, Server
from waiting import eventually

pytestmark = pytest.mark.cluster


ROWS_IN_FORMATS = {
    "JSONEachRow": b'{"a":1,"b":"x"}\n{"a":2,"b":"y"}\n',
    "CSV": b'1,"x"\n2,"y"\n',
    "TabSeparated": b"1\tx\n2\ty\n",
    "Values": b"(1,'x'),(2,'y')",
    "RowBinary": (1).to_bytes(8, "little") + b"\x01x" + (2).to_bytes(8, "little") + b"\x01y",
    "Native": b"\x02\x02\x01a\x06UInt64"
    + (1).to_bytes(8, "little")
    + (2).to_bytes(8, "little")
    + b"\x01b\x06String\x01x\x01y",
}


@pytest.mark.parametrize("input_format", ROWS_IN_FORMATS)
@pytest.mark.parametrize("place", ["address", "body"])
def test_insert_formats(server: Server, table: str, input_format: str, place: str) -> None:
    """Rows of every format the project uses are stored, behind a statement in the address or the body."""
    sql, rows = f"INSERT INTO {table} (a, b) FORMAT {input_format}", ROWS_IN_FORMATS[input_format]
    reply = (
        server.ask(rows, query=sql)
        if place == "address"
        else server.ask(sql.encode() + b"\n" + rows)
    )
    assert (reply.status, reply.body) == (200, b"")
    assert reply.summary["written_rows"] == 2
    assert server.text(f"SELECT a, b FROM {table} ORDER BY a") == "1\tx\n2\ty\n"


def test_insert_keeps_every_byte(server: Server, table: str) -> None:
    """A String holds any bytes at all."""
    noise = bytes(range(256)) * 3
    server.ask(
        (1).to_bytes(8, "little") + b"\x80\x06" + noise,
        query=f"INSERT INTO {table} FORMAT RowBinary",
    )
    assert server.text(f"SELECT hex(b) FROM {table}") == noise.hex().upper() + "\n"


def test_insert_with_parameters_and_settings(server: Server, table: str) -> None:
    """The table can be a parameter, and settings can stand in the statement."""
    database, name = table.split(".")
    sql = "INSERT INTO {d:Identifier}.{t:Identifier} SETTINGS async_insert = 0 FORMAT JSONEachRow"
    reply = server.ask(b'{"a":5,"b":"p"}', query=sql, param_d=database, param_t=name)
    assert reply.status == 200, reply.body
    assert server.text(f"SELECT a, b FROM {table}") == "5\tp\n"


def test_insert_select(server: Server, table: str) -> None:
    """INSERT … SELECT writes and counts what it wrote."""
    reply = server.ask(
        f"INSERT INTO {table} SELECT number, toString(number) FROM numbers(1000)",
        wait_end_of_query="1",
    )
    assert reply.summary["written_rows"] == 1000
    assert server.text(f"SELECT count() FROM {table}") == "1000\n"


def test_one_insert_is_one_part(server: Server, table: str) -> None:
    """A batch of one block is stored as a whole: it makes one part."""
    rows = b"".join(b'{"a":%d,"b":"%s"}\n' % (number, b"x" * 100) for number in range(20_000))
    assert (
        server.ask(rows, query=f"INSERT INTO {table} FORMAT JSONEachRow", async_insert="0").status
        == 200
    )
    parts = server.text(
        f"SELECT count() FROM system.parts WHERE active AND table = '{table.split('.')[1]}'"
    )
    assert parts == "1\n"


def test_a_bad_row_stores_nothing(server: Server, table: str) -> None:
    """A row that cannot be read refuses the whole insert with 400 and ClickHouse's code."""
    reply = server.ask(
        b'{"a":1,"b":"x"}\n{"a":"no number"',
        query=f"INSERT INTO {table} FORMAT JSONEachRow",
        async_insert="0",
    )
    assert reply.status in (400, 500)
    assert reply.code > 0
    assert server.text(f"SELECT count() FROM {table}") == "0\n"


def test_a_client_that_leaves_in_the_middle_stores_nothing(server: Server, table: str) -> None:
    """An insert whose body never ends is given up when its client goes."""
    head = (
        f"POST /?{urlencode({'query': f'INSERT INTO {table} FORMAT TSV', 'async_insert': '0'})} HTTP/1.1\r\nHost: x\r\n"
        f"X-ClickHouse-User: {server.user}\r\nX-ClickHouse-Key: {server.password}\r\nContent-Length: 1000000\r\n\r\n"
    )
    with socket.create_connection(server.address, DEADLINE_SECONDS) as connection:
        connection.sendall(head.encode() + b"1\tx\n" * 1000)
        server.text(f"INSERT INTO {table} VALUES (7, 'after')")
    eventually(lambda: server.running(table) == 0, "the insert must be given up")
    assert server.text(f"SELECT a, b FROM {table}") == "7\tafter\n"


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        (b"1\tgood\n2\tbad\n", 469),
        (b"".join(b"%d\tgood\n" % (number * 1_000) for number in range(150)), 252),
    ],
)
def test_a_block_that_the_table_refuses_is_no_success(
    server: Server, rows: bytes, code: int
) -> None:
    """A constraint or a limit of the table answers with its code, and nothing is stored."""
    table = f"{server.database}.refusing_{code}"
    server.text(
        f"CREATE TABLE {table} (a UInt64, b String, CONSTRAINT no_bad CHECK b != 'bad')"
        " ENGINE = MergeTree PARTITION BY intDiv(a, 1000) ORDER BY a"
    )
    reply = server.ask(rows, {}, query=f"INSERT INTO {table} FORMAT TSV", async_insert="0")

    assert reply.status >= 400
    assert reply.code == code
    assert server.text(f"SELECT count() FROM {table}") == "0\n"


@pytest.mark.parametrize("gap", [b"\n\n", b"\n\n\n", b";\n\n", b"\r\n\r\n", b"\n \n"])
def test_empty_lines_among_the_rows_end_nothing(server: Server, table: str, gap: bytes) -> None:
    """Binary rows may hold any bytes: an empty line in a text does not end the statement."""
    text = b"before" + gap + b"behind" + gap
    row = (5).to_bytes(8, "little") + bytes([len(text)]) + text
    reply = server.ask(row * 3, {}, query=f"INSERT INTO {table} FORMAT RowBinary")

    assert reply.status == 200, reply.body
    assert server.text(f"SELECT count(), any(hex(b)) FROM {table}") == f"3\t{text.hex().upper()}\n"


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zstd": zstd.compress,
    "lz4": lz4.frame.compress,
}
DECOMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.decompress,
    "zstd": zstd.decompress,
    "lz4": lz4.frame.decompress,
}


@pytest.mark.parametrize("coding", COMPRESS)
def test_compressed_rows(server: Server, table: str, coding: str) -> None:
    """Rows may be compressed with every coding clickhouse-connect knows."""
    rows = b"".join(b"%d\t%s\n" % (number, b"v" * 50) for number in range(30_000))
    reply = server.ask(
        COMPRESS[coding](rows),
        {"Content-Encoding": coding},
        query=f"INSERT INTO {table} FORMAT TSV",
    )
    assert reply.status == 200, reply.body
    assert server.text(f"SELECT count(), sum(a) FROM {table}") == f"30000\t{sum(range(30_000))}\n"


@pytest.mark.parametrize("coding", ["lz4", "zstd"])
def test_rows_compressed_block_by_block(server: Server, table: str, coding: str) -> None:
    """One body may be several compressed frames, as clickhouse-connect writes them."""
    body = COMPRESS[coding](b"1\tx\n") + COMPRESS[coding](b"2\ty\n")
    sql = f"INSERT INTO {table} FORMAT TSV"
    assert server.ask(body, {"Content-Encoding": coding}, query=sql).status == 200
    assert server.text(f"SELECT count() FROM {table}") == "2\n"


def test_broken_compression_is_refused(server: Server, table: str) -> None:
    """A body that is not what its coding says is an error, and nothing is stored."""
    reply = server.ask(
        b"no gzip at all",
        {"Content-Encoding": "gzip"},
        query=f"INSERT INTO {table} FORMAT TSV",
    )
    assert reply.status >= 400
    assert server.text(f"SELECT count() FROM {table}") == "0\n"


@pytest.mark.parametrize("coding", DECOMPRESS)
def test_compressed_answer(server: Server, coding: str) -> None:
    """An answer is compressed with the coding that the client accepts."""
    values = {"enable_http_compression": "1"}
    reply = server.ask("SELECT number FROM numbers(300000)", {"Accept-Encoding": coding}, **values)
    assert reply.headers["content-encoding"] == coding
    plain = DECOMPRESS[coding](reply.body)
    assert plain == b"".join(b"%d\n" % number for number in range(300_000))


def test_answer_stays_plain_without_the_setting(server: Server) -> None:
    """`enable_http_compression=0` leaves the answer as it is."""
    reply = server.ask("SELECT 1", {"Accept-Encoding": "gzip"}, enable_http_compression="0")
    assert "content-encoding" not in reply.headers
    assert reply.body == b"1\n"
