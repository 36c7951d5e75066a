"""Time-stamp tokens (RFC 3161) over anchors: an authority says that the file existed at a time; by `rfc3161-client`.

The extra `timestamp` installs it. What is stored is the token itself, in DER: the imprint in it is the SHA-256 of the
anchor's file, and the authority's certificates are in it too.
"""

import base64
import datetime as dt
from collections.abc import Callable, Iterable
from typing import NamedTuple

import urllib3
from cryptography.x509 import Certificate, load_der_x509_certificate
from rfc3161_client import (
    HashAlgorithm,
    TimestampRequestBuilder,
    TimeStampResponse,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

from trailhouse.anchoring.anchor_store import Countersigned, Receipt, StoredAnchor
from trailhouse.proof.policy import Authority, Policy
from trailhouse.schemas.errors import AnchorError, ProofError

TIMEOUT_SECONDS = 10.0
MAX_ANSWER_BYTES = 65_536
"""A token with its certificates takes about 6 kB; `verify` looks at none that is larger."""
_SHA256 = "2.16.840.1.101.3.4.2.1"
_GRANTED = bytes.fromhex("3003020100")
"""A status of "granted" in DER: what stands before the token in an authority's answer."""


class Timestamp(NamedTuple):
    """What a token says: when its authority saw the file, to how many seconds, 0 where it does not say."""

    at: dt.datetime
    accuracy_seconds: float


class TimestampClient:
    """The authority at *url*; *policy* returns the one in force, which says whose tokens count."""

    kind = "timestamp"

    def __init__(
        self,
        url: str,
        policy: Callable[[], Policy | None] = lambda: None,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self.name = url
        self._policy = policy
        self._http = urllib3.PoolManager(
            timeout=urllib3.Timeout(total=timeout_seconds), retries=False
        )

    def countersign(self, stored: StoredAnchor) -> Countersigned:
        """As `Countersigner.countersign`: a token whose imprint and nonce are ours.

        Where the policy names authorities it is by one of them; else its chain is for auditors.
        """
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
        policy = self._policy()
        authorities = policy.authorities_of(stored.anchor.number) if policy is not None else ()
        if authorities:
            try:
                checked_token(token, stored.sha256, roots_of(authorities))
            except ProofError:
                raise AnchorError(
                    f"{self.name} signs under no certificate that the policy names:"
                    " `trailhouse proof authority` names one"
                ) from None
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


def checked_token(token: bytes, sha256: bytes, roots: Iterable[Certificate]) -> Timestamp:
    """Return what *token* says of the file whose hash is *sha256*, if an authority under one of *roots* has signed it.

    Args:
        token: As it is stored, DER.
        sha256: The hash of the anchor's whole file.
        roots: The certificates that the auditor trusts; those in between are in the token, or among these.

    Raises:
        ProofError: It is malformed, over another file, or by nobody who is trusted. Permanent.
    """
    verifier = VerifierBuilder(roots=list(roots)).build()
    try:
        answer = decode_timestamp_response(_response(token))
        # It compares the hash alone, not which hash it is.
        verifier.verify(answer, sha256 if _imprint(answer) == sha256 else b"")
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


def roots_of(authorities: Iterable[Authority]) -> list[Certificate]:
    """Return the certificates that the policy names for *authorities*.

    Raises:
        ProofError: One is malformed. Permanent.
    """
    found: list[Certificate] = []
    for each in authorities:
        try:
            found.append(load_der_x509_certificate(base64.b64decode(each.certificate)))
        except ValueError:
            raise ProofError(
                f"policy: the certificate of the authority {each.name!r} is malformed"
            ) from None
    return found


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
