"""How runs, sessions, results and errors are read in whatever form a caller has them."""

import uuid
from types import SimpleNamespace
from typing import Any

import pytest

from trailhouse.producer import object_fields
from trailhouse.schemas import Run, Session


@pytest.mark.parametrize(
    ("run", "session"),
    [
        (Run("r", "s", parent_run_id="p"), Session("s", agent_id="a", tenant_id="t")),
        ({"id": "r", "parent_run_id": "p"}, {"id": "s", "agent_id": "a", "tenant_id": "t"}),
        (
            SimpleNamespace(id="r", parent_run_id="p"),
            SimpleNamespace(id="s", agent_id="a", tenant_id="t"),
        ),
        (Run("r", "s", parent_run_id="p", agent_id="a"), SimpleNamespace(tenant_id="t")),
    ],
)
def test_structs_mappings_and_objects_are_read_alike(run: object, session: object) -> None:
    """The envelope is the same whatever form run and session have."""
    assert object_fields.context_fields(run, session) == {
        "session_id": "s", "run_id": "r", "parent_run_id": "p", "agent_id": "a", "tenant_id": "t", "provider": None,
    }  # fmt: skip


def test_a_uuid_is_read_as_text() -> None:
    """Ids given as UUID objects become their text."""
    run_id = uuid.uuid4()

    assert object_fields.context_fields({"id": run_id}, {"id": "s"})["run_id"] == str(run_id)


def test_the_run_does_not_hide_a_wrong_session() -> None:
    """A session's empty id is left for the event to refuse; a session without one has its run's."""
    run = Run("r", "s")

    assert object_fields.context_fields(run, Session(""))["session_id"] == ""
    assert object_fields.context_fields(run, None)["session_id"] == "s"


def test_text_alone_is_a_message() -> None:
    """An error that is only text has a message and no code."""
    assert object_fields.code_and_message("boom") == (None, "boom")


@pytest.mark.parametrize("nothing", [None, {}, object()])
def test_missing_keys_become_null_and_usage_an_empty_object(nothing: object) -> None:
    """A missing key is null, a missing token_usage is {}, and nothing is ever an error."""
    assert object_fields.started_data(nothing, nothing) == {"agent_id": None, "run_status": None}
    assert object_fields.completed_data(nothing, nothing, nothing) == {
        "agent_id": None,
        "token_usage": {},
    }
    assert object_fields.failed_data(nothing, nothing, nothing) == {
        "agent_id": None,
        "error_code": None,
        "error_message": None,
    }


def test_what_is_known_of_a_result_is_kept() -> None:
    """Cost, stop reason and duration are kept when they are there, zero included."""
    result = {
        "token_usage": {"input_tokens": 1},
        "cost_usd": 0,
        "stop_reason": "end",
        "duration_ms": 1.5,
        "output": "x",
    }

    assert object_fields.completed_data(None, None, result) == {
        "agent_id": None, "token_usage": {"input_tokens": 1}, "cost_usd": 0, "stop_reason": "end", "duration_ms": 1.5,
    }  # fmt: skip


class CodedError(Exception):
    code = "rate_limit"


class BrokenError(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"code": "timeout", "message": "too slow"}, ("timeout", "too slow")),
        ({"message": "too slow"}, (None, "too slow")),
        (SimpleNamespace(code=7, message="m"), (7, "m")),
        (ValueError("wrong"), ("ValueError", "wrong")),
        (CodedError("slow down"), ("rate_limit", "slow down")),
        (SystemExit(3), ("SystemExit", "3")),
        (ValueError("file \udc80"), ("ValueError", "file \\udc80")),
        (BrokenError(), ("BrokenError", "<BrokenError whose text raised RuntimeError>")),
    ],
)
def test_an_error_gives_code_and_message(error: object, expected: tuple[Any, Any]) -> None:
    """A mapping gives its own code and message, an exception its code or class, and its text."""
    assert object_fields.code_and_message(error) == expected
