"""Anchors of the real engine that witnesses cosign: proofs come from stored nodes and leaves."""

import base64
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from made_keys import made_key
from proven import LOG_NAME, ProvenLog, log_key
from stored import some_events
from trailhouse.anchoring.anchor_store import AnchorStore, Receipt
from trailhouse.anchoring.anchorer import AnchorRun
from trailhouse.anchoring.configured import configured_anchorer
from trailhouse.anchoring.witness.server import WitnessServer
from trailhouse.anchoring.witness.state import WitnessState
from trailhouse.anchoring.witness.witness import TrustedLogs, Witness
from trailhouse.proof.config import ProofConfig
from trailhouse.proof.cosignature import cosigners, parse_signature_lines
from trailhouse.proof.keys import is_signed_by, note_signed, read_key_file
from trailhouse.proof.note import COSIGNATURE_TYPE, verifier_key
from trailhouse.proof.policy import LogKey, Policy, owner_name
from trailhouse.store import ClickHouse, ClickHouseConfig
from trailhouse.store.policies import store_policy

pytestmark = pytest.mark.cluster

OWNER, WITNESS, STRANGER = made_key(1), made_key(2), made_key(3)
NAME = "witness.example/w1"
KEY = verifier_key(NAME, WITNESS.public_key, COSIGNATURE_TYPE)


class Scene:
    """A log whose policy wants one cosignature, and a witness that is served."""

    def __init__(self, clickhouse: ClickHouse, folder: Path) -> None:
        self.clickhouse = clickhouse
        key = log_key(folder)
        self.log_key = read_key_file(Path(key.key_file)).public_key
        policy = Policy(
            log_name=LOG_NAME,
            version=1,
            log_keys=(LogKey(public_key=base64.b64encode(self.log_key).decode()),),
            witnesses=(KEY,),
            quorum=1,
        )
        store_policy(clickhouse, policy, note_signed(policy.text, OWNER, owner_name(LOG_NAME)))
        self.state = WitnessState(folder / "witness")
        logs = TrustedLogs([verifier_key(LOG_NAME, self.log_key)])
        self.server = WitnessServer(("127.0.0.1", 0), Witness(NAME, WITNESS, logs, self.state))
        self.config = ProofConfig(
            log_name=LOG_NAME,
            key_file=key.key_file,
            owner_key=base64.b64encode(OWNER.public_key).decode(),
            witness_urls=f"http://127.0.0.1:{self.server.server_address[1]}",
        )
        self.log = ProvenLog(clickhouse, self.config)
        self.anchorer = configured_anchorer(clickhouse, self.config)

    def store(self, *counts: int) -> None:
        """Store so many events more in each partition."""
        self.log.store({place: some_events(count) for place, count in enumerate(counts)})

    def receipts(self, run: AnchorRun) -> list[Receipt]:
        """Return what is stored of the anchor of *run*."""
        store = AnchorStore(self.clickhouse, LOG_NAME, lambda _: [self.log_key])
        return store.receipts(run.anchor)


@pytest.fixture
def scene(database: ClickHouseConfig, tmp_path: Path) -> Iterator[Scene]:
    """Return a scene with two logs."""
    with ClickHouse(database) as clickhouse:
        made = Scene(clickhouse, tmp_path)
        made.store(300, 20)
        thread = threading.Thread(target=made.server.serve_forever, args=(0.01,))
        thread.start()
        yield made
        made.server.shutdown()
        thread.join()
        made.server.server_close()
        made.state.close()


def test_every_checkpoint_is_cosigned(scene: Scene) -> None:
    """As the logs grow, also after a start; what is stored is a cosignature over the anchored checkpoint."""
    for again in range(3):
        run = scene.anchorer.run()
        assert (run.failures, run.missing_cosignatures) == ({}, 0)
        texts = {each.origin: each.text for each in run.anchor.anchor.checkpoints}
        receipts = scene.receipts(run)
        assert sorted(each.origin for each in receipts) == sorted(texts)
        for each in receipts:
            lines = parse_signature_lines(each.receipt.decode() + "\n")
            assert len(list(cosigners(texts[each.origin], lines, [KEY], is_signed_by))) == 1
        scene.store(700, 3)
        if again:
            scene.anchorer = configured_anchorer(scene.clickhouse, scene.config)


def test_a_witness_that_has_seen_another_log_does_not_sign(scene: Scene, tmp_path: Path) -> None:
    """Somebody with the key has shown it another history: one log is told, the other is cosigned."""
    run = scene.anchorer.run()
    scene.store(5, 5)
    other = run.anchor.anchor.checkpoints[0]
    forged = other._replace(size=other.size + 1_000, root=b"x" * 32)
    signer = read_key_file(Path(scene.config.key_file))
    scene.state.keep(other.origin, note_signed(forged.text, signer, other.origin))
    for anchorer in (scene.anchorer, configured_anchorer(scene.clickhouse, scene.config)):
        run = anchorer.run()
        assert run.missing_cosignatures == 1
        (failure,) = run.failures.values()
        assert "its end was cut off, or another log is signed by the same key" in failure
        assert [each.origin for each in scene.receipts(run)] == [
            run.anchor.anchor.checkpoints[1].origin
        ]


def test_a_witness_that_has_lost_its_state_is_shown_the_way(scene: Scene, tmp_path: Path) -> None:
    """Put back from a backup, or gone: it is proven all that came since what it knows, and cosigns again."""
    scene.anchorer.run()
    folder = tmp_path / "witness"
    backup = {file: file.read_bytes() for file in folder.glob("*.checkpoint")}
    assert len(backup) == 2
    scene.store(5, 5)
    scene.anchorer.run()
    nothing: dict[Path, bytes] = {}
    for state in (backup, nothing):
        for file in folder.glob("*.checkpoint"):
            file.unlink()
        for file, content in state.items():
            file.write_bytes(content)
        scene.store(3, 3)
        run = scene.anchorer.run()
        assert (run.failures, run.missing_cosignatures) == ({}, 0)


def test_a_witness_that_is_away_or_unknown_stops_nothing(scene: Scene) -> None:
    """The anchor is made; who does not countersign is told."""
    logs = TrustedLogs([verifier_key(LOG_NAME, scene.log_key)])
    scene.server.witness = Witness(NAME, STRANGER, logs, scene.state)
    run = scene.anchorer.run()
    assert run.missing_cosignatures == 2
    assert "signs by no key that the policy names" in next(iter(run.failures.values()))
    away = ProofConfig(
        log_name=LOG_NAME,
        key_file=scene.config.key_file,
        owner_key=scene.config.owner_key,
        witness_urls="http://127.0.0.1:1",
    )
    run = configured_anchorer(scene.clickhouse, away).run()
    assert "cannot be reached" in next(iter(run.failures.values()))
    assert run.anchor.anchor.number == 2
