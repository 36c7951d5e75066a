"""Where a statement ends and its rows begin, and which format its answer has."""

import subprocess
import sys

import pytest

from trailhouse.devstack.engine_error import EngineError
from trailhouse.devstack.statement import Statement, read_statement


@pytest.mark.parametrize(
    ("text", "sql", "input_format", "data"),
    [
        (b"INSERT INTO t FORMAT CSV\n1,2", b"INSERT INTO t ", "CSV", b"1,2"),
        (b"INSERT INTO t FORMAT CSV 1,2", b"INSERT INTO t ", "CSV", b"1,2"),
        (b"INSERT INTO t FORMAT Native\r\n\x00\n", b"INSERT INTO t ", "Native", b"\x00\n"),
        (b"INSERT INTO t FORMAT Native\n\n\x01", b"INSERT INTO t ", "Native", b"\n\x01"),
        (b"insert into t(a, b) values (1, 'x')", b"insert into t(a, b) ", "Values", b" (1, 'x')"),
        (
            b"INSERT INTO format (format) FORMAT CSV\n1",
            b"INSERT INTO format (format) ",
            "CSV",
            b"1",
        ),
        (b"INSERT INTO values.format VALUES (1)", b"INSERT INTO values.format ", "Values", b" (1)"),
        (b"INSERT INTO `a FORMAT x` FORMAT TSV\n1", b"INSERT INTO `a FORMAT x` ", "TSV", b"1"),
        (
            b"-- FORMAT x\nINSERT INTO t /* VALUES */ FORMAT TSV\n1",
            b"-- FORMAT x\nINSERT INTO t /* VALUES */ ",
            "TSV",
            b"1",
        ),
        (b"INSERT INTO {t:Identifier} FORMAT CSV\n1", b"INSERT INTO {t:Identifier} ", "CSV", b"1"),
        (b"INSERT INTO t FORMAT JSONEachRow", b"INSERT INTO t ", "JSONEachRow", b""),
    ],
)
def test_rows_begin_behind_the_format(
    text: bytes, sql: bytes, input_format: str, data: bytes
) -> None:
    """Everything before the format is the statement; one line end after it belongs to neither."""
    assert read_statement(text) == Statement("INSERT", sql, None, input_format, data)


@pytest.mark.parametrize(
    "text",
    [
        b"INSERT INTO t SETTINGS a = 'FORMAT b', c = 1 FORMAT CSV\n1",
        b"INSERT INTO t FORMAT CSV SETTINGS a = 'FORMAT b', c = 1\n1",
    ],
)
def test_settings_of_an_insert_stand_apart(text: bytes) -> None:
    """The SETTINGS clause is told from the statement, before the format or behind it."""
    statement = read_statement(text)

    assert (statement.sql.strip(), statement.data) == (b"INSERT INTO t", b"1")
    assert statement.settings.strip() == b"SETTINGS a = 'FORMAT b', c = 1"


@pytest.mark.parametrize(
    "text",
    [
        b"INSERT INTO t SELECT 1 FORMAT CSV",
        b"INSERT INTO t (a) WITH 1 AS x SELECT x",
        b"INSERT INTO t (SELECT 1)",
        b"INSERT INTO t FROM INFILE 'x' FORMAT CSV",
    ],
)
def test_an_insert_without_rows_is_run_as_it_is(text: bytes) -> None:
    """An INSERT that takes its rows from elsewhere goes to the engine whole."""
    statement = read_statement(text)
    assert (statement.verb, statement.sql, statement.input_format) == ("INSERT", text, None)


@pytest.mark.parametrize(
    ("text", "verb", "output_format"),
    [
        (b"SELECT 1", "SELECT", None),
        (b"select 1 format JSON", "SELECT", "JSON"),
        (b"SELECT 1 FORMAT CSV;", "SELECT", "CSV"),
        (b"SELECT 1 FORMAT CSV SETTINGS max_threads = 1", "SELECT", "CSV"),
        (b"SELECT 1 SETTINGS max_threads = 1 FORMAT CSV", "SELECT", "CSV"),
        (b"SELECT 'FORMAT CSV'", "SELECT", None),
        (b"SELECT 'it''s FORMAT x' FORMAT TSV", "SELECT", "TSV"),
        (b"SELECT 'a\\'FORMAT x' FORMAT TSV", "SELECT", "TSV"),
        (b"SELECT (SELECT 1 FORMAT x)", "SELECT", None),
        (b"SELECT 1 AS `FORMAT`", "SELECT", None),
        (b"/* x */ -- y\n WITH 1 AS a SELECT a", "WITH", None),
        (b"(SELECT 1)", "(", None),
        (b"  \n", "", None),
        (b"-- nothing", "", None),
    ],
)
def test_verb_and_format(text: bytes, verb: str, output_format: str | None) -> None:
    """The verb is the first word that is no comment; the format is the statement's own, not a text's."""
    statement = read_statement(text)
    assert (statement.verb, statement.output_format) == (verb, output_format)


def test_one_statement_at_a_time() -> None:
    """A second statement is refused; a semicolon at the end, or inside a text, is not one."""
    assert read_statement(b"SELECT ';' ; -- the end\n").verb == "SELECT"
    with pytest.raises(EngineError, match="Multi-statements"):
        read_statement(b"SELECT 1; DROP TABLE x")


@pytest.mark.parametrize(
    ("text", "reads"),
    [(b"SHOW TABLES", True), (b"SYSTEM FLUSH LOGS", False), (b"DROP TABLE t", False)],
)
def test_which_statements_only_read(text: bytes, reads: bool) -> None:
    """Only a statement that reads is given up with its client; any other goes on to its end."""
    assert read_statement(text).only_reads is reads


PIECES = [
    *(b"'", b"''", b"\\'", b"'\\", b'"\\', b"`\\", b"`\\'", b"'\\\"`", b"/*", b"--"),
    *(b"a ", b"(", b" ", b"FORMAT x "),
]


@pytest.mark.long
@pytest.mark.parametrize(
    "start", [b"SELECT ", b"INSERT INTO t ", b"INSERT INTO t FORMAT CSV SETTINGS a='"]
)
def test_a_text_takes_time_in_proportion_to_its_length(start: bytes) -> None:
    """The longest statement there may be is read in seconds, whatever it consists of."""
    # In a process of its own: nothing else ends a pattern that goes back and back.
    program = (
        "from trailhouse.devstack.statement import read_statement\n"
        f"for piece in {PIECES!r}:\n"
        "    print(piece, flush=True)\n"
        f"    read_statement({start!r} + piece * (1_048_576 // len(piece)))"
    )
    subprocess.run([sys.executable, "-P", "-c", program], timeout=90, check=True)


@pytest.mark.parametrize("quote", ["'", '"', "`"])
@pytest.mark.parametrize("text", ["", "a", "\\", "\\\\", "a; b", "a /* b", "{0}{0}", "\\{0}"])
def test_an_open_quote_goes_on_to_the_end(quote: str, text: str) -> None:
    """What is behind a quote that is never closed is no format and no second statement."""
    open_text = f"SELECT {quote}{text.format(quote)} FORMAT CSV; SELECT 2"
    assert read_statement(open_text.encode()).output_format is None
