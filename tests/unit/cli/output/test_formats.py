"""How a result is written: an event a line, whoever wrote its record."""

import json

from trailhouse.cli.output.formats import one_line


def test_a_record_with_line_breaks_becomes_one_line() -> None:
    """A record written over several lines by another producer stays one line, and the same event."""
    event = {"session_id": "s", "type": "a", "data": {"text": "a\nb"}}
    line = one_line(json.dumps(event, indent=1).replace("\n", "\r\n").encode())
    assert b"\n" not in line
    assert b"\r" not in line
    assert json.loads(line) == event
