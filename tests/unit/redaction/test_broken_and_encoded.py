"""Secrets in base64, over ends of lines, in cells of HTML and behind long names; and what only looks like them."""

import base64
import json
import random
import string
import time

import pytest

from secret_examples import examples
from trailhouse.redaction import RedactionConfig
from trailhouse.redaction.encoded import runs
from trailhouse.redaction.redactor import Redactor

_chance = random.Random(33)  # noqa: S311 - no secret
_LETTERS = string.ascii_letters + string.digits
GITHUB = "ghp_" + "".join(_chance.choices(_LETTERS, k=33)) + "7aB"
WORD = "".join(_chance.choices(_LETTERS, k=17)) + "7aB"
LONGEST_SECONDS = 1.0


@pytest.fixture(scope="module")
def redactor() -> Redactor:
    """A redactor as it comes."""
    return Redactor(RedactionConfig(), limit_bytes=1_000_000)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _redacted(redactor: Redactor, text: str) -> str:
    """Return the text as it is written, which is what it is when it is written again."""
    record = json.dumps({"data": {"text": text}, "metadata": {}, "type": "custom.event"}).encode()
    once = redactor.redacted(record)
    assert redactor.redacted(once) == once
    shown: str = json.loads(once)["data"]["text"]
    return shown


@pytest.mark.parametrize("before", ["", "A", "AB", "PORT=80\n"])
@pytest.mark.parametrize(
    "secret",
    [GITHUB, f"password={WORD}", f'{{"api_key": "{WORD}"}}', f"postgres://u:{WORD}@db/x", f"DB_PASSWORD: {WORD}"],
)  # fmt: skip
def test_base64_of_a_secret_goes_as_a_whole(redactor: Redactor, before: str, secret: str) -> None:
    """At each of the three places of a byte, in both alphabets, broken at 76 columns, alone and within JSON."""
    encoded = _base64(before + secret)
    other = base64.urlsafe_b64encode((before + secret).encode()).decode().rstrip("=")
    wrapped = base64.encodebytes(("x" * 30 + "\n" + before + secret + "\n" + "y" * 30).encode())
    for text in (
        encoded,
        other,
        f'{{"content": "{encoded}"}}',
        f"line\n{encoded}\nend",
        wrapped.decode(),
    ):
        shown = _redacted(redactor, text)
        assert "[REDACTED:" in shown, text
        assert not any(WORD[-6:] in run.text.decode() for run in runs(shown.encode()))


def test_a_password_of_a_registry_is_found_in_a_secret_of_kubernetes(redactor: Redactor) -> None:
    """Base64 within base64, once."""
    inner = json.dumps({"auths": {"r.example.com": {"password": _base64(f"token={WORD}")}}})
    assert _redacted(redactor, f"x: {_base64(inner)}").endswith("]")


@pytest.mark.parametrize(
    "text",
    [
        _base64("the token of a page is no secret, and neither is the password that nobody wrote down"),
        "data:image/png;base64," + base64.b64encode(_chance.randbytes(6_000)).decode(), "a1b2c3d4" * 8,
        _base64('{"next_page_token": "abc", "max_tokens": 4096}'), "token_" * 20, "src/token/password/secret/key/file.py",
    ],
)  # fmt: skip
def test_other_base64_stays(redactor: Redactor, text: str) -> None:
    """Text without a secret, pictures, hashes, names and ways to files."""
    assert _redacted(redactor, text) == text


_TOKENS = [each.text for each in examples(random.Random(34)) if not each.name]  # noqa: S311 - no secret
"""One of each shape of the table that is told by its own form."""


@pytest.mark.parametrize("before", ["PORT=80\n", "PORT=8\n", "PORT=\n"])
def test_base64_of_each_shape_goes(redactor: Redactor, before: str) -> None:
    """Whatever the beginning of a token is, and at each of the three places of a byte, as a file's text holds it."""
    left = [
        text
        for text in _TOKENS
        if "[REDACTED:" not in _redacted(redactor, _base64(f"{before}V={text}\nD=0\n"))
    ]

    assert len(_TOKENS) > 250
    assert left == []


@pytest.mark.parametrize("cut", range(4))
@pytest.mark.parametrize("before", ["", "A", "AB"])
def test_base64_that_is_cut_or_follows_a_name_goes_too(
    redactor: Redactor, before: str, cut: int
) -> None:
    """A tool has shown the end of it alone, or a name, a way to it or a few bytes that are no text stand before it."""
    encoded = _base64(f"{before}host=db.example.com\ntoken={WORD}\n")
    binary = base64.b64encode(bytes(range(128, 158 + cut)) + f"token={WORD} and more".encode())
    for text in (encoded[cut:], f"{'x_y-'[:cut]}/{encoded}", binary.decode()):
        assert _redacted(redactor, f"it says {text} and ends").startswith("it says [REDACTED:")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\\n"])
def test_a_token_is_found_wherever_a_line_ends_in_it(redactor: Redactor, end: str) -> None:
    """From the eighth character of what is random in it on, if what is left looks like a piece of a token too."""
    for at in range(12, len(GITHUB) - 8):
        shown = _redacted(redactor, f"it is\n{GITHUB[:at]}{end}{GITHUB[at:]}\nnow")
        assert GITHUB[at:] not in shown, at
        assert GITHUB[5:at] not in shown, at


def test_lines_that_end_with_a_word_are_not_joined(redactor: Redactor) -> None:
    """A line of a list, a name or a number is none of a token."""
    text = "see sk-\nproject-of-the-year-2026\nghp_\nmodule.py\nAIza\n1234567890\n"
    assert _redacted(redactor, text) == text


@pytest.mark.parametrize(
    "text",
    [
        f"<tr><td>DB_PASSWORD</td><td>{WORD}</td></tr>", f"<tr><th>api_key</th>\n  <td class='v'>{WORD}</td></tr>",
        f"<dt>Secret</dt><dd>{WORD}</dd>", f"<b>api_key</b>: <code>{WORD}</code>", f"tool --sasl.password {WORD} -v",
        f"name,value\nAccountKey,{WORD}{WORD}+x/==\n", f"export MYSQL_PASSWORD=*{WORD} && make", f"the password is @{WORD}.",
        "SMTP_PASSWORD=" + "hxkdgt" + "batwfvis && make",
    ],
)  # fmt: skip
def test_what_a_name_tells_is_gone(redactor: Redactor, text: str) -> None:
    """In a table of HTML or of commas, behind an option with a point, where a password begins with a sign or is letters alone."""
    shown = _redacted(redactor, text)
    assert "[REDACTED:" in shown
    assert WORD not in shown
    assert "batwfvis" not in shown


@pytest.mark.parametrize(
    "text",
    [
        "<td>Token</td><td>417</td>", "<th>Password</th><td>required</td>", "<label>Password</label><input type='password'>",
        "password: SecretValue<string>;", "token: Promise<Token>", "<td>API key</td><td>Not set</td>", "password=*args, **kwargs",
        "token=@decorated", "a password strengthens nothing",
    ],
)  # fmt: skip
def test_what_only_looks_like_it_stays(redactor: Redactor, text: str) -> None:
    """Forms, types made of others, arguments."""
    assert _redacted(redactor, text) == text


def test_a_name_as_long_as_a_record_takes_no_time(redactor: Redactor) -> None:
    """A run of base64 with a sign of equality behind it is a name with groups to be read, at microseconds a byte."""
    text = "my_token" * 90_000 + f"={WORD}"
    record = json.dumps({"data": {"text": text}, "metadata": {}, "type": "custom.event"}).encode()
    began = time.process_time()
    redacted = redactor.redacted(record)
    assert time.process_time() - began < LONGEST_SECONDS
    assert WORD.encode() not in redacted
