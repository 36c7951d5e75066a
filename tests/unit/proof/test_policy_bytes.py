"""Policies as files: each byte flipped, and forms that are refused."""

import base64

import msgspec
import pytest

from flipped import each_byte_flipped
from made_keys import made_key
from trailhouse.proof.keys import is_signed_by, note_signed
from trailhouse.proof.policy import Accepted, LogKey, Policy, owner_name, parse_policy
from trailhouse.schemas.errors import ProofError

LOG = "audit.example.org/agents"
OWNER = made_key(9)

PUBLIC = base64.b64encode(made_key(1).public_key).decode()
POLICY = Policy(log_name=LOG, version=1, log_keys=(LogKey(public_key=PUBLIC),))


def _signed(text: str) -> str:
    return note_signed(text, OWNER, owner_name(LOG))


def test_what_is_accepted_is_signed_with_the_rest() -> None:
    """It comes back as it was; a policy that accepts nothing has the text that it had before there was such a field."""
    assert "accepted" not in POLICY.text
    accepting = msgspec.structs.replace(
        POLICY,
        accepted=(
            Accepted(
                cluster="c",
                topic="events",
                topic_id="id",
                partition=4,
                generation="0",
                size=7,
                root=PUBLIC,
                reason="upgraded",
                at_ms=1_790_000_000_000,
            ),
        ),
    )
    assert parse_policy(_signed(accepting.text), OWNER.public_key, is_signed_by) == accepting
    assert accepting.text.startswith('trailhouse-policy/1\n{"accepted":[{"at_ms":1790000000000,')


def test_a_policy_comes_back() -> None:
    """Each field, where the owner that is pinned has signed; where another has, nothing."""
    content = _signed(POLICY.text)
    assert parse_policy(content, OWNER.public_key, is_signed_by) == POLICY
    with pytest.raises(ProofError, match="not signed by the owner"):
        parse_policy(content, made_key(8).public_key, is_signed_by)


def test_each_byte_flipped_is_found() -> None:
    """Whatever byte is changed, it is no policy of this owner."""
    for mask in (0x01, 0x80):
        for _, changed in each_byte_flipped(_signed(POLICY.text).encode(), mask):
            with pytest.raises(ProofError):
                parse_policy(changed, OWNER.public_key, is_signed_by)


@pytest.mark.parametrize(
    "text",
    [
        POLICY.text.replace("policy/1", "policy/2"),
        POLICY.text.replace('"version":1', '"version":1.0'),
        POLICY.text.replace('"version":1', '"version": 1'),
        POLICY.text.replace('"version":1', '"version":1,"version":1'),
        POLICY.text.replace('"version":1', '"version":1,"surprise":1'),
        POLICY.text.replace('"version":1', '"version":0'),
        POLICY.text.replace('"quorum":0', '"quorum":1'),
        POLICY.text.replace('"quorum":0', '"quorum":-1'),
        POLICY.text.replace('"anchor_seconds"', '"accepted":[],"anchor_seconds"'),
        POLICY.text + "more\n",
        "\n",
    ],
)
def test_another_form_is_refused(text: str) -> None:
    """The owner's signature does not make a policy of what is not the one text of its fields, or contradicts itself."""
    assert text != POLICY.text
    with pytest.raises(ProofError):
        parse_policy(_signed(text), OWNER.public_key, is_signed_by)
