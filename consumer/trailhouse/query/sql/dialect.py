"""ClickHouse's SQL as readers may write it: sqlglot's dialect without what it knows of functions.

A function keeps the name and the arguments that it was written with: nothing is taken for something else, and there
is one place to ask which function it is. Imported late: sqlglot is optional.
"""

from typing import Any, ClassVar, NoReturn

from sqlglot.dialects.clickhouse import ClickHouse
from sqlglot.parsers.clickhouse import ClickHouseParser


class ReaderSqlParser(ClickHouseParser):
    """Knows CASE and CAST; every other function is a name and its arguments."""

    FUNCTIONS: ClassVar[dict[str, Any]] = {}
    NO_PAREN_FUNCTIONS: ClassVar[dict[Any, Any]] = {}
    FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {"CAST": ClickHouseParser.FUNCTION_PARSERS["CAST"]}
    NO_PAREN_FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {
        "CASE": ClickHouseParser.NO_PAREN_FUNCTION_PARSERS["CASE"]
    }

    def _warn_unsupported(self) -> NoReturn:
        # Upstream logs the statement, which may hold what no log may, and goes on with it as text.
        self.raise_error("is not a SELECT")
        raise AssertionError("raise_error returns only where errors are gathered")


class ReaderSql(ClickHouse):
    """What is parsed, and rendered again."""

    Parser = ReaderSqlParser
