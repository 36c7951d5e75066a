"""What a model is shown: nothing in it is unseen, and it means the same."""

import json

import pytest

from hostile_texts import HOSTILE_TEXTS
from trailhouse.access.json_form import encoded
from trailhouse.mcp.visible import visible


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_what_cannot_be_seen_is_an_escape(text: str) -> None:
    """Controls, DEL among them, format and private characters, in keys and values; JSON stays what it was."""
    shown = visible(encoded({text: [text]}).decode())
    assert shown.isprintable()
    assert json.loads(shown) == {text: [text]}
