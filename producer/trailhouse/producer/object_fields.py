"""What callers say of a run, a session, a result or an error, in whatever form they have it.

Structs, mappings and any object with the same names are read alike; a missing name is None.
"""

import enum
import uuid
from collections.abc import Mapping
from typing import Any, cast

from trailhouse.schemas.json_form import exception_text, is_a, is_text, kind_of

TOKEN_NAMES = ("input_tokens", "output_tokens", "total_tokens")


class Unreadable:
    """Stands for what raised when it was read: it has no plain form, and so is refused or marked by name."""


def read(source: object, *names: str) -> Any:
    """Return the first of *names* that *source* has and that is not None; None when it has none."""
    for name in names:
        try:
            value: Any = (
                source.get(name) if isinstance(source, Mapping) else getattr(source, name, None)
            )
        except Exception:  # noqa: BLE001 - a foreign property may raise anything
            return Unreadable()
        if value is not None:
            return value
    return None


def read_id(source: object, *names: str) -> Any:
    """Return an id; a UUID as its text, anything else as it is, for the event to judge."""
    value = read(source, *names)
    return uuid.UUID.__str__(value) if issubclass(type(value), uuid.UUID) else value


def context_fields(run: object, session: object) -> dict[str, Any]:
    """Return the envelope fields that *run* and *session* give; either may be None."""
    session_id, tenant_id = read_id(session, "id", "session_id"), read_id(session, "tenant_id")
    return {
        # An empty id is the caller's mistake, for the event to refuse: the run's must not hide it.
        "session_id": read_id(run, "session_id") if session_id is None else session_id,
        "run_id": read_id(run, "id", "run_id"),
        "parent_run_id": read_id(run, "parent_run_id"),
        "agent_id": agent_id_of(run, session),
        "tenant_id": read_id(run, "tenant_id") if tenant_id is None else tenant_id,
        "provider": _first_given(read(run, "provider"), read(session, "provider")),
    }


def agent_id_of(run: object, session: object) -> Any:
    """Return the agent of the run, else of the session."""
    return _first_given(read_id(run, "agent_id"), read_id(session, "agent_id"))


def _first_given(first: Any, second: Any) -> Any:
    # Not `or`: what somebody else's object says of its truth may raise, as an array's does.
    return second if first is None or (type(first) is str and not first) else first


def metadata_of(run: object, session: object) -> dict[str, Any] | None:
    """Return what *run* and *session* say beside an envelope; None when that is nothing.

    An object of another library may have something else by these names, which is not for us.
    """
    status = read(session, "status")
    metadata = {
        "run_metadata": read(run, "metadata"),
        "session_metadata": read(session, "metadata"),
        "session_status": status if is_a(status, (str, enum.Enum)) else None,
    }
    for name in ("run_metadata", "session_metadata"):
        if not is_a(metadata[name], Mapping) or _is_empty(metadata[name]):
            metadata[name] = None
    return {name: value for name, value in metadata.items() if value is not None} or None


def _is_empty(mapping: Any) -> bool:
    try:
        return not mapping
    except Exception:  # noqa: BLE001 - a foreign length may raise anything; the event refuses or marks it
        return False


def started_data(run: object, session: object) -> dict[str, Any]:
    """Return the data of `run_started`."""
    return {"agent_id": agent_id_of(run, session), "run_status": read(run, "status")}


def completed_data(run: object, session: object, result: object) -> dict[str, Any]:
    """Return the data of `run_completed`; what is not known is left out, but never `token_usage`."""
    usage = read(result, "token_usage")
    data = {"agent_id": agent_id_of(run, session), "token_usage": {} if usage is None else usage}
    optional = {name: read(result, name) for name in ("cost_usd", "stop_reason", "duration_ms")}
    return data | {name: value for name, value in optional.items() if value is not None}


def failed_data(run: object, session: object, error: object) -> dict[str, Any]:
    """Return the data of `run_failed` and `error_occurred`."""
    code, message = code_and_message(error)
    return {"agent_id": agent_id_of(run, session), "error_code": code, "error_message": message}


def code_and_message(error: object) -> tuple[Any, Any]:
    """Return what identifies *error*: its `code`, else an exception's class; and its message.

    Text alone is a message.
    """
    if is_text(error):
        return None, error
    code = read(error, "code", "error_code")
    if not issubclass(type(error), BaseException):
        return code, read(error, "message", "error_message")
    return code if is_text(code) else kind_of(error), exception_text(cast(BaseException, error))


def given(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of *data* is not None."""
    return {name: value for name, value in data.items() if value is not None}
