"""Keys for tests: made from a number when the test runs, so that none is ever written down."""

from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from trailhouse.proof.keys import FileSigner


def made_key(number: int) -> FileSigner:
    """Return key *number*, always the same one."""
    seed = sha256(b"a key of the tests %d" % number).digest()
    return FileSigner(Ed25519PrivateKey.from_private_bytes(seed))
