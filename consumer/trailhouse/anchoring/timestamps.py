"""Time-stamp tokens (RFC 3161) over anchors: an authority says that the file existed at a time; by `rfc3161-client`.

The extra `timestamp` installs it. What is stored is the token itself, in DER: the imprint in it is the SHA-256 of the
anchor's file, and the authority's certificates are in it too.
"""

import datetime as dt
from collections.abc import Iterable
from typing import NamedTuple

import urllib3
from cryptography.x509 import Certificate, load_pem_x509_certificates
from rfc3161_client import (
    HashAlgorithm,
    TimestampRequestBuilder,
    TimeStampResponse,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

from trailhouse.anchoring.anchor_store import Countersigned, Receipt, StoredAnchor
from trailhouse.schemas.errors import AnchorError, ProofError

TIMEOUT_SECONDS = 10.0
MAX_ANSWER_BYTES = 1_048_576
_SHA256 = "2.16.840.1.101.3.4.2.1"
_GRANTED = bytes.fromhex("3003020100")
"""A status of "granted" in DER: what stands before the token in an authority's answer."""


class Timestamp(NamedTuple):
    """What a token says: when its authority saw the file, to how many seconds, 0 where it does not say."""

    at: dt.datetime
    accuracy_seconds: float


class TimestampClient:
    """The authority at *url*."""

    kind = "timestamp"

    def __init__(self, url: str, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self.name = url
        self._http = urllib3.PoolManager(
            timeout=urllib3.Timeout(total=timeout_seconds), retries=False
        )

    def countersign(self, stored: StoredAnchor) -> Countersigned:
        """As `Countersigner.countersign`: a token whose imprint and nonce are ours; its chain is for auditors."""
        content = stored.content.encode()
        asked = TimestampRequestBuilder().data(content).hash_algorithm(HashAlgorithm.SHA256).build()
        try:
            answer = decode_timestamp_response(self._ask(asked.as_bytes()))
            if answer.status != 0:
                raise AnchorError(f"{self.name} does not give a token (status {answer.status})")
            said = answer.tst_info
            is_ours = said.nonce == asked.nonce and _imprint(answer) == stored.sha256
            token = answer.time_stamp_token()
        except ValueError:
            raise AnchorError(f"{self.name} answers with what is not a token") from None
        if not is_ours:
            raise AnchorError(f"{self.name} answers with a token over something else")
        return Countersigned([Receipt("timestamped", self.name, receipt=token)])

    def _ask(self, request: bytes) -> bytes:
        try:
            answer = self._http.request(
                "POST",
                self.name,
                body=request,
                headers={"Content-Type": "application/timestamp-query"},
                preload_content=False,
                redirect=False,
            )
            content = answer.read(MAX_ANSWER_BYTES)
            answer.close()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise AnchorError(f"{self.name} cannot be reached ({type(error).__name__})") from None
        if answer.status != 200:
            raise AnchorError(f"{self.name} answers {answer.status}")
        return content


def checked_token(token: bytes, content: bytes, roots: Iterable[Certificate]) -> Timestamp:
    """Return what *token* says of the file *content*, if an authority under one of *roots* has signed it.

    Args:
        token: As it is stored, DER.
        content: The anchor's whole file.
        roots: The certificates that the auditor trusts; those in between are in the token, or among these.

    Raises:
        ProofError: It is malformed, over another file, or by nobody who is trusted. Permanent.
    """
    verifier = VerifierBuilder(roots=list(roots)).build()
    try:
        answer = decode_timestamp_response(_response(token))
        verifier.verify_message(answer, content)
        said = answer.tst_info
        accuracy = getattr(said, "accuracy", None)  # its types say that there always is one
    except (VerificationError, ValueError, TypeError):
        raise ProofError(
            "timestamp: is no token over this file by an authority that is trusted"
        ) from None
    seconds = 0.0
    if accuracy is not None:
        seconds = accuracy.seconds + (accuracy.millis or 0) / 1e3 + (accuracy.micros or 0) / 1e6
    return Timestamp(said.gen_time.astimezone(dt.UTC), seconds)


def trusted_roots(pem: bytes) -> list[Certificate]:
    """Return the certificates in *pem*.

    Raises:
        ProofError: There is none, or one is malformed. Permanent.
    """
    try:
        return load_pem_x509_certificates(pem)
    except ValueError:
        raise ProofError("timestamp: the authority's certificates are not in PEM") from None


def _imprint(answer: TimeStampResponse) -> bytes:
    found = answer.tst_info.message_imprint
    return found.message if found.hash_algorithm.dotted_string == _SHA256 else b""


def _response(token: bytes) -> bytes:
    """Return *token* as an authority answers with it: a sequence of a status and the token."""
    body = _GRANTED + token
    length = len(body)
    size = (length.bit_length() + 7) // 8
    head = (
        bytes([0x30, length])
        if length < 0x80
        else bytes([0x30, 0x80 | size]) + length.to_bytes(size, "big")
    )
    return head + body
