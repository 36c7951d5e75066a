"""Secrets that little tells: phrases of words, keys of vendors that are not in the table, Vault's tokens of old."""

import random
import string

import pytest

from trailhouse.redaction import RedactionConfig
from trailhouse.redaction.redactor import Redactor
from trailhouse.schemas.record import encode_sorted

_chance = random.Random(31)  # noqa: S311 - no secret
HEX = "".join(_chance.choices("0123456789abcdef", k=30)) + "a7"
MIXED = "".join(_chance.choices(string.ascii_letters + string.digits, k=29)) + "7aB"
VAULT = "s." + "".join(_chance.choices(string.ascii_letters + string.digits, k=21)) + "7aB"
DICE = "correct horse battery " + "staple"
SEED = "legal winner thank year wave sausage worth useful legal winner thank " + "yellow"
NUMBERED = "\n".join(f"{n}. {word}" for n, word in enumerate(SEED.split(), 1))


@pytest.fixture(scope="module")
def redactor() -> Redactor:
    """A redactor as it comes."""
    return Redactor(RedactionConfig(), limit_bytes=1_000_000)


def redacted(redactor: Redactor, **data: object) -> str:
    """Return the record of an event with this *data*, redacted."""
    record = encode_sorted({"data": data, "metadata": {}, "type": "custom.event"})
    return redactor.redacted(record).decode()


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"the passphrase is {DICE}", DICE), (f"Passphrase: {DICE} and keep it", DICE), (f"my password is {DICE}.", DICE),
        (f"passphrase '{DICE}'", DICE), (f"the passphrase is {DICE.replace(' ', '-')}", DICE.replace(" ", "-")),
        (f"**Password:** `{DICE}`", DICE), (f"Passphrase:\n\n    {DICE}\n", DICE), (f"use password \"{DICE}\" for it", DICE),
        (f"the password is {DICE.replace(' ', '.')}. Keep it", DICE.replace(" ", ".")), (f"passphrase: {DICE}\nport: 3", DICE),
        (f"PASSWORD={DICE.replace(' ', '_')}", DICE.replace(" ", "_")), (f"seed_phrase: {SEED}\nport: 3", SEED),
        (f"seed phrase: {SEED}", SEED), (f"MNEMONIC={SEED}", SEED), (f"recovery phrase:\n{NUMBERED}", NUMBERED),
        (f"ACME_KEY={HEX}", HEX), (f"acmeKey: {MIXED}", MIXED), (f"x-acme-key: {HEX}", HEX), (f"the Acme key is {HEX}.", HEX),
        (f'{{"acme_key": "{MIXED}"}}', MIXED), (VAULT, VAULT), (f"vault gave {VAULT}.", VAULT), (f"line\n{VAULT}\n", VAULT),
    ],
)  # fmt: skip
def test_what_a_word_tells_is_gone_from_a_text(redactor: Redactor, text: str, secret: str) -> None:
    """In a text, in JSON in it, and as it is logged."""
    for logged in (redacted(redactor, text=text), redacted(redactor, text=[{"in": f"- {text}"}])):
        assert encode_sorted(secret)[1:-1].decode() not in logged
        assert "[REDACTED:" in logged


@pytest.mark.parametrize(
    ("key", "value"),
    [("seed_phrase", SEED), ("password", f"{DICE} one"), ("recoveryPhrase", SEED), ("acme_key", HEX), ("acmeKey", MIXED)],
)  # fmt: skip
def test_what_a_key_tells_is_gone(redactor: Redactor, key: str, value: str) -> None:
    """Under its name, also in a list."""
    assert value not in redacted(redactor, **{key: value})
    assert value not in redacted(redactor, deep={key: [value]})


@pytest.mark.parametrize(
    "text",
    [
        "the passphrase is stored in the vault", "passphrase: minimum twelve characters long", "a passphrase is a sequence of words",
        "the password is generated automatically during setup", "the seed phrase is twelve words that restore the wallet",
        "your password is about to expire, please change it", "password: required field missing here", "Password = wrong again",
        "session token password page cases agent limits", "a8f1 reset password page agent parser module\n", "new passwords against leaked ones: read more",
        "auth: user, password, host, port, socket, timeout", "password = config.ssl_options.fetch.first()", "self.password = proxy.auth.first.login(x)",
        f"cache_key={HEX}", f"primary key: {HEX}", f"the idempotency-key is {HEX}", f"sha256 key = {'0' * 64}", f"key={HEX}",
        "acme_key=customer-4711", "acme_key: getKeyOfCustomerOrDefault", f"etag {HEX}", "s.getKeyOfCustomerOrDefau1t", "this.s.x",
    ],
)  # fmt: skip
def test_sentences_and_keys_of_data_stay(redactor: Redactor, text: str) -> None:
    """What speaks of a phrase, and keys of tables and caches, stay as they are."""
    for event in ({"text": text}, {"acme_key": {"id": "abc12345"}, "cache_key": HEX}):
        assert redactor.without_secrets(event) == event
