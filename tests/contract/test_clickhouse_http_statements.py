"""Many, long and interrupted statements over ClickHouse's HTTP interface, and clickhouse-connect."""

import asyncio
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import clickhouse_connect
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, StreamFailureError

from clickhouse_http import DEADLINE_SECONDS, Server
from waiting import eventually

pytestmark = pytest.mark.cluster

SLOW_QUERY = "SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(sipHash64(number))"
IDLE_QUERY = "SELECT sleepEachRow(0.05) FROM numbers(10000) SETTINGS max_block_size = 1"
LARGE_ROWS = 2_000_000


def test_a_large_answer_is_streamed(server: Server) -> None:
    """The first rows arrive while the statement is still running."""
    connection = server.open(
        "SELECT number, sleepEachRow(0.001) FROM numbers(1000000)",
        max_block_size="100",
        buffer_size="1",
        function_sleep_max_microseconds_per_block="0",
    )
    response = connection.getresponse()
    assert response.status == 200
    assert response.read(4) == b"0\t0\n"
    assert server.running("sleepEachRow") == 1
    response.close()
    connection.close()
    eventually(
        lambda: server.running("sleepEachRow") == 0, "a statement without its client must end"
    )


def test_an_error_after_the_first_rows_is_told(server: Server) -> None:
    """When rows are out already, the error stands at the end of the body, between the announced markers."""
    sql = "SELECT throwIf(number = 3000000, 'too late') FROM numbers(5000000)"
    reply = server.ask(sql, max_block_size="65536", wait_end_of_query="0")
    assert reply.status == 200
    tag = reply.headers["x-clickhouse-exception-tag"]
    assert f"__exception__\r\n{tag}".encode() in reply.body
    assert b"too late" in reply.body[-2000:]


def test_wait_end_of_query_gives_an_error_its_status(server: Server) -> None:
    """With `wait_end_of_query=1` a late error still answers with its own status and no rows."""
    sql = "SELECT throwIf(number = 3000000, 'too late') FROM numbers(5000000)"
    reply = server.ask(sql, max_block_size="65536", wait_end_of_query="1")
    assert (reply.status, reply.code) == (500, 395)
    assert reply.body.startswith(b"Code: 395.")


def test_max_execution_time_is_kept(server: Server) -> None:
    """A statement over its time, which would take hours, ends with TIMEOUT_EXCEEDED."""
    reply = server.ask(SLOW_QUERY, max_execution_time="1")
    assert (reply.status, reply.code) == (408, 159)


def test_kill_query_by_its_id(server: Server) -> None:
    """A statement can be killed by the id its client gave it."""
    query_id = str(uuid.uuid4())
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(server.ask, SLOW_QUERY, query_id=query_id, max_execution_time="60")
        eventually(
            lambda: server.running("sipHash64(number)") >= 1, "the statement must be under way"
        )
        server.text(f"KILL QUERY WHERE query_id = '{query_id}' SYNC")
        reply = slow.result(DEADLINE_SECONDS)
    assert (reply.status, reply.code) == (500, 394)


def test_a_read_ends_with_its_client(server: Server) -> None:
    """With `cancel_http_readonly_queries_on_client_close` a read ends when its client goes."""
    mark = f"mark_{uuid.uuid4().hex}"
    connection = server.open(
        f"/* {mark} */ {SLOW_QUERY}",
        cancel_http_readonly_queries_on_client_close="1",
        max_execution_time="60",
    )
    eventually(lambda: server.running(mark) == 1, "the statement must be under way")
    connection.close()
    eventually(lambda: server.running(mark) == 0, "the statement must end with its client")


def test_a_write_does_not_end_with_its_client(server: Server, table: str) -> None:
    """A complete insert without its client is stored all the same: a lost answer is no lost row."""
    connection = server.open(
        f"INSERT INTO {table} SELECT number, toString(sleepEachRow(0.03)) FROM numbers(50)",
        cancel_http_readonly_queries_on_client_close="1",
    )
    rows = f"SELECT count() FROM {table}"
    eventually(
        lambda: server.running(f"INSERT INTO {table}") == 1 or server.text(rows) == "50\n",
        "the insert must be under way",
    )
    connection.close()
    eventually(lambda: server.text(rows) == "50\n", "all 50 rows must be stored")


def test_twenty_queries_at_once(server: Server) -> None:
    """Twenty statements that overlap are all answered, and in less than their times together."""
    started = time.monotonic()
    with ThreadPoolExecutor(20) as threads:
        replies = list(
            threads.map(lambda number: server.text(f"SELECT {number}, sleep(1)"), range(20))
        )
    assert replies == [f"{number}\t0\n" for number in range(20)]
    assert time.monotonic() - started < 20


def test_ping_while_busy(server: Server) -> None:
    """`/ping` is answered while more statements run than are carried out at once, and waits for none."""
    with ThreadPoolExecutor(20) as threads:
        slow = [threads.submit(server.text, "SELECT sleep(1)") for _ in range(20)]
        assert server.request("GET", "/ping").status == 200
        assert not all(each.done() for each in slow)
        assert [each.result(DEADLINE_SECONDS) for each in slow] == ["0\n"] * 20


@pytest.mark.parametrize("compress", [False, "lz4", "zstd", "gzip"])
def test_connect_round_trip(server: Server, table: str, compress: str | bool) -> None:
    """clickhouse-connect inserts columns and reads them back, with every compression."""
    rows = [[number, f"väl{number}"] for number in range(20_000)]
    client = server.client(compress=compress)
    try:
        summary = client.insert(table, rows, column_names=["a", "b"])
        assert summary.written_rows == 20_000
        answer = client.query(f"SELECT a, b FROM {table} ORDER BY a")
        assert [list(row) for row in answer.result_rows] == rows
        assert client.command(f"SELECT count() FROM {table}") == 20_000
    finally:
        client.close()


def test_connect_parameters_and_types(server: Server) -> None:
    """clickhouse-connect binds parameters on the server and decodes its types."""
    client = server.client()
    try:
        text = "it's \\ a\ttab\nand ünï"
        row = client.query(
            "SELECT {text:String}, {numbers:Array(UInt64)}, toDecimal64('1.50', 2),"
            " toUUID('12345678-1234-5678-1234-567812345678')",
            parameters={"text": text, "numbers": [1, 2, 2**63]},
        ).result_rows[0]
        assert (row[0], list(row[1]), str(row[2]), str(row[3])) == (
            text,
            [1, 2, 2**63],
            "1.50",
            "12345678-1234-5678-1234-567812345678",
        )
    finally:
        client.close()


def test_connect_column_names_of_no_rows(server: Server, table: str) -> None:
    """`LIMIT 0` tells the columns."""
    client = server.client()
    try:
        assert client.query(f"SELECT * FROM {table} LIMIT 0").column_names == ("a", "b")
    finally:
        client.close()


def test_connect_streams(server: Server) -> None:
    """A stream of two million rows arrives block by block, in order and complete."""
    client = server.client()
    try:
        with client.query_row_block_stream(f"SELECT number FROM numbers({LARGE_ROWS})") as blocks:
            counts = [(len(block), block[0][0]) for block in blocks]
    finally:
        client.close()
    assert len(counts) > 1, "the answer must come in more than one block"
    assert sum(count for count, _ in counts) == LARGE_ROWS
    assert [first for _, first in counts] == sorted(first for _, first in counts)


def test_connect_sees_a_late_error(server: Server) -> None:
    """clickhouse-connect raises when a stream fails after its first rows."""
    client = server.client()
    sql = "SELECT number, throwIf(number = 3000000, 'too late') FROM numbers(5000000)"
    try:
        with (
            pytest.raises(StreamFailureError, match="too late"),
            client.query_row_block_stream(sql) as blocks,
        ):
            for _ in blocks:
                pass
    finally:
        client.close()


def test_connect_sees_the_error_code(server: Server) -> None:
    """clickhouse-connect's error carries ClickHouse's code."""
    client = server.client()
    try:
        with pytest.raises(DatabaseError, match="UNKNOWN_TABLE") as failure:
            client.query("SELECT * FROM no_such_table")
        assert failure.value.code == 60
    finally:
        client.close()


def test_connect_raw_insert_and_raw_query(server: Server, table: str) -> None:
    """Bytes go in and come out as they are."""
    client = server.client()
    try:
        rows = b'{"a":1,"b":"x"}\n{"a":2,"b":"y"}\n'
        client.raw_insert(table, ["a", "b"], rows, fmt="JSONEachRow")
        assert client.raw_query(f"SELECT a, b FROM {table} ORDER BY a", fmt="JSONEachRow") == rows
    finally:
        client.close()


def test_connect_async(server: Server, table: str) -> None:
    """The asynchronous client inserts, reads, streams and runs ten statements at once."""

    async def use() -> None:
        host, port = server.address
        client = await clickhouse_connect.get_async_client(
            host=host,
            port=port,
            username=server.user,
            password=server.password,
            database=server.database,
        )
        try:
            await client.insert(
                table, [[number, "x"] for number in range(1000)], column_names=["a", "b"]
            )
            answers = await asyncio.gather(
                *(client.query(f"SELECT sum(a) + {n} FROM {table}") for n in range(10))
            )
            assert [answer.result_rows[0][0] for answer in answers] == [
                499_500 + n for n in range(10)
            ]
            async with await client.query_row_block_stream(
                "SELECT number FROM numbers(500000)"
            ) as blocks:
                counts = [len(cast("list[object]", block)) async for block in blocks]
            assert sum(counts) == 500_000
            with pytest.raises(DatabaseError, match="UNKNOWN_TABLE"):
                await client.query("SELECT * FROM no_such_table")
        finally:
            await client.close()

    asyncio.run(use())
