"""The key that a service's loggers seal by: a file of its owner's alone, read once, when a logger is made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trailhouse.schemas.errors import ConfigError, SigningError

if TYPE_CHECKING:
    from trailhouse.proof.keys import Signer

MOST_NAME_CHARACTERS = 256
NO_CRYPTOGRAPHY = "sealing needs more of Trailhouse: pip install 'trailhouse[proof]'"


def seal_signer(key_file: str, service: str) -> Signer | None:
    """Return what signs for *service* by the key in *key_file*; None where none is named: nothing is imported then.

    Raises:
        ConfigError: The service's name cannot stand in a seal; the file is missing, holds no Ed25519 key, or others
            can read it; or the extra `proof` is not installed. Permanent.
    """
    if not key_file:
        return None
    if len(service) > MOST_NAME_CHARACTERS or not service.isprintable():
        raise ConfigError(
            f"producer.service must print, and have at most {MOST_NAME_CHARACTERS} characters, to be sealed"
        )
    try:
        from trailhouse.proof.keys import read_key_file  # `cryptography` costs memory and a start
    except ImportError:
        raise ConfigError(NO_CRYPTOGRAPHY) from None
    try:
        return read_key_file(Path(key_file).expanduser())
    except SigningError as error:
        raise ConfigError(f"TRAILHOUSE_PRODUCER_SEAL_KEY_FILE: {error}") from None
