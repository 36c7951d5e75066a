"""Certificates of an authority of our own, as files that Kafka, librdkafka and Python's ssl read."""

from pathlib import Path
from typing import NamedTuple

import trustme
from cryptography.hazmat.primitives import serialization

KEY_PASSWORD = "key hunter2"


class Identity(NamedTuple):
    """One certificate and its private key, as files; `encrypted_key` opens with `KEY_PASSWORD`."""

    certificate: Path
    key: Path
    encrypted_key: Path

    @property
    def both(self) -> str:
        """Key and certificates in one PEM text, as Kafka's PEM key store wants them."""
        return self.key.read_text() + self.certificate.read_text()


class Authority:
    """A certificate authority whose files are in *folder*; `ca` is its own certificate."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._ca = trustme.CA()
        self.ca = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(str(self.ca))

    def identity(self, name: str, *hosts: str) -> Identity:
        """Make a certificate with the common name *name* for *hosts*, 127.0.0.1 if none is given."""
        made = self._ca.issue_cert(*(hosts or ("127.0.0.1",)), common_name=name)
        base = self._folder / name
        identity = Identity(
            base.with_suffix(".pem"), base.with_suffix(".key"), base.with_suffix(".encrypted.key")
        )
        identity.certificate.write_bytes(b"".join(each.bytes() for each in made.cert_chain_pems))
        key = serialization.load_pem_private_key(made.private_key_pem.bytes(), None)
        ways: list[tuple[Path, serialization.KeySerializationEncryption]] = [
            (identity.key, serialization.NoEncryption()),
            (
                identity.encrypted_key,
                serialization.BestAvailableEncryption(KEY_PASSWORD.encode()),
            ),
        ]
        for path, encryption in ways:
            # Kafka reads keys of PKCS #8 alone.
            form = serialization.PrivateFormat.PKCS8
            path.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, encryption))
            path.chmod(0o600)
        return identity
