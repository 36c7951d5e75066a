"""How much of messages, arguments and results is kept: all, redacted, a keyed digest, nothing; by type."""

import hashlib
import hmac
import json
from typing import Any

import pytest

from trailhouse.cli.emit.lines import Stamp, this_process
from trailhouse.producer import ProducerConfig
from trailhouse.producer.testing import InMemoryAuditLogger
from trailhouse.redaction import ContentConfig, RedactionConfig
from trailhouse.redaction.content import withholders
from trailhouse.schemas.errors import ConfigError, InvalidEventError

KEY = "k" * 32
SECRET = "AKIA" + "Q3EGRTHYP2MNBVCX"


def logger(level: str = "redacted", by_type: str = "") -> InMemoryAuditLogger:
    """Return a logger that keeps contents as *level* and *by_type* say."""
    return InMemoryAuditLogger(
        ProducerConfig(
            enabled=True,
            redaction=RedactionConfig(key=KEY),
            content=ContentConfig(level=level, by_type=by_type),
        )
    )


def record_a_run(audit: InMemoryAuditLogger) -> None:
    """Record a run that says, asks and answers a secret."""
    with audit.run("s-1") as run:
        run.message(f"use {SECRET}.", role="user")
        with run.tool_call("search", {"q": SECRET}) as call:
            call.result = [SECRET]


def contents(audit: InMemoryAuditLogger) -> list[Any]:
    """Return what stands for the contents of the run."""
    data = [event.data for event in audit.events]
    return [data[1].get("content"), data[2].get("arguments"), data[3].get("result")]


def test_contents_are_redacted_by_default() -> None:
    """Unless asked otherwise contents are kept without what is secret in them."""
    audit = logger()
    record_a_run(audit)
    assert contents(audit) == [
        "use [REDACTED:aws_access_key].",
        {"q": "[REDACTED:aws_access_key]"},
        ["[REDACTED:aws_access_key]"],
    ]


def test_contents_are_kept_in_full_where_that_is_asked_for() -> None:
    """In full contents are left alone, and what else is secret in such an event is not."""
    audit = logger("full")
    record_a_run(audit)
    assert contents(audit) == [f"use {SECRET}.", {"q": SECRET}, [SECRET]]
    audit.log("message_sent", session_id="s-1", data={"note": SECRET, "content": SECRET})
    assert audit.events[-1].data == {"note": "[REDACTED:aws_access_key]", "content": SECRET}


def test_contents_are_left_out_where_that_is_asked_for() -> None:
    """Off, the keys are not there, and the metadata says so; names and ids are."""
    audit = logger("off")
    record_a_run(audit)
    assert contents(audit) == [None, None, None]
    assert [event.metadata.get("_content") for event in audit.events[1:4]] == ["off"] * 3
    assert audit.events[2].data["tool_name"] == "search"
    assert SECRET.encode() not in b"".join(audit.records)


def test_a_digest_is_keyed_and_says_how_long_the_content_is() -> None:
    """A digest is HMAC-SHA256 of a text's UTF-8, or of canonical JSON, by redaction's key."""
    audit = logger("digest")
    record_a_run(audit)
    texts = [f"use {SECRET}.", json.dumps({"q": SECRET}, separators=(",", ":")), f'["{SECRET}"]']
    assert contents(audit) == [
        {
            "digest": "hmac-sha256:"
            + hmac.new(KEY.encode(), text.encode(), hashlib.sha256).hexdigest(),
            "bytes": len(text),
        }
        for text in texts
    ]
    audit.log("message_sent", session_id="s", data={"content": {"digest": "x", "bytes": 1}})
    assert audit.events[-1].data["content"]["bytes"] == len('{"bytes":1,"digest":"x"}')


def test_levels_go_by_type() -> None:
    """A type that is named has its own level, a custom one too; others have the general one."""
    audit = logger("off", "tool_call_started=redacted, custom.type=digest")
    record_a_run(audit)
    assert contents(audit) == [None, {"q": "[REDACTED:aws_access_key]"}, None]
    for name in ("custom.type", "other.type"):
        audit.log(name, session_id="s", data={"result": "plain", "x": 1})
    assert audit.events[-2].data["result"]["bytes"] == 5
    assert audit.events[-1].data == {"result": "plain", "x": 1}


def test_what_cannot_be_written_is_marked_before_it_is_digested() -> None:
    """An unencodable value of the recorder's is marked once and digested once; `log` refuses it by name."""
    audit = logger("digest")
    with audit.run("s-1") as run:
        run.message(object(), role="user")
    assert audit.events[1].data["content"]["bytes"] == len("[UNENCODABLE:object]")
    with pytest.raises(InvalidEventError, match=r"data\.content"):
        audit.log("message_sent", session_id="s-1", data={"content": object()})


@pytest.mark.parametrize("value", ["\udc80", 2.5, None, {"a": [1, "ü"]}, 10**400])
def test_any_plain_content_has_a_digest(value: Any) -> None:
    """Contents of any plain kind are digested."""
    audit = logger("digest")
    audit.log("message_sent", session_id="s-1", data={"content": value})
    assert audit.events[0].data["content"]["digest"].startswith("hmac-sha256:")


def test_lines_that_are_emitted_follow_the_levels() -> None:
    """`trailhouse emit` withholds the contents of its lines as a logger does."""
    config = ContentConfig(level="digest")
    stamp = Stamp(this_process("s"), limit_bytes=10_000, withholders=withholders(config, KEY))
    given = {
        "type": "message_sent",
        "session_id": "s-1",
        "data": {"content": SECRET, "role": "user"},
    }
    event = stamp.without_secrets(stamp.complete(given))
    assert event.data["role"] == "user"
    assert SECRET.encode() not in event.record
    other = stamp.complete({"type": "run_started", "session_id": "s-1"})
    assert stamp.without_secrets(other) is other


@pytest.mark.parametrize(
    ("level", "by_type"),
    [("all", ""), ("full", "message_sent"), ("full", "message_sent=all"), ("full", "No Type=off")],
)
def test_a_wrong_level_is_refused(level: str, by_type: str) -> None:
    """A level or a type that is none is refused before anything starts."""
    with pytest.raises(ConfigError, match=r"content\.(level|by_type)"):
        ContentConfig(level=level, by_type=by_type)


def test_a_digest_needs_a_key() -> None:
    """A digest without a key is refused: whoever guesses the content could tell it."""
    with pytest.raises(ConfigError, match=r"redaction\.key"):
        ProducerConfig(content=ContentConfig(by_type="message_sent=digest"))
