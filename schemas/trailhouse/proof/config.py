"""The settings of proof: the log's name and key, the owner whose policy counts, and where anchors go.

A field that is not given comes from its ``TRAILHOUSE_PROOF_<KEY>`` variable, then from the file that
``TRAILHOUSE_CONFIG_FILE`` names, then from its default; see `trailhouse.schemas.settings`.
"""

import msgspec

from trailhouse.proof.note import is_key_name
from trailhouse.schemas.setting_names import check_names
from trailhouse.schemas.settings import require, setting, settle

ANCHOR_SECONDS = 60.0


class ProofConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of proof. Making one raises `ConfigError` on a bad setting."""

    log_name: str = setting(
        "proof",
        "log_name",
        "",
        "Name of the log, without a scheme: `audit.example.org/agents`; no space, no plus.",
    )
    key_file: str = setting(
        "proof", "key_file", "", "File with the log's private key; only its owner may read it."
    )
    sign_command: str = setting(
        "proof",
        "sign_command",
        "",
        "Instead of the file: a command, such as a KMS's, that signs what is on its input.",
    )
    public_key: str = setting(
        "proof", "public_key", "", "The log's public key in base64, where a command signs."
    )
    owner_key: str = setting(
        "proof", "owner_key", "", "The owner's public key in base64, by which policies are checked."
    )
    policy_file: str = setting(
        "proof",
        "policy_file",
        "",
        "The policy, signed by its owner; the newest stored one if empty.",
    )
    anchors: str = setting(
        "proof",
        "anchors",
        "",
        "Where anchors are written to, comma-separated: `folder:`, `git:`, `kafka:` or `s3:` and a place.",
    )
    anchor_seconds: float = setting(
        "proof", "anchor_seconds", ANCHOR_SECONDS, "Time between two anchors.", kind=float
    )
    timestamp_urls: str = setting(
        "proof", "timestamp_urls", "", "Time-stamp authorities (RFC 3161), comma-separated."
    )
    witness_urls: str = setting(
        "proof", "witness_urls", "", "Witnesses that cosign checkpoints (C2SP), comma-separated."
    )

    def __post_init__(self) -> None:
        settle("proof", self)
        check_names("proof")
        require(
            not self.log_name or is_key_name(self.log_name),
            "proof.log_name",
            "a name without a space, a plus or a sign that does not print",
        )
        require(
            not (self.key_file and self.sign_command),
            "proof.sign_command",
            "empty where proof.key_file is given",
        )
        require(
            bool(self.public_key) == bool(self.sign_command),
            "proof.public_key",
            "given with proof.sign_command, and not without it",
        )
        require(1 <= self.anchor_seconds <= 86_400, "proof.anchor_seconds", "from 1 to 86400")
