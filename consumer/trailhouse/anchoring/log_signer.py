"""The log's key, as the settings name it."""

import shlex
from pathlib import Path

from trailhouse.proof.config import ProofConfig
from trailhouse.proof.keys import CommandSigner, Signer, parse_public_key, read_key_file
from trailhouse.schemas.errors import ConfigError, ProofError


def has_log_key(config: ProofConfig) -> bool:
    """Tell whether the log has a name, and a key that signs."""
    return bool(config.log_name and (config.key_file or config.sign_command))


def log_signer(config: ProofConfig) -> Signer:
    """Return the signer of the log's key, once `has_log_key`.

    Raises:
        SigningError: The file cannot be read, or is open to others. Retriable once mended.
        ConfigError: There is no key, or the public key of a command is malformed. Permanent.
    """
    if not has_log_key(config):
        raise ConfigError(
            "proof.log_name, proof.key_file: a log without a name and a key is not anchored"
        )
    if config.key_file:
        return read_key_file(Path(config.key_file))
    try:
        words = shlex.split(config.sign_command)
    except ValueError:
        raise ConfigError("proof.sign_command: a quote in it is not closed") from None
    try:
        return CommandSigner(words, parse_public_key(config.public_key))
    except ProofError:
        raise ConfigError("proof.public_key: must be 32 bytes in base64") from None
