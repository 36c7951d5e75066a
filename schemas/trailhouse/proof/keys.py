"""Ed25519 keys: files closed to others, commands that sign, and whether a signature is a key's; by `cryptography`."""

import base64
import os
import stat
import subprocess
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from trailhouse.proof.note import SIGNATURE_BYTES, Signature, key_id, signed
from trailhouse.schemas.errors import ProofError, SigningError

PUBLIC_KEY_BYTES = 32
COMMAND_SECONDS = 10.0


class Signer(Protocol):
    """Signs by one Ed25519 key."""

    public_key: bytes

    def sign(self, content: bytes) -> bytes:
        """Return the signature of *content*, 64 bytes.

        Raises:
            SigningError: The key cannot be used now. Retriable.
        """
        ...


class FileSigner:
    """Signs by a private key in memory."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public_key = key.public_key().public_bytes_raw()

    def sign(self, content: bytes) -> bytes:
        """As `Signer.sign`; never fails."""
        return self._key.sign(content)


class CommandSigner:
    """Signs by a command, such as a KMS's: it is given the bytes on its input and answers with the 64 of the signature.

    Each answer is checked against the public key.
    """

    def __init__(self, command: Sequence[str], public_key: bytes) -> None:
        self._command = list(command)
        self.public_key = public_key

    def sign(self, content: bytes) -> bytes:
        """As `Signer.sign`.

        Raises:
            SigningError: The command fails, takes too long, or answers anything but this key's signature. Retriable.
        """
        try:
            done = subprocess.run(
                self._command,
                input=content,
                capture_output=True,
                timeout=COMMAND_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SigningError(
                f"the command that signs cannot be run ({type(error).__name__})"
            ) from None
        if done.returncode:
            raise SigningError(f"the command that signs ended with {done.returncode}")
        if not is_signed_by(self.public_key, done.stdout, content):
            raise SigningError("the command that signs did not answer with this key's signature")
        return done.stdout


def is_signed_by(public_key: bytes, signature: bytes, content: bytes) -> bool:
    """Tell whether *signature* over *content* is that of *public_key*, 32 bytes; a malformed one is not."""
    if len(public_key) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, content)
    except (InvalidSignature, ValueError):
        return False
    return True


def note_signed(text: str, signer: Signer, name: str) -> str:
    """Return *text* as a note signed by *signer* under *name*.

    Raises:
        SigningError: As `Signer.sign`.
    """
    made = Signature(name, key_id(name, signer.public_key), signer.sign(text.encode()))
    return signed(text, [made])


def fingerprint(public_key: bytes) -> str:
    """Return what a person compares: ``SHA256:`` and the base64 of the hash of the key, without padding."""
    return "SHA256:" + base64.b64encode(sha256(public_key).digest()).decode().rstrip("=")


def create_key_file(path: Path) -> FileSigner:
    """Make a new private key in *path* (PKCS #8, PEM), which only its owner may read; on return it is on the disk.

    Raises:
        SigningError: The file is there already, or cannot be written. Retriable elsewhere.
    """
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise SigningError(f"{path} is there already: a key is never overwritten") from None
    except OSError as error:
        raise SigningError(f"{path} cannot be written ({error.strerror})") from None
    return FileSigner(key)


def read_key_file(path: Path) -> FileSigner:
    """Return the signer whose private key *path* holds.

    Raises:
        SigningError: The file is missing, is no Ed25519 key, or open to others. Retriable once mended.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(65_536)
    except OSError as error:
        raise SigningError(f"the key file {path} cannot be read ({error.strerror})") from None
    if not stat.S_ISREG(mode) or stat.S_IMODE(mode) & 0o077:
        raise SigningError(f"the key file {path} is open to others: `chmod 600` it")
    try:
        key = serialization.load_pem_private_key(content, None)
    except (ValueError, TypeError):
        raise SigningError(f"the key file {path} holds no private key in PEM") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise SigningError(f"the key file {path} holds a key that is not Ed25519")
    return FileSigner(key)


def parse_public_key(text: str) -> bytes:
    """Return the 32 bytes of a public key that *text* holds in base64.

    Raises:
        ProofError: It is not one. Permanent.
    """
    try:
        raw = base64.b64decode(text, validate=True)
        Ed25519PublicKey.from_public_bytes(raw)
    except ValueError:
        raise ProofError("a public key is 32 bytes in base64") from None
    return raw
