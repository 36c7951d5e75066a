"""Find out what one SQL text asks for: its verb, the format of its answer, and data that follows an INSERT.

ClickHouse's HTTP interface takes a statement and the rows to insert as one stream of bytes. This
module finds the seam without understanding the statement; the engine parses it.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from trailhouse.devstack.engine_error import EngineError

READING_VERBS = frozenset(
    {
        "SELECT",
        "WITH",
        "FROM",
        "(",
        "SHOW",
        "DESCRIBE",
        "DESC",
        "EXISTS",
        "EXPLAIN",
        "CHECK",
        "VALUES",
    }
)
ANSWERING_VERBS = READING_VERBS | {"KILL", "BACKUP", "RESTORE"}

# Nothing here goes back over what it has read (`*+`), so a text takes time in proportion to its length. A
# quote that is never closed goes on to the end, as in ClickHouse's own lexer.
_TOKEN = re.compile(
    rb"""(?P<space>\s+|--[^\n]*|\#[ !][^\n]*|/\*.*?(?:\*/|\Z))
       | (?P<quoted>'(?:[^'\\]|\\.|'')*+(?:'|\\?\Z)
                   |"(?:[^"\\]|\\.|"")*+(?:"|\\?\Z)
                   |`(?:[^`\\]|\\.|``)*+(?:`|\\?\Z))
       | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
       | (?P<other>.)""",
    re.DOTALL | re.VERBOSE,
)
_SETTINGS_AFTER_FORMAT = re.compile(
    rb"\s+SETTINGS\s+\w+\s*=\s*(?:'(?:[^'\\]|\\.)*'|[\w.+-]+)(?:\s*,\s*\w+\s*=\s*(?:'(?:[^'\\]|\\.)*'|[\w.+-]+))*",
    re.IGNORECASE,
)
_GAP_BEFORE_DATA = re.compile(rb"[ \t\f]*;?[ \t\f]*\r?\n?")


class Statement(NamedTuple):
    """One statement of a request.

    Attributes:
        verb: First word in capitals, such as ``SELECT``; empty for an empty text.
        sql: What the engine is to run; for an INSERT with rows, everything before its settings and
            format.
        output_format: Named by the statement's own FORMAT clause; None without one.
        input_format: Format of the rows that follow; None when the statement carries none.
        data: The beginning of those rows.
        settings: The SETTINGS clause of an INSERT with rows.
    """

    verb: str
    sql: bytes
    output_format: str | None = None
    input_format: str | None = None
    data: bytes = b""
    settings: bytes = b""

    @property
    def answers(self) -> bool:
        """Whether the statement returns rows, none included."""
        return self.verb in ANSWERING_VERBS

    @property
    def only_reads(self) -> bool:
        """Whether it may be given up when its client is gone; what it may change, the engine decides."""
        return self.verb in READING_VERBS


class _Token(NamedTuple):
    text: bytes
    start: int
    end: int
    is_word: bool


def read_statement(text: bytes) -> Statement:
    """Read the statement at the start of *text*, which may go on with rows.

    Raises:
        EngineError: More than one statement (ClickHouse's code 62).
    """
    tokens = _tokens(text)
    first = next(tokens, None)
    if first is None:
        return Statement("", b"")
    verb = first.text.decode().upper() if first.is_word or first.text == b"(" else ""
    if verb == "INSERT" and (insert := _insert_with_rows(text, tokens)) is not None:
        return insert
    return Statement(verb, text, output_format=_output_format(text))


def _tokens(text: bytes) -> Iterator[_Token]:
    for match in _TOKEN.finditer(text):
        if match.lastgroup != "space":
            yield _Token(match.group(), match.start(), match.end(), match.lastgroup == "word")


def _top_level(tokens: Iterator[_Token]) -> Iterator[_Token]:
    depth = 0
    for token in tokens:
        if token.text in (b"(", b"[", b"{"):
            depth += 1
        elif token.text in (b")", b"]", b"}"):
            depth -= 1
            if depth == 0:
                yield token
        elif depth == 0:
            yield token


def _insert_with_rows(text: bytes, tokens: Iterator[_Token]) -> Statement | None:
    before = b"INSERT"
    tokens = _top_level(tokens)
    settings_start: int | None = None
    for token in tokens:
        word = (
            token.text.upper()
            if token.is_word and before not in (b"INTO", b"TABLE", b"FUNCTION", b".")
            else b""
        )
        if word in (b"SELECT", b"WITH", b"FROM", b"WATCH"):
            return None
        if word == b"SETTINGS":
            settings_start = token.start
        if word == b"VALUES":
            sql, settings = _apart(text, settings_start, token.start)
            return Statement(
                "INSERT", sql, input_format="Values", data=text[token.end :], settings=settings
            )
        if word == b"FORMAT" and (name := next(tokens, None)) is not None and name.is_word:
            return _rows_of_format(text, settings_start, token.start, name)
        before = token.text.upper()
    return None


def _apart(text: bytes, settings_start: int | None, end: int) -> tuple[bytes, bytes]:
    start = end if settings_start is None else settings_start
    return text[:start], text[start:end]


def _rows_of_format(
    text: bytes, settings_start: int | None, sql_end: int, name: _Token
) -> Statement:
    sql, settings = _apart(text, settings_start, sql_end)
    position = name.end
    if name.text.upper() != b"VALUES" and (behind := _SETTINGS_AFTER_FORMAT.match(text, position)):
        settings, position = settings + behind.group(), behind.end()
    gap = _GAP_BEFORE_DATA.match(text, position)
    data = text[gap.end() if gap else position :]
    return Statement("INSERT", sql, input_format=name.text.decode(), data=data, settings=settings)


def _output_format(text: bytes) -> str | None:
    found: str | None = None
    has_ended = False
    before: bytes = b""
    for token in _top_level(_tokens(text)):
        if has_ended and token.text != b";":
            raise EngineError(62, "SYNTAX_ERROR", "Syntax error (Multi-statements are not allowed)")
        has_ended = has_ended or token.text == b";"
        if before == b"FORMAT" and token.is_word:
            found = token.text.decode()
        before = token.text.upper() if token.is_word and before != b"." else token.text
    return found
