"""Time-stamp tokens over anchors, by an authority that OpenSSL plays."""

import base64
import datetime as dt
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec
import pytest
from rfc3161_client import (
    HashAlgorithm,
    TimestampRequestBuilder,
    decode_timestamp_response,
)

from made_keys import made_key
from time_stamp_authority import MadeAuthority
from trailhouse.anchoring.anchor_store import StoredAnchor
from trailhouse.anchoring.timestamps import TimestampClient, checked_token, roots_of
from trailhouse.proof.anchor import FIRST, Anchor, anchor_name
from trailhouse.proof.keys import note_signed
from trailhouse.proof.policy import Authority, LogKey, Policy
from trailhouse.schemas.errors import AnchorError, ProofError


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> MadeAuthority:
    """Return an authority."""
    return MadeAuthority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def url(authority: MadeAuthority) -> Iterator[str]:
    """Return where it is served."""
    with authority.served() as url:
        yield url


def stored(number: int = 1) -> StoredAnchor:
    """Return an anchor."""
    anchor = Anchor(
        log_name="audit.example/agents",
        number=number,
        at_ms=1,
        policy_version=0,
        policy_sha256=FIRST,
        previous_sha256=FIRST if number == 1 else "0" * 64,
        checkpoints=(),
    )
    return StoredAnchor(anchor, note_signed(anchor.text, made_key(1), anchor_name(anchor.log_name)))


def test_a_token_says_when_the_anchor_was_there(authority: MadeAuthority, url: str) -> None:
    """It is over the SHA-256 of the file, now, and signed under the root that the auditor trusts."""
    anchor = stored()
    (receipt,) = TimestampClient(url).countersign(anchor).receipts
    assert (receipt.kind, receipt.source) == ("timestamped", url)
    said = checked_token(receipt.receipt, anchor.sha256, roots_of([authority.named()]))
    assert abs(said.at - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=5)
    assert said.accuracy_seconds == 1


def test_a_token_over_another_file_or_by_a_stranger_is_refused(
    authority: MadeAuthority, url: str, tmp_path: Path
) -> None:
    """The next anchor, another authority's root, a flipped byte."""
    anchor = stored()
    (receipt,) = TimestampClient(url).countersign(anchor).receipts
    token, digest = receipt.receipt, anchor.sha256
    roots = roots_of([authority.named()])
    stranger = roots_of([MadeAuthority(tmp_path).named()])
    flipped = token[:-10] + bytes([token[-10] ^ 1]) + token[-9:]
    for wrong, over, trusted in (
        (token, stored(2).sha256, roots),
        (token, digest, stranger),
        (flipped, digest, roots),
        (b"", digest, roots),
        (token[:100], digest, roots),
    ):
        with pytest.raises(ProofError):
            checked_token(wrong, over, trusted)


def test_an_authority_that_answers_something_else_is_told(
    authority: MadeAuthority, url: str
) -> None:
    """What is no token, one over another request, and one that cannot be reached."""
    client = TimestampClient(url)
    old = authority.answer(_request_for(b"something else"))
    for broken in (b"no token", old):
        authority.broken = broken
        with pytest.raises(AnchorError):
            client.countersign(stored())
    with pytest.raises(AnchorError, match="cannot be reached"):
        TimestampClient("http://127.0.0.1:1").countersign(stored())


def test_only_tokens_of_authorities_that_the_policy_names_are_taken(
    authority: MadeAuthority, url: str, tmp_path: Path
) -> None:
    """Where it names one: by that, and by any once it is closed; a certificate that is none lets nothing through."""
    named, stranger = authority.named(), MadeAuthority(tmp_path).named("other")
    for authorities, number in (
        ((named,), 1),
        ((stranger, named), 2),
        ((authority.named(last_anchor=1),), 2),
    ):
        client = TimestampClient(url, partial(policy_of, *authorities))
        assert client.countersign(stored(number)).receipts
    for other in (
        stranger,
        msgspec.structs.replace(named, certificate=base64.b64encode(b"0no").decode()),
    ):
        with pytest.raises(AnchorError, match="no certificate that the policy names"):
            TimestampClient(url, partial(policy_of, other)).countersign(stored())


def test_a_token_whose_imprint_is_of_another_kind_of_hash_is_refused(
    authority: MadeAuthority,
) -> None:
    """SHA-512 over the same file says nothing of its SHA-256."""
    anchor = stored()
    asked = TimestampRequestBuilder().data(anchor.content.encode())
    request = asked.hash_algorithm(HashAlgorithm.SHA512).build().as_bytes()
    token = decode_timestamp_response(authority.answer(request)).time_stamp_token()
    with pytest.raises(ProofError):
        checked_token(token, anchor.sha256, roots_of([authority.named()]))


def policy_of(*authorities: Authority) -> Policy:
    """Return a policy that names *authorities*."""
    key = LogKey(public_key=base64.b64encode(made_key(1).public_key).decode())
    return Policy(
        log_name="audit.example/agents", version=1, log_keys=(key,), authorities=authorities
    )


def _request_for(content: bytes) -> bytes:
    return (
        TimestampRequestBuilder()
        .data(content)
        .hash_algorithm(HashAlgorithm.SHA256)
        .build()
        .as_bytes()
    )
