"""The settings of redaction: what they add, leave out, allow, and refuse before anything starts."""

from pathlib import Path
from typing import Any

import pytest

from trailhouse.producer import AuditLogger, ConfigError, ProducerConfig
from trailhouse.producer.testing import InMemoryAuditLogger
from trailhouse.redaction import Finding, RedactionConfig
from trailhouse.redaction.config import PII

PASSWORD = "hunter" + "2Zq"
KEY = "a-key-of-digests-1"
GITHUB = "ghp" + "_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
PERSONS = {
    "email": "mia.li@example.org",
    "phone": "+49 30 901820-12",
    "ip": "203.0.113.7",
    "iban": "DE89 3704 0044 0532 0130 00",
    "card": "5555 5555 5555 4444",
}


def logged(config: RedactionConfig, text: str) -> str:
    """Return what is written of *text* under *config*."""
    with InMemoryAuditLogger(ProducerConfig(enabled=True, redaction=config)) as audit:
        audit.log("custom.event", session_id="s-1", data={"content": text})
        return str(audit.events[0].data["content"])


def test_switched_off_everything_is_written_as_it_comes() -> None:
    """`enabled = false` takes nothing out, and previews nothing."""
    assert logged(RedactionConfig(enabled=False), f"password={PASSWORD}") == f"password={PASSWORD}"
    off = ProducerConfig(enabled=True, redaction=RedactionConfig(enabled=False))
    with InMemoryAuditLogger(off) as audit:
        assert audit.redaction_preview({"password": PASSWORD}) == []


def test_hashes_are_equal_where_secrets_are_and_need_a_key() -> None:
    """In mode `hash` equal secrets have equal digests under one key, and others under another."""
    config = RedactionConfig(mode="hash", key=KEY)
    first = logged(config, f"password={PASSWORD}")

    assert first.startswith("password=[HMAC:password:")
    assert first == logged(config, f"password={PASSWORD}")
    assert first != logged(config, f"password={PASSWORD}x")
    assert first != logged(RedactionConfig(mode="hash", key=KEY[::-1]), f"password={PASSWORD}")
    assert logged(config, first) == first
    with pytest.raises(ConfigError, match=r"redaction\.key"):
        RedactionConfig(mode="hash")
    with pytest.raises(ConfigError, match="16 characters"):
        RedactionConfig(mode="hash", key="short")


@pytest.mark.parametrize("kind", PII)
def test_personal_data_goes_where_the_setting_names_it(kind: str) -> None:
    """Each kind goes by its name alone; cards go unless it is said otherwise."""
    text = f"it is {PERSONS[kind]}, they say"

    assert logged(RedactionConfig(pii=kind), text) == f"it is [REDACTED:{kind}], they say"
    assert logged(RedactionConfig(pii=""), text) == text
    assert (logged(RedactionConfig(), text) != text) is (kind == "card")


def test_numbers_without_check_digits_are_no_cards_and_no_ibans() -> None:
    """A number that fails its own check stays."""
    config = RedactionConfig(pii="card, iban")
    for text in ("5555 5555 5555 4443", "9999 9999 9999 9995", "DE88 3704 0044 0532 0130 00"):
        assert logged(config, text) == text


def test_what_is_allowed_stays() -> None:
    """Exact values and patterns in slashes stay, and nothing that only begins like them."""
    config = RedactionConfig(allow=f"{PASSWORD} /ghp_a1B2.*/")

    assert logged(config, f"password={PASSWORD}") == f"password={PASSWORD}"
    assert logged(config, f"token {GITHUB}") == f"token {GITHUB}"
    assert PASSWORD not in logged(config, f"password={PASSWORD}x")
    with pytest.raises(ConfigError, match=r"redaction\.allow: pattern 1"):
        InMemoryAuditLogger(
            ProducerConfig(enabled=True, redaction=RedactionConfig(allow="/(unclosed/"))
        )


def patterns(tmp_path: Path, *lines: str) -> RedactionConfig:
    """Return the settings with these lines as their patterns file."""
    file = tmp_path / "patterns.txt"
    file.write_text("\n".join(lines), encoding="utf-8")
    return RedactionConfig(patterns_file=str(file))


def test_patterns_of_ones_own_are_added(tmp_path: Path) -> None:
    """A pattern is looked for in each text, whatever JSON makes of it; its first group goes, or all."""
    config = patterns(
        tmp_path,
        "# ours",
        "",
        "acme_key ACME-[0-9A-F]{12}",
        r'acme_ticket "ticket"\s+is\n+(\d+)',
        r"acme_word \bxyzzy\b",
    )

    assert logged(config, "with ACME-0123456789AB.") == "with [REDACTED:acme_key]."
    assert logged(config, 'the "ticket" is\n4711') == 'the "ticket" is\n[REDACTED:acme_ticket]'
    assert logged(config, "say xyzzy!") == "say [REDACTED:acme_word]!"
    assert GITHUB not in logged(config, GITHUB)


def test_a_patterns_file_leaves_out_and_replaces(tmp_path: Path) -> None:
    """A category with a minus is not looked for; `@replace` takes the table of vendors away."""
    without = patterns(tmp_path, "-github_token")
    assert logged(without, f"it: {GITHUB}") == f"it: {GITHUB}"
    replaced = patterns(tmp_path, "@replace", "acme_key ACME-[0-9A-F]{12}")
    assert logged(replaced, f"it: {GITHUB}") == f"it: {GITHUB}"
    assert PASSWORD not in logged(replaced, f"password={PASSWORD}")
    assert logged(replaced, "ACME-0123456789AB") == "[REDACTED:acme_key]"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("acme_key (unclosed", "missing"),
        ("acme_key a*", "empty text"),
        ("acme_key", "pattern is missing"),
        ("Acme-Key a+", "category"),
        (r"acme_key (a)\1", "."),
    ],
)
def test_a_broken_pattern_is_named_by_its_line_before_anything_starts(
    tmp_path: Path, line: str, reason: str
) -> None:
    """The logger is not made, and the error says which line and why, without the pattern."""
    config = patterns(tmp_path, "# ours", "acme_one a+", line)

    with pytest.raises(ConfigError, match=rf"patterns\.txt, line 3: .*{reason}"):
        AuditLogger(ProducerConfig(enabled=False, redaction=config))


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"mode": "encrypt"}, "mask or hash"),
        ({"pii": "card, names"}, "any of card"),
        ({"patterns_file": "/nowhere/patterns.txt"}, "can be read"),
    ],
)
def test_a_wrong_setting_is_refused(given: dict[str, Any], reason: str) -> None:
    """Each names itself and what it must be."""
    with pytest.raises(ConfigError, match=reason):
        RedactionConfig(**given)


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings have variables like all others, and a misspelled one is refused."""
    monkeypatch.setenv("TRAILHOUSE_REDACTION_PII", "card,email")
    assert RedactionConfig().kinds_of_pii == {"card", "email"}
    monkeypatch.setenv("TRAILHOUSE_REDACTION_MOD", "hash")
    with pytest.raises(ConfigError, match="TRAILHOUSE_REDACTION_MODE"):
        RedactionConfig()


def test_a_preview_says_where_and_what_and_never_the_value() -> None:
    """Paths and categories of all that would go, in values and keys; nothing is logged."""
    with InMemoryAuditLogger() as audit:
        data = {
            "messages": [{"content": f"password={PASSWORD} and {GITHUB}"}],
            "db": {"password": PASSWORD},
            GITHUB: 1,
        }
        found = audit.redaction_preview(data)

        assert found == [
            Finding("messages[0].content", "password"),
            Finding("messages[0].content", "github_token"),
            Finding("db.password", "password"),
            Finding("[REDACTED:github_token]", "github_token"),
        ]
        assert audit.redaction_preview(f"use {GITHUB}") == [Finding("text", "github_token")]
        assert audit.redaction_preview({"text": "nothing"}) == []
        assert audit.records == []


def test_an_iban_is_found_whatever_words_stand_behind_it() -> None:
    """A word behind an IBAN is not taken for a part of it."""
    config = RedactionConfig(pii="iban")
    text = "from DE89370400440532013000 to GB82 WEST 1234 5698 7654 32 by noon"

    assert logged(config, text) == "from [REDACTED:iban] to [REDACTED:iban] by noon"
