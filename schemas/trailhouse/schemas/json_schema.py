"""The published JSON Schema of a record, generated from the struct that reads it."""

from importlib import resources
from typing import Any

import msgspec

from trailhouse.schemas.event_type import TYPE_PATTERN, EventType
from trailhouse.schemas.record import Envelope

FILE_NAME = "event.schema.json"


def generate() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a record; a test compares it with the file we ship."""
    schema = msgspec.json.schema(Envelope)
    envelope = schema["$defs"]["Envelope"]
    envelope["title"] = "Trailhouse audit event"
    envelope["properties"]["type"] |= {
        "pattern": f"^{TYPE_PATTERN}$",
        "examples": [str(name) for name in EventType],
    }
    envelope["properties"]["event_id"] |= {"format": "uuid"}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def published() -> dict[str, Any]:
    """Return the JSON Schema file that ships with the package."""
    text = resources.files("trailhouse.schemas").joinpath(FILE_NAME).read_bytes()
    return msgspec.json.decode(text, type=dict[str, Any])


def render() -> str:
    """Return the file's text."""
    return (
        msgspec.json.format(
            msgspec.json.encode(generate(), order="deterministic"), indent=2
        ).decode()
        + "\n"
    )
