"""The key that signs checkpoints, as the settings name it: read when it is needed, and again until it can be."""

import shlex
from pathlib import Path

from trailhouse.proof.checkpoint import Checkpoint
from trailhouse.proof.config import ProofConfig
from trailhouse.proof.keys import (
    CommandSigner,
    Signer,
    note_signed,
    parse_public_key,
    read_key_file,
)
from trailhouse.schemas.errors import ProofError, SigningError

UNNAMED = "unnamed"
"""Stands in the checkpoints of a log that nobody has named, which nobody signs."""


class Signing:
    """Signs checkpoints by the log's key. Used by one thread at a time."""

    def __init__(self, config: ProofConfig) -> None:
        self._config = config
        self._signer: Signer | None = None

    @property
    def log_name(self) -> str:
        """The log's name; `UNNAMED` where it has none."""
        return self._config.log_name or UNNAMED

    @property
    def is_wanted(self) -> bool:
        """Whether checkpoints are to be signed: the log has a name and a key."""
        config = self._config
        return bool(config.log_name and (config.key_file or config.sign_command))

    def public_key(self) -> bytes | None:
        """Return the key by which our own signatures are known; None where nothing is signed.

        Raises:
            SigningError: The key cannot be used now. Retriable once mended.
        """
        return self._ready().public_key if self.is_wanted else None

    def signed(self, checkpoint: Checkpoint) -> str:
        """Return *checkpoint* as a note signed by the log's key, under the log's name.

        Raises:
            SigningError: The key cannot be used now. Retriable.
        """
        return note_signed(checkpoint.text, self._ready(), checkpoint.origin)

    def _ready(self) -> Signer:
        if self._signer is None:
            config = self._config
            if config.key_file:
                self._signer = read_key_file(Path(config.key_file))
            else:
                try:
                    public_key = parse_public_key(config.public_key)
                except ProofError as error:
                    raise SigningError(f"proof.public_key: {error}") from error
                self._signer = CommandSigner(shlex.split(config.sign_command), public_key)
        return self._signer
