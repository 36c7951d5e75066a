"""What ClickHouse says when a statement fails, and the HTTP status that goes with it."""

import re

from trailhouse.schemas.errors import StorageError

_MESSAGE = re.compile(r"Code: (?P<code>\d+)\. (?P<text>.*)", re.DOTALL)
_NAME = re.compile(r"\((?P<name>[A-Z][A-Z0-9_]+)\)\s*(?:\(version [^)]*\)?\)?)?\s*$")

_STATUS_BY_NAME = {
    400: (
        "BAD_ARGUMENTS CANNOT_COMPILE_REGEXP CANNOT_PARSE_TEXT CANNOT_PARSE_ESCAPE_SEQUENCE CANNOT_PARSE_QUOTED_STRING"
        " CANNOT_PARSE_DATE CANNOT_PARSE_DATETIME CANNOT_PARSE_NUMBER CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING"
        " CANNOT_PARSE_IPV4 CANNOT_PARSE_IPV6 CANNOT_PARSE_INPUT_ASSERTION_FAILED CANNOT_PARSE_UUID DUPLICATE_COLUMN"
        " ILLEGAL_COLUMN UNKNOWN_ELEMENT_IN_AST UNKNOWN_TYPE_OF_AST_NODE THERE_IS_NO_COLUMN TOO_DEEP_AST TOO_BIG_AST"
        " UNEXPECTED_AST_STRUCTURE SYNTAX_ERROR INCORRECT_DATA TYPE_MISMATCH VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE"
    ),
    401: "REQUIRED_PASSWORD",
    403: "UNKNOWN_USER WRONG_PASSWORD AUTHENTICATION_FAILED SET_NON_GRANTED_ROLE ACCESS_DENIED",
    404: (
        "UNKNOWN_TABLE UNKNOWN_FUNCTION UNKNOWN_IDENTIFIER UNKNOWN_TYPE UNKNOWN_STORAGE UNKNOWN_DATABASE"
        " UNKNOWN_SETTING UNKNOWN_DIRECTION_OF_SORTING UNKNOWN_AGGREGATE_FUNCTION UNKNOWN_FORMAT"
        " UNKNOWN_DATABASE_ENGINE UNKNOWN_TYPE_OF_QUERY UNKNOWN_ROLE"
    ),
    408: "TIMEOUT_EXCEEDED",
    411: "HTTP_LENGTH_REQUIRED",
    413: "QUERY_IS_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    501: "NOT_IMPLEMENTED",
    503: "SOCKET_TIMEOUT CANNOT_OPEN_FILE CANNOT_SCHEDULE_TASK",
}
HTTP_STATUS = {name: status for status, names in _STATUS_BY_NAME.items() for name in names.split()}


class EngineError(StorageError):
    """A statement failed inside the engine, or was refused before it got there.

    It never leaves this server: it becomes an HTTP answer, as ClickHouse words it.
    """

    def __init__(self, code: int, name: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.name = name
        self.text = text

    @property
    def status(self) -> int:
        """The HTTP status ClickHouse answers with."""
        return HTTP_STATUS.get(self.name, 500)

    def body(self, version: str) -> str:
        """The answer's text, such as ``Code: 60. DB::Exception: … (UNKNOWN_TABLE) (version …)``."""
        return f"Code: {self.code}. DB::Exception: {self.text} ({self.name}) (version {version})\n"


def from_engine(error: Exception) -> EngineError:
    """Read the code, the name and the text out of the engine's own message."""
    found = _MESSAGE.search(str(error))
    if found is None:
        return EngineError(1001, "STD_EXCEPTION", str(error).strip())
    text = found["text"].removeprefix("DB::Exception: ").strip()
    name = _NAME.search(text)
    if name is None:
        return EngineError(int(found["code"]), "UNKNOWN_EXCEPTION", text)
    return EngineError(int(found["code"]), name["name"], text[: name.start()].rstrip())
