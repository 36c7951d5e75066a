"""Policies as files: each byte flipped, and forms that are refused."""

import base64

import pytest

from flipped import each_byte_flipped
from made_keys import made_key
from trailhouse.proof.keys import is_signed_by, note_signed
from trailhouse.proof.policy import LogKey, Policy, owner_name, parse_policy
from trailhouse.schemas.errors import ProofError

LOG = "audit.example.org/agents"
OWNER = made_key(9)

PUBLIC = base64.b64encode(made_key(1).public_key).decode()
POLICY = Policy(log_name=LOG, version=1, log_keys=(LogKey(public_key=PUBLIC),))


def _signed(text: str) -> str:
    return note_signed(text, OWNER, owner_name(LOG))


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
        POLICY.text + "more\n",
        "\n",
    ],
)
def test_another_form_is_refused(text: str) -> None:
    """The owner's signature does not make a policy of what is not the one text of its fields, or contradicts itself."""
    assert text != POLICY.text
    with pytest.raises(ProofError):
        parse_policy(_signed(text), OWNER.public_key, is_signed_by)
