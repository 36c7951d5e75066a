"""`verify` holds time-stamp tokens against anchors, the authorities of the policy, and the times around."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from time_stamp_authority import MadeAuthority
from trailhouse.anchoring.anchor_store import AnchorStore, Receipt, StoredAnchor
from trailhouse.anchoring.anchorer import Anchorer
from trailhouse.anchoring.timestamps import TimestampClient
from trailhouse.operate.verify.duties.anchors import anchors
from trailhouse.operate.verify.report import DutyReport
from trailhouse.operate.verify.verifying import verify
from trailhouse.proof.keys import note_signed
from trailhouse.proof.policy import Authority, Policy, owner_name
from trailhouse.proof.policy_changes import next_version
from trailhouse.schemas import AuditEvent
from trailhouse.store import ClickHouseConfig
from trailhouse.store.policies import current_policy, store_policy
from verified_log import NAME, VerifiedLog

pytestmark = pytest.mark.cluster

HOUR_SECONDS = 3_600


class Scene(NamedTuple):
    """A log, whose policy names an authority where it says so, and that authority."""

    log: VerifiedLog
    authority: MadeAuthority
    url: str
    folder: Path

    def name(self, *authorities: Authority) -> None:
        """Put a version of the policy into force that names *authorities*."""
        policy = next_version(self.policy, authorities=authorities)
        content = note_signed(policy.text, self.log.owner, owner_name(NAME))
        store_policy(self.log.clickhouse, policy, content)

    @property
    def policy(self) -> Policy:
        """The one in force."""
        policy = current_policy(self.log.clickhouse, self.log.proof)
        assert policy is not None
        return policy

    def anchor(self, ago_seconds: float = 0.0) -> StoredAnchor:
        """Anchor by a clock that is *ago_seconds* behind, without a token."""
        return Anchorer(
            self.log.clickhouse,
            log_name=NAME,
            signer=self.log.key,
            policy=lambda: self.policy,
            clock=lambda: time.time() - ago_seconds,
        ).run().anchor  # fmt: skip

    def token(self, anchor: StoredAnchor) -> bytes:
        """Return a token over *anchor*."""
        return TimestampClient(self.url).countersign(anchor).receipts[0].receipt

    def store(self, number: int, *tokens: bytes) -> None:
        """Replace the tokens over the anchor of *number*."""
        self.log.clickhouse.command(
            "DELETE FROM log_anchor_receipts WHERE number = {number:UInt64}", {"number": number}
        )
        self.add(number, *tokens)

    def add(self, number: int, *tokens: bytes) -> None:
        """Store *tokens* over the anchor of *number*."""
        store = AnchorStore(self.log.clickhouse, NAME, lambda _: [self.log.key.public_key])
        anchor = store.at(number)
        assert anchor is not None
        store.note(anchor, [Receipt("timestamped", self.url, receipt=each) for each in tokens])

    def report(self) -> DutyReport:
        """Return what the duty of anchors says."""
        (report,) = verify(self.log.clickhouse, proof=self.log.proof, duties=(anchors.DUTY,)).duties
        assert report.reasons == ()
        return report

    def found(self) -> set[tuple[str, str]]:
        """Return kinds and names of what is found."""
        return {(each.kind, each.place.name) for each in self.report().findings}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[MadeAuthority, str]]:
    """Return an authority that is served, and where."""
    made = MadeAuthority(tmp_path_factory.mktemp("authority"))
    with made.served() as url:
        yield made, url


@pytest.fixture
def scene(
    database: ClickHouseConfig, authority: tuple[MadeAuthority, str], tmp_path: Path
) -> Iterator[Scene]:
    """Return a log of a few events."""
    log = VerifiedLog(database)
    log.append([AuditEvent(type="message_sent", session_id="s").record for _ in range(3)])
    with log.clickhouse:
        yield Scene(log, *authority, tmp_path)


def with_tokens(scene: Scene, count: int = 2) -> list[bytes]:
    """Name the authority, anchor *count* times, and return the tokens over each, which are stored."""
    scene.name(scene.authority.named())
    tokens = []
    for _ in range(count):
        anchor = scene.anchor()
        tokens.append(scene.token(anchor))
        scene.add(anchor.anchor.number, tokens[-1])
    return tokens


def test_tokens_of_a_named_authority_are_checked_and_fit(scene: Scene) -> None:
    """Nothing is found, nothing is left to trust of them; whoever has named none is told that none was looked at."""
    anchor = scene.anchor()
    scene.add(anchor.anchor.number, scene.token(anchor), b"no token")
    assert any("1 time-stamp" in each or "2 time-stamp" in each for each in scene.report().trusts)
    with_tokens(scene)
    report = scene.report()
    assert report.findings == ()
    assert not any("time-stamp" in each for each in report.trusts)


def test_a_token_that_is_not_over_its_anchor_by_a_named_authority_is_found(scene: Scene) -> None:
    """A flipped byte, another anchor's token, a stranger's, one cut off, one too large, and none at all."""
    first, second = with_tokens(scene)
    stranger = MadeAuthority(scene.folder / "stranger")
    anchor = scene.anchor()
    with stranger.served() as url:
        strange = TimestampClient(url).countersign(anchor).receipts[0].receipt
    number = anchor.anchor.number
    for wrong in (
        first[:-10] + bytes([first[-10] ^ 1]) + first[-9:],
        second,
        strange,
        scene.token(anchor)[:-1],
        b"\0" * 65_537,
        b"",
    ):
        scene.store(number, wrong)
        assert scene.found() == {("token_false", f"anchor {number}")}
    scene.store(number, scene.token(anchor))
    assert scene.found() == set()
    scene.add(number, second)
    assert scene.found() == {("token_false", f"anchor {number}")}


def test_a_token_of_another_time_than_its_anchor_is_found(scene: Scene) -> None:
    """The authority saw it an hour after the next one says to have been made; or an hour before itself."""
    scene.name(scene.authority.named())
    early = scene.anchor(3 * HOUR_SECONDS)
    scene.add(early.anchor.number, scene.token(early))
    assert (
        scene.found() == set()
    )  # nothing was anchored after it, so it may have waited for its token
    later = scene.anchor(2 * HOUR_SECONDS)
    scene.add(later.anchor.number, scene.token(later))
    assert scene.found() == {("token_time_differs", f"anchor {early.anchor.number}")}
    future = scene.anchor(-HOUR_SECONDS)
    scene.add(future.anchor.number, scene.token(future))
    numbers = [early.anchor.number, future.anchor.number]
    assert ("token_time_differs", f"anchor {numbers[0]}, {numbers[1]}") in scene.found()


def test_anchors_that_no_token_covers_for_long_are_found(scene: Scene) -> None:
    """With an authority in use: from 11 minutes on; a later token covers them, and a closed authority asks for none."""
    early = scene.anchor(3 * HOUR_SECONDS).anchor.number
    scene.name(scene.authority.named())
    anchor = scene.anchor(HOUR_SECONDS)
    number = anchor.anchor.number
    assert scene.found() == {("not_time_stamped", f"anchors {early} to {number}")}
    newest = scene.anchor()
    scene.add(newest.anchor.number, scene.token(newest))
    assert scene.found() == set()
    scene.store(newest.anchor.number)
    scene.name(scene.authority.named(last_anchor=number))
    assert scene.found() == set()


def test_a_closed_authority_counts_for_what_it_stamped_before(scene: Scene) -> None:
    """Its token over a later anchor counts for nothing, also where another authority is in use."""
    with_tokens(scene)
    other = MadeAuthority(scene.folder / "other")
    scene.name(scene.authority.named(last_anchor=2), other.named("other"))
    assert scene.found() == set()
    anchor = scene.anchor()
    scene.add(anchor.anchor.number, scene.token(anchor))
    assert scene.found() == {("token_false", f"anchor {anchor.anchor.number}")}
