"""What may be expected of ClickHouse's HTTP interface: requests, formats, settings, parameters, errors.

This and its two neighbours hold for a server and for the dev stack alike: the tests know an
address, a user and a password, and nothing of what stands behind them.
"""

import gzip
import json
import shutil
import subprocess
import uuid
from urllib.parse import urlencode

import pytest

from clickhouse_http import Server, curl

pytestmark = pytest.mark.cluster


def test_ping_answers_ok(server: Server) -> None:
    """`/ping` and `/` answer `Ok.` without a statement."""
    assert curl(server, f"{server.url}/ping") == b"Ok.\n"
    assert curl(server, f"{server.url}/") == b"Ok.\n"


def test_get_takes_the_statement_from_the_address(server: Server) -> None:
    """`curl 'http://…/?query=SELECT 1'` answers `1`."""
    assert curl(server, f"{server.url}/?query=SELECT%201") == b"1\n"


def test_post_takes_the_statement_from_the_body(server: Server) -> None:
    """`curl -d` sends a statement whatever content type curl names."""
    assert curl(server, server.url, "--data-binary", "SELECT 2") == b"2\n"


def test_rows_follow_the_statement_of_the_address(server: Server, table: str) -> None:
    """The statement may stand in the address and the rows in the body."""
    curl(
        server,
        f"{server.url}/?query=INSERT%20INTO%20{table}%20FORMAT%20CSV",
        "--data-binary",
        "@-",
        data=b'1,"x"\n2,"y"\n',
    )
    assert server.text(f"SELECT a, b FROM {table} ORDER BY a") == "1\tx\n2\ty\n"


def test_curl_sends_a_chunked_and_compressed_body(server: Server, table: str) -> None:
    """A body of unknown length, compressed with gzip, is read to its end."""
    rows = "".join(f"{number}\tv{number}\n" for number in range(1000)).encode()
    address = f"{server.url}/?query=INSERT%20INTO%20{table}%20FORMAT%20TSV"
    chunked = ["-H", "Transfer-Encoding: chunked", "-H", "Content-Encoding: gzip"]
    curl(server, address, *chunked, "--data-binary", "@-", data=gzip.compress(rows))
    assert server.text(f"SELECT count(), sum(a) FROM {table}") == "1000\t499500\n"


def test_unknown_path_is_not_found(server: Server) -> None:
    """A path that is none of ClickHouse's answers 404."""
    assert server.request("GET", "/nothing/here?query=SELECT+1").status == 404


def test_get_must_not_change_anything(server: Server, table: str) -> None:
    """A statement that writes is refused over GET with READONLY, and nothing is written."""
    reply = server.request(
        "GET", "/?" + urlencode({"query": f"INSERT INTO {table} VALUES (1, 'a')"})
    )
    assert (reply.status, reply.code) == (500, 164)
    assert server.text(f"SELECT count() FROM {table}") == "0\n"


def test_default_format_is_tab_separated(server: Server) -> None:
    """Without a format the answer is TabSeparated and says so."""
    reply = server.ask("SELECT 1, 'a'")
    assert reply.body == b"1\ta\n"
    assert reply.headers["x-clickhouse-format"] == "TabSeparated"
    assert reply.headers["content-type"].startswith("text/tab-separated-values")


@pytest.mark.parametrize("how", ["default_format", "clause"])
def test_format_can_be_chosen(server: Server, how: str) -> None:
    """A format comes from the statement or the address."""
    sql = "SELECT 1 AS one" + (" FORMAT JSONEachRow" if how == "clause" else "")
    values = {"default_format": "JSONEachRow"} if how == "default_format" else {}
    reply = server.ask(sql, **values)
    assert (reply.body, reply.headers["x-clickhouse-format"]) == (b'{"one":1}\n', "JSONEachRow")


def test_format_of_the_statement_wins(server: Server) -> None:
    """The statement's own FORMAT wins over the address's."""
    assert server.text("SELECT 1 AS one FORMAT CSV", default_format="JSONEachRow") == "1\n"


def test_a_column_may_be_called_format(server: Server) -> None:
    """The word FORMAT inside a text, a comment or a name chooses no format."""
    sql = "SELECT 'FORMAT CSV' AS format /* FORMAT JSON */ -- FORMAT XML\n"
    reply = server.ask(sql)
    assert (reply.status, reply.body) == (200, b"FORMAT CSV\n"), reply.body


def test_whole_document_formats_are_whole(server: Server) -> None:
    """JSON and CSVWithNames have one head and one tail, however many blocks there are."""
    answer = json.loads(server.text("SELECT number FROM numbers(200000) FORMAT JSON"))
    assert (answer["rows"], len(answer["data"])) == (200_000, 200_000)
    lines = server.text("SELECT number FROM numbers(200000) FORMAT CSVWithNames").splitlines()
    assert (lines[0], len(lines)) == ('"number"', 200_001)


def test_an_empty_answer_is_empty(server: Server, table: str) -> None:
    """No rows make an empty body, 200, and the format is still named."""
    reply = server.ask(f"SELECT * FROM {table}")
    assert (reply.status, reply.body, reply.headers["x-clickhouse-format"]) == (
        200,
        b"",
        "TabSeparated",
    )


def test_database_of_the_request(server: Server, table: str) -> None:
    """An unqualified name is looked up in the request's database, which lasts for the request."""
    name = table.split(".")[1]
    assert server.ask(f"SELECT count() FROM {name}", database=server.database).body == b"0\n"
    assert server.ask(f"SELECT count() FROM {name}").status == 404


def test_settings_come_from_the_address_and_last_for_the_request(server: Server) -> None:
    """Any setting can be given in the address; the next request has the default again."""
    assert server.text("SELECT getSetting('max_block_size')", max_block_size="17") == "17\n"
    assert server.text("SELECT getSetting('max_block_size')") != "17\n"


@pytest.mark.parametrize("readonly", ["1", "2"])
def test_what_one_request_may_not_the_next_may(server: Server, table: str, readonly: str) -> None:
    """A request that may only read, twice over, takes nothing from those after it."""
    for _ in range(2):
        assert server.text("SELECT 1", readonly=readonly) == "1\n"
        server.text(f"INSERT INTO {table} VALUES (1, 'a')")
        reply = server.request(
            "GET", "/?" + urlencode({"query": f"INSERT INTO {table} VALUES (1, 'a')"})
        )
        assert reply.code == 164
    assert server.text(f"SELECT count() FROM {table}") == "2\n"


def test_a_database_that_was_dropped_is_unknown(server: Server) -> None:
    """What was asked of a database before says nothing of it after it was dropped."""
    name = f"d{uuid.uuid4().hex[:8]}"
    server.text(f"CREATE DATABASE {name}")
    assert server.text("SELECT 1", database=name) == "1\n"
    server.text(f"DROP DATABASE {name}")
    assert server.ask("SELECT 1", database=name).code == 81


def test_settings_of_an_insert_end_with_it(server: Server, table: str) -> None:
    """Settings in an INSERT hold for that statement alone, whatever comes after it."""
    for _ in range(2):
        sql = f"INSERT INTO {table} SETTINGS max_block_size = 17 FORMAT CSV\n1,a\n"
        assert server.ask(sql).status == 200
        assert server.text("SELECT getSetting('max_block_size')") != "17\n"


def test_the_settings_that_trailhouse_uses_are_known(server: Server, table: str) -> None:
    """The settings of the worker's inserts and the reader's queries are accepted."""
    server.text(
        f"INSERT INTO {table} VALUES (1, 'a')",
        async_insert="0",
        wait_for_async_insert="1",
        insert_deduplicate="1",
        insert_deduplication_token="token",
        max_insert_block_size="1048576",
        input_format_parallel_parsing="0",
        max_execution_time="30",
        wait_end_of_query="1",
        send_progress_in_http_headers="0",
        date_time_input_format="best_effort",
    )
    assert server.text(f"SELECT count() FROM {table}", max_threads="1", final="0") == "1\n"


def test_unknown_setting_is_refused(server: Server) -> None:
    """A setting nobody knows is an error, not ignored."""
    reply = server.ask("SELECT 1", no_such_setting="1")
    assert (reply.status, reply.code) == (404, 115)


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        ("UInt8", "7", "7"),
        ("String", "it's", "it\\'s"),
        ("String", "a\\tb", "a\\tb"),
        ("String", "a\\\\b", "a\\\\b"),
        ("String", "'; DROP TABLE x; --", "\\'; DROP TABLE x; --"),
        ("String", "ünï", "ünï"),
        ("String", "", ""),
        ("Nullable(String)", "\\N", "\\N"),
        ("Array(String)", "['a','b']", "['a','b']"),
        ("DateTime64(3, 'UTC')", "2026-01-02 03:04:05.678", "2026-01-02 03:04:05.678"),
        ("Identifier", "number", "0"),
    ],
)
def test_parameters_are_data(server: Server, kind: str, given: str, expected: str) -> None:
    """`param_x` fills `{x:Type}`: escaped as TabSeparated is, never part of the statement."""
    assert server.text(f"SELECT {{x:{kind}}} FROM numbers(1)", param_x=given) == f"{expected}\n"


def test_a_missing_parameter_is_named(server: Server) -> None:
    """A parameter that is not given is an error that names it."""
    reply = server.ask("SELECT {wanted:String}")
    assert reply.status >= 400
    assert reply.code == 456
    assert b"wanted" in reply.body


def test_parameters_in_a_form(server: Server) -> None:
    """Statement and parameters may come as fields of a form, as clients do for long ones."""
    answer = curl(server, server.url, "-F", "query=SELECT {x:String}", "-F", "param_x=long")
    assert answer == b"long\n"


def test_headers_of_an_answer(server: Server) -> None:
    """An answer names its query, its server, its time zone and what it read."""
    query_id = str(uuid.uuid4())
    reply = server.ask("SELECT number FROM numbers(10)", query_id=query_id, wait_end_of_query="1")
    assert reply.headers["x-clickhouse-query-id"] == query_id
    assert reply.headers["x-clickhouse-server-display-name"]
    assert reply.headers["x-clickhouse-timezone"]
    assert {
        "read_rows",
        "read_bytes",
        "written_rows",
        "written_bytes",
        "result_rows",
        "elapsed_ns",
    } <= set(reply.summary)
    assert reply.summary["result_rows"] == 10


def test_summary_counts_what_was_read(server: Server, table: str) -> None:
    """`read_rows` shows whether an index was used: one granule, not the whole table."""
    server.text(f"INSERT INTO {table} SELECT number, 'x' FROM numbers(200000)")
    server.text(f"OPTIMIZE TABLE {table} FINAL")
    one = server.ask(f"SELECT b FROM {table} WHERE a = 5", wait_end_of_query="1").summary
    every = server.ask(
        f"SELECT sum(length(b)) FROM {table} WHERE b != ''", wait_end_of_query="1"
    ).summary
    assert 0 < one["read_rows"] <= 8192
    assert every["read_rows"] == 200_000


@pytest.mark.parametrize(
    ("sql", "status", "code", "name"),
    [
        ("SELEC 1", 400, 62, "SYNTAX_ERROR"),
        ("SELECT 1; SELECT 2", 400, 62, "SYNTAX_ERROR"),
        ("SELECT * FROM no_such_table", 404, 60, "UNKNOWN_TABLE"),
        ("SELECT * FROM no_such_database.x", 404, 81, "UNKNOWN_DATABASE"),
        ("SELECT no_such_column FROM system.one", 404, 47, "UNKNOWN_IDENTIFIER"),
        ("SELECT no_such_function(1)", 404, 46, "UNKNOWN_FUNCTION"),
        ("SELECT 1 FORMAT NoSuchFormat", 404, 73, "UNKNOWN_FORMAT"),
        ("SELECT toDate('x')", 400, 38, "CANNOT_PARSE_DATE"),
        ("SELECT throwIf(1)", 500, 395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"),
        ("INSERT INTO no_such_table VALUES (1)", 404, 60, "UNKNOWN_TABLE"),
        ("SELECT 1 SETTINGS no_such_setting = 1", 404, 115, "UNKNOWN_SETTING"),
    ],
)
def test_errors(server: Server, sql: str, status: int, code: int, name: str) -> None:
    """A failed statement answers with ClickHouse's status, code and name."""
    reply = server.ask(sql)
    assert (reply.status, reply.headers.get("x-clickhouse-exception-code")) == (
        status,
        str(code),
    ), reply.body
    text = reply.body.decode()
    assert text.startswith(f"Code: {code}. DB::Exception: ")
    assert f"({name})" in text
    assert "(version " in text
    assert text.endswith("\n")


def test_unknown_database_of_the_request(server: Server) -> None:
    """A database that does not exist refuses the request with 404."""
    reply = server.ask("SELECT 1", database="no_such_database")
    assert (reply.status, reply.code) == (404, 81)


def test_wrong_password_is_refused(server: Server) -> None:
    """Wrong credentials are refused with code 516 before anything is run."""
    reply = server.ask("SELECT 1", {"X-ClickHouse-User": "nobody", "X-ClickHouse-Key": "wrong"})
    assert reply.status in (401, 403)
    assert reply.code == 516


def test_credentials_of_basic_authorization(server: Server) -> None:
    """HTTP's own Basic authorization is understood."""
    program = str(shutil.which("curl"))
    done = subprocess.run(
        [
            program,
            "-sS",
            "--user",
            f"{server.user}:{server.password}",
            f"{server.url}/?query=SELECT%201",
        ],
        capture_output=True,
        check=True,
    )
    assert done.stdout == b"1\n"


def test_readonly_refuses_writes(server: Server, table: str) -> None:
    """`readonly=1` refuses a write with code 164; a read goes through."""
    reply = server.ask(f"INSERT INTO {table} VALUES (1, 'a')", readonly="1")
    assert reply.code == 164
    assert server.text(f"SELECT count() FROM {table}", readonly="1", max_threads="1") == "0\n"
