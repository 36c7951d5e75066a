"""ClickHouse's errors as this server passes them on."""

import pytest

from trailhouse.devstack.engine_error import EngineError, from_engine


@pytest.mark.parametrize(
    ("message", "code", "name", "text"),
    [
        (
            "Code: 60. DB::Exception: Table x does not exist. (UNKNOWN_TABLE)",
            60,
            "UNKNOWN_TABLE",
            "Table x does not exist.",
        ),
        (
            "Code: 62. DB::Exception: Bad (x). (SYNTAX_ERROR) (version 26.9.2.1)",
            62,
            "SYNTAX_ERROR",
            "Bad (x).",
        ),
        (
            "Streaming failed: Code: 395. DB::Exception: no\nway. (A_NAME)",
            395,
            "A_NAME",
            "no\nway.",
        ),
        ("Code: 7. DB::Exception: without a name", 7, "UNKNOWN_EXCEPTION", "without a name"),
        ("something else", 1001, "STD_EXCEPTION", "something else"),
    ],
)
def test_the_engines_message_is_taken_apart(message: str, code: int, name: str, text: str) -> None:
    """Code, name and text come out of the engine's message, whatever surrounds them."""
    error = from_engine(RuntimeError(message))
    assert (error.code, error.name, error.text) == (code, name, text)


def test_the_body_reads_like_clickhouses() -> None:
    """The answer's text has ClickHouse's shape and ends with a line end."""
    body = EngineError(60, "UNKNOWN_TABLE", "Table x does not exist.").body("26.9")
    assert (
        body == "Code: 60. DB::Exception: Table x does not exist. (UNKNOWN_TABLE) (version 26.9)\n"
    )


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("SYNTAX_ERROR", 400),
        ("AUTHENTICATION_FAILED", 403),
        ("UNKNOWN_TABLE", 404),
        ("TIMEOUT_EXCEEDED", 408),
        ("MEMORY", 500),
    ],
)
def test_status(name: str, status: int) -> None:
    """Each error has the HTTP status ClickHouse gives it; an unknown one is 500."""
    assert EngineError(1, name, "x").status == status
