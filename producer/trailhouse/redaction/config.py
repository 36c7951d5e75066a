"""The settings of redaction: what is taken out of events, and what stands in its place."""

import msgspec

from trailhouse.schemas.errors import ConfigError
from trailhouse.schemas.setting_names import check_names
from trailhouse.schemas.settings import require, require_file, setting, settle

MODES = ("mask", "hash")
PII = ("card", "email", "phone", "ip", "iban")
LEAST_KEY_CHARACTERS = 16


class RedactionConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of redaction. Making one raises `ConfigError` on a bad setting."""

    enabled: bool = setting(
        "redaction",
        "enabled",
        True,
        "Take secrets out of events before they are written; `false` writes them as they come.",
        kind=bool,
    )
    mode: str = setting(
        "redaction",
        "mode",
        "mask",
        "`mask`: `[REDACTED:category]` stands for a secret; `hash`: a keyed digest, by which equal ones are told.",
    )
    pii: str = setting(
        "redaction",
        "pii",
        "card",
        "Which personal data is taken out: `card`, `email`, `phone`, `ip`, `iban`, with commas between; empty for none.",
    )
    patterns_file: str = setting(
        "redaction",
        "patterns_file",
        "",
        "File of patterns of your own; docs/redaction.md says how.",
    )
    allow: str = setting(
        "redaction",
        "allow",
        "",
        "What stays: exact values, and patterns in `/…/`, each on a line of its own or with blanks between.",
    )
    key: str = setting(
        "redaction", "key", "", "Secret of the digests, 16 characters at least.", is_secret=True
    )

    def __post_init__(self) -> None:
        settle("redaction", self)
        check_names("redaction")
        require(self.mode in MODES, "redaction.mode", "mask or hash")
        require(self.kinds_of_pii <= set(PII), "redaction.pii", f"any of {', '.join(PII)}")
        require_file(self.patterns_file, "redaction.patterns_file")
        require(
            not self.key or len(self.key) >= LEAST_KEY_CHARACTERS,
            "redaction.key",
            f"{LEAST_KEY_CHARACTERS} characters or more",
        )
        if self.mode == "hash" and not self.key:
            raise ConfigError("redaction.mode is hash, which needs a key: set redaction.key")

    @property
    def kinds_of_pii(self) -> set[str]:
        """What is looked for of personal data."""
        return set(self.pii.replace(",", " ").split())
