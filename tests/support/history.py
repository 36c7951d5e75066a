"""What a producer says it did: a line before and a line after each event, forced to the disk.

``invoke <event id> <session> <seq> <hash>``, then ``ok``, ``fail`` or ``info`` with the event's id. An
``invoke`` without an answer is a call during which the process died: ``info``.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

Outcome = Literal["ok", "fail", "info"]


class Invoked(NamedTuple):
    """One call that logs an event: what was asked, and what came of it."""

    event_id: str
    session_id: str
    seq: int
    digest: str
    outcome: Outcome


def digest_of(event_id: str, session_id: str, data: Mapping[str, Any]) -> str:
    """Return the hash of what the caller gave; the rest of an event is stamped by the library."""
    content = json.dumps([event_id, session_id, data], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


class History:
    """Appends lines to a file; each is on the disk when the call returns."""

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_DSYNC
        self._file = os.open(path, flags, 0o600)

    def invoke(self, event_id: str, session_id: str, seq: int, data: Mapping[str, Any]) -> None:
        """Note that the event is about to be logged."""
        self._write("invoke", event_id, session_id, seq, digest_of(event_id, session_id, data))

    def outcome(self, event_id: str, outcome: Outcome) -> None:
        """Note what came of it."""
        self._write(outcome, event_id)

    def _write(self, *words: object) -> None:
        os.write(self._file, (" ".join(map(str, words)) + "\n").encode())


def read_history(path: Path) -> dict[str, Invoked]:
    """Return every event of a history by its id; a line that a kill has cut off counts as unwritten."""
    found: dict[str, Invoked] = {}
    content = path.read_text() if path.exists() else ""
    for line in content[: content.rfind("\n") + 1].splitlines():
        match line.split(" "):
            case ["invoke", event_id, session_id, seq, digest]:
                found[event_id] = Invoked(event_id, session_id, int(seq), digest, "info")
            case ["ok" | "fail" | "info" as outcome, event_id]:
                found[event_id] = found[event_id]._replace(outcome=outcome)
            case _:
                raise ValueError(f"{path} has a line that is none of a history: {line!r}")
    return found
