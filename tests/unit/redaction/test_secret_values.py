"""Values behind a secret's name: each is judged in no time, whatever it is made of."""

import time

import pytest

from trailhouse.redaction import RedactionConfig
from trailhouse.redaction.redactor import Redactor
from trailhouse.redaction.secret_values import is_placeholder
from trailhouse.schemas.record import encode_sorted

LONGEST_SECONDS = 0.5
REPEATS = 26
"""Where each more doubles the time, this many take seconds, and thirty more would take years."""
SLOW_ONCE = {
    "a placeholder's words": b"my-" + b"a" * REPEATS + b"!",
    "a placeholder's words with signs between": b"your_" + b"a-" * REPEATS + b"!",
    "slashes": b"/a" + b"/" * (REPEATS + 14) + b"!",
    "backslashes": b"\\a" + b"\\" * (REPEATS + 14) + b"!",
    "names": b"a" + b".a" * REPEATS + b"!",
    "signs of hiding": b"*" * 8 * REPEATS + b"!",
    "numbers": b"1,1." * REPEATS + b"e-1!",
    "brackets": b"{" + b"[<(" * REPEATS,
}


@pytest.fixture(scope="module")
def redactor() -> Redactor:
    """A redactor as it comes."""
    return Redactor(RedactionConfig(), limit_bytes=1_000_000)


@pytest.mark.parametrize("what", SLOW_ONCE)
def test_no_value_takes_long(redactor: Redactor, what: str) -> None:
    """Behind a name, in quotes and as an object's value, no value makes the judgement grow faster than itself."""
    value = SLOW_ONCE[what].decode()
    fields = {"password": value, "text": f"password={value}", "quoted": f'api_key = "{value}"'}
    began = time.thread_time()
    is_placeholder(value.encode())
    redactor.redacted(encode_sorted({"data": fields, "metadata": {}, "type": "custom.event"}))

    assert time.thread_time() - began < LONGEST_SECONDS


@pytest.mark.parametrize(
    "value",
    ["your-api-key-here", "my secret ", "<password>", "${TOKEN}", "/etc/ssl//key.pem", "..//a/b"],
)
def test_placeholders_are_told(value: str) -> None:
    """What stands where a secret would is none: words, variables, paths."""
    assert is_placeholder(value.encode())


@pytest.mark.parametrize("value", ["my-" + "hunter2!", "/a" + "b!c/d", "Zq8" + "vLm4x"])
def test_secrets_are_no_placeholders(value: str) -> None:
    """What has a sign that no placeholder has is none."""
    assert not is_placeholder(value.encode())
