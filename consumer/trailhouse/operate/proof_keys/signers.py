"""Whose key signs: the owner's, from a file or by a command, and the key of a log that is made where there is none."""

import shlex
from pathlib import Path

from trailhouse.proof.keys import (
    CommandSigner,
    FileSigner,
    Signer,
    create_key_file,
    parse_public_key,
    read_key_file,
)
from trailhouse.schemas.errors import ConfigError, ProofError, SigningError


def owner_signer(key_file: Path | None, command: str, pinned: bytes) -> Signer:
    """Return what signs as the owner whose public key is *pinned*: a file, or a command such as a KMS's.

    Raises:
        SigningError: The file cannot be read, is open to others, or holds another key. Retriable once mended.
        ConfigError: Both are given, or neither. Permanent.
    """
    if (key_file is None) is (not command):
        raise ConfigError("the owner signs by --owner-key or --owner-command: give one of them")
    if key_file is None:
        return CommandSigner(split_command(command), pinned)
    signer = read_key_file(key_file)
    if signer.public_key != pinned:
        raise SigningError(f"the key in {key_file} is not the owner's that proof.owner_key pins")
    return signer


def split_command(command: str) -> list[str]:
    """Return the words of a command as a shell has them; nothing else of a shell's is understood.

    Raises:
        ConfigError: A quote is not closed, or there is no word. Permanent.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        words = []
    if not words:
        raise ConfigError("the command that signs is empty, or a quote in it is not closed")
    return words


def key_of_file(path: Path) -> tuple[FileSigner, bool]:
    """Return the signer of the key in *path*, and whether it was made just now since no file was there.

    Raises:
        SigningError: The file cannot be read or made, or is open to others. Retriable once mended.
    """
    if path.exists():
        return read_key_file(path), False
    return create_key_file(path), True


def public_key_of(key_file: Path | None, public_key: str) -> bytes:
    """Return the public key that a file holds or belongs to, or that *public_key* is in base64.

    Raises:
        SigningError: The file cannot be read, or is open to others. Retriable once mended.
        ConfigError: Both are given, or neither, or it is no public key. Permanent.
    """
    if (key_file is None) is (not public_key):
        raise ConfigError("give the key by --key or by --public-key")
    if key_file is not None:
        return read_key_file(key_file).public_key
    try:
        return parse_public_key(public_key)
    except ProofError as error:
        raise ConfigError(str(error)) from None


def new_log_signer(key_file: Path | None, command: str, public_key: str) -> Signer:
    """Return what signs by the key that follows upon a log's: a file, made if it is not there, or a command.

    Raises:
        SigningError: The file cannot be read or made, or is open to others. Retriable once mended.
        ConfigError: Both are given, or neither, or the command comes without its public key. Permanent.
    """
    if (key_file is None) is (not command) or bool(command) is not bool(public_key):
        raise ConfigError(
            "give the log's next key by --new-key, or by --new-command and --new-public-key"
        )
    if key_file is not None:
        return key_of_file(key_file)[0]
    return CommandSigner(split_command(command), public_key_of(None, public_key))
