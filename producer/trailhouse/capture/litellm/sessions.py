"""Which session a call of LiteLLM's belongs to, where no run is bound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trailhouse.producer.object_fields import read

if TYPE_CHECKING:
    from collections.abc import Mapping

SESSION_KEYS = ("session_id", "thread_id", "conversation_id")


def session_of(details: Mapping[str, Any]) -> str | None:
    """Return the session that a call's metadata names; None where it names none."""
    params = details.get("litellm_params")
    for source in (read(params, "metadata"), read(params, "litellm_metadata")):
        for key in SESSION_KEYS:
            given = read(source, key)
            if isinstance(given, str) and given:
                return given
    given = read(params, "litellm_session_id")
    return given if isinstance(given, str) and given else None
