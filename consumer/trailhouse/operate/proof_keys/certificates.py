"""The certificate of a time-stamp authority's root, as a policy holds it."""

from pathlib import Path

from trailhouse.schemas.errors import ProofError

MAX_FILE_BYTES = 65_536


def root_certificate(file: Path) -> bytes:
    """Return the one certificate that *file* holds in PEM, in DER.

    Raises:
        ProofError: It cannot be read, holds none or several, or none that signs itself. Permanent.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509 import load_pem_x509_certificates

    try:
        with file.open("rb") as opened:
            found = load_pem_x509_certificates(opened.read(MAX_FILE_BYTES))
    except OSError as error:
        raise ProofError(f"{file}: cannot be read ({error.strerror})") from None
    except ValueError:
        raise ProofError(f"{file}: holds no certificate in PEM") from None
    if len(found) != 1:
        raise ProofError(f"{file}: holds {len(found)} certificates: give the root alone")
    try:
        found[0].verify_directly_issued_by(found[0])
    except (ValueError, TypeError, InvalidSignature):
        raise ProofError(
            f"{file}: is not a root: it is signed by another certificate, give that one"
        ) from None
    return found[0].public_bytes(Encoding.DER)
