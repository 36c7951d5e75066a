"""Policies in the real ClickHouse: which is in force, whatever else somebody has written there."""

import base64
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from trailhouse.proof.config import ProofConfig
from trailhouse.proof.keys import FileSigner, note_signed
from trailhouse.proof.policy import LogKey, Policy, owner_name
from trailhouse.schemas.errors import ConfigError, ProofError
from trailhouse.store import ClickHouse, ClickHouseConfig
from trailhouse.store.policies import current_policy, store_policy, stored_policies

pytestmark = pytest.mark.cluster

LOG = "log.example.org"
OWNER = FileSigner(Ed25519PrivateKey.generate())
FIRST = Policy(
    log_name=LOG,
    version=1,
    log_keys=(LogKey(public_key=base64.b64encode(b"\x01" * 32).decode()),),
)
SECOND = msgspec.structs.replace(FIRST, version=2, previous=FIRST.sha256, anchor_seconds=30)


def signed(policy: Policy, owner: FileSigner = OWNER) -> str:
    """Return *policy* as its owner puts it into force."""
    return note_signed(policy.text, owner, owner_name(LOG))


def settings(policy_file: str = "") -> ProofConfig:
    """Return settings that pin the owner."""
    return ProofConfig(
        log_name=LOG,
        owner_key=base64.b64encode(OWNER.public_key).decode(),
        policy_file=policy_file,
    )


@pytest.fixture
def store(database: ClickHouseConfig) -> Iterator[ClickHouse]:
    """Return a connection to a fresh database that has every table."""
    with ClickHouse(database) as clickhouse:
        yield clickhouse


def test_the_newest_that_the_owner_signed_is_in_force(store: ClickHouse, tmp_path: Path) -> None:
    """Neither an older version stored again nor a forged newer one changes it; deleting it is refused by who saw it."""
    assert current_policy(store, settings()) is None
    for policy in (SECOND, FIRST, FIRST):
        store_policy(store, policy, signed(policy))
    forged = msgspec.structs.replace(FIRST, version=9, previous="0" * 64)
    store_policy(store, forged, signed(forged, FileSigner(Ed25519PrivateKey.generate())))

    assert current_policy(store, settings(), known_version=2) == SECOND
    assert stored_policies(store, settings()).faults == (
        "policy: is not signed by the owner's key that is pinned",
    )

    store.command("ALTER TABLE log_policies DELETE WHERE version >= 2 SETTINGS mutations_sync = 2")
    assert current_policy(store, settings()) == FIRST
    with pytest.raises(ProofError, match="version 2 was in force"):
        current_policy(store, settings(), known_version=2)
    kept = tmp_path / "policy"
    kept.write_text(signed(SECOND))
    assert current_policy(store, settings(str(kept)), known_version=2) == SECOND


def test_without_a_pin_there_is_no_policy(store: ClickHouse) -> None:
    """Nobody's signature counts where no owner is pinned, and a pin that is none is a wrong setting."""
    store_policy(store, FIRST, signed(FIRST))
    assert current_policy(store, ProofConfig(log_name=LOG)) is None
    with pytest.raises(ConfigError, match="owner_key"):
        current_policy(store, ProofConfig(log_name=LOG, owner_key="AAAA"))


def test_a_row_that_says_another_version_is_told(store: ClickHouse) -> None:
    """The policy counts by its own text; that somebody has numbered it otherwise is a fault, in a copy of it too."""
    store_policy(store, FIRST, signed(FIRST))
    store.command("INSERT INTO log_policies SELECT 7, policy FROM log_policies")
    found = stored_policies(store, settings())
    assert found.current == FIRST
    assert found.faults == ("policy: the row of version 1 says 7",)
