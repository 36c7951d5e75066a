"""A witness cosigns what goes on from what it has seen, and answers everything else as the specification says."""

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from made_keys import made_key
from trailhouse.anchoring.witness.server import WitnessServer
from trailhouse.anchoring.witness.state import WitnessState
from trailhouse.anchoring.witness.witness import SIZE_TYPE, Answer, TrustedLogs, Witness
from trailhouse.proof.add_checkpoint import AddCheckpoint
from trailhouse.proof.checkpoint import Checkpoint, parse_checkpoint
from trailhouse.proof.cosignature import Cosignature, cosigners, parse_signature_lines
from trailhouse.proof.keys import is_signed_by, note_signed
from trailhouse.proof.merkle import (
    EMPTY_ROOT,
    consistency_intervals,
    leaf_hash,
    root_of,
)
from trailhouse.proof.note import COSIGNATURE_TYPE, parse_note, signed, verifier_key
from trailhouse.schemas.errors import AnchorError, ConfigError

NAME = "witness.example/w1"
LOG_NAME = "audit.example/agents"
ORIGIN = f"{LOG_NAME}/events/topic-id/3/1"
LOG, STRANGER, OWN = made_key(1), made_key(2), made_key(3)
AT = 1_790_000_000
LEAVES = [leaf_hash(str(number).encode()) for number in range(40)]
FORKED = [*LEAVES[:5], leaf_hash(b"other"), *LEAVES[6:]]


class Scene:
    """A witness with its state in a folder, and a log that asks it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.start()

    def start(self) -> None:
        """Start the witness, as after a restart."""
        self.state = WitnessState(self.folder)
        logs = TrustedLogs([verifier_key(LOG_NAME, LOG.public_key)])
        self.witness = Witness(NAME, OWN, logs, self.state, clock=lambda: AT)

    def ask(self, old: int, size: int, leaves: list[bytes] = LEAVES, **other: object) -> Answer:
        """Ask for *size* of *leaves*."""
        return self.witness.add_checkpoint(request(old, size, leaves, **other))  # type: ignore[arg-type]  # of `request`


def request(
    old: int,
    size: int,
    leaves: list[bytes] = LEAVES,
    *,
    origin: str = ORIGIN,
    signer: object = LOG,
    proof: list[bytes] | None = None,
) -> bytes:
    """Return a request as a log makes it."""
    made = (
        [root_of(leaves[start:end]) for start, end in consistency_intervals(old, size)]
        if proof is None
        else proof
    )
    note = note_signed(Checkpoint(origin, size, root_of(leaves[:size])).text, signer, origin)  # type: ignore[arg-type]  # a signer
    return AddCheckpoint(old, tuple(made), note).body


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """Return a witness that has seen nothing."""
    made = Scene(tmp_path / "state")
    yield made
    made.state.close()


def test_a_log_that_grows_is_cosigned(scene: Scene) -> None:
    """Each answer is a cosignature of type 0x04, with its time, over the checkpoint that was asked for."""
    for old, size in ((0, 5), (5, 5), (5, 6), (6, 40)):
        answer = scene.ask(old, size)
        assert (answer.status, answer.body.count("\n")) == (200, 1)
        text = Checkpoint(ORIGIN, size, root_of(LEAVES[:size])).text
        key = verifier_key(NAME, OWN.public_key, COSIGNATURE_TYPE)
        found = list(cosigners(text, parse_signature_lines(answer.body), [key], is_signed_by))
        assert [each for each, _ in found] == [Cosignature(NAME, AT)]


def test_a_fork_is_refused(scene: Scene) -> None:
    """At the same size, and at a larger one with a proof of its own: what was seen stands."""
    assert scene.ask(0, 10).status == 200
    assert scene.ask(10, 10, FORKED).status == 422
    assert scene.ask(10, 20, FORKED).status == 422
    assert scene.ask(10, 20).status == 200


def test_what_it_has_seen_outlives_it(scene: Scene) -> None:
    """After a restart a fork is refused, and an old size answered with the one that was seen."""
    assert scene.ask(0, 10).status == 200
    scene.state.close()
    scene.start()
    assert scene.ask(0, 20) == Answer(409, "10\n", SIZE_TYPE)
    assert scene.ask(10, 20, FORKED).status == 422
    assert scene.ask(10, 20).status == 200


def test_nothing_is_cosigned_on_a_damaged_state(scene: Scene) -> None:
    """A file that is not a checkpoint of its log is not taken for one that has seen nothing."""
    assert scene.ask(0, 10).status == 200
    file = scene.folder / f"{sha256(ORIGIN.encode()).hexdigest()}.checkpoint"
    for content in (b"", b"damaged", file.read_bytes().replace(b"/3/1", b"/4/1")):
        file.write_bytes(content)
        assert scene.ask(0, 20).status == 503
        assert scene.ask(10, 20).status == 503


def test_one_process_has_the_state(scene: Scene) -> None:
    """Two would cosign two histories between them."""
    with pytest.raises(AnchorError, match="in use by another witness"):
        WitnessState(scene.folder)


GOOD = request(5, 10)
CHECKPOINT = GOOD.partition(b"\n\n")[2]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"\xff" + GOOD, 400),
        (GOOD.replace(b"old 5", b"old 05"), 400),
        (GOOD.replace(b"old 5", b"old -5"), 400),
        (GOOD.replace(b"old 5", b"old 5e0"), 400),
        (GOOD.replace(b"old 5", b"old  5"), 400),
        (GOOD.replace(b"old 5", b"new 5"), 400),
        (GOOD.replace(b"old 5", b"old 9223372036854775808"), 400),
        (GOOD.replace(b"\n", b"\r\n"), 400),
        (GOOD.replace(b"old 5\n", b"old 5\nAAAA\n"), 400),
        (GOOD.replace(b"old 5\n", b"old 5\nnot base64\n"), 400),
        (request(5, 10, proof=[LEAVES[0]] * 64), 400),
        (GOOD + b"x" * 65_536, 400),
        (GOOD.replace(b"\n10\n", b"\n010\n"), 400),
        (request(11, 10, proof=[]), 400),
        (b"old 5\n\n" + CHECKPOINT.partition(b"\n\n")[0], 400),
        (request(5, 10, origin="audit.example/other/events/topic-id/3/1"), 404),
        (request(5, 10, origin=f"{LOG_NAME}/events"), 404),
        (request(5, 10, signer=STRANGER), 403),
        (GOOD.replace(b"\n10\n", b"\n11\n"), 403),
        (request(4, 10), 409),
        (request(0, 10), 409),
        (request(6, 10), 409),
        (request(5, 10, proof=[]), 422),
        (request(5, 10, proof=[LEAVES[0]]), 422),
        (request(5, 10, proof=[*LEAVES[:40]]), 422),
        (request(5, 5, FORKED[1:]), 422),
        (request(5, 5, proof=[LEAVES[0]]), 422),
        (b"old 0\n\n" + note_signed(f"{ORIGIN}\n0\n{'A' * 43}=\n", LOG, ORIGIN).encode(), 422),
        (GOOD, 200),
    ],
)
def test_bad_input_has_its_status(scene: Scene, body: bytes, status: int) -> None:
    """Malformed 400, unknown 404, not signed 403, another size 409 and that size, a proof that does not fit 422."""
    assert scene.ask(0, 5).status == 200
    answer = scene.witness.add_checkpoint(body)
    assert answer.status == status, answer.body
    if status == 409:
        assert answer == Answer(409, "5\n", SIZE_TYPE)
    if status != 200:
        assert scene.ask(5, 10).status == 200


def test_each_flipped_byte_is_refused(scene: Scene) -> None:
    """Whatever is flipped, nothing is cosigned that was not asked for."""
    assert scene.ask(0, 5).status == 200
    for place in range(len(GOOD)):
        flipped = bytearray(GOOD)
        flipped[place] ^= 1
        assert scene.witness.add_checkpoint(bytes(flipped)).status >= 400, place
    assert scene.ask(5, 10).status == 200


def test_an_empty_log_is_cosigned(scene: Scene) -> None:
    """Its root is that of no leaves; what comes after needs no proof."""
    note = note_signed(Checkpoint(ORIGIN, 0, EMPTY_ROOT).text, LOG, ORIGIN)
    assert scene.witness.add_checkpoint(AddCheckpoint(0, (), note).body).status == 200
    assert scene.ask(0, 5).status == 200


def test_a_key_counts_for_every_log_of_its_name() -> None:
    """Partitions, topics and generations alike; and for nobody whose name only begins alike."""
    logs = TrustedLogs([verifier_key(LOG_NAME, LOG.public_key)])
    successor = f"{LOG_NAME}/events/topic-id/3/2-{'a' * 32}"
    for known in (LOG_NAME, ORIGIN, successor, f"{LOG_NAME}/a/b/0/1"):
        assert logs.keys_for(known) == [LOG.public_key]
    for other in (
        f"{LOG_NAME}x/e/t/3/1",
        f"x{ORIGIN}",
        f"{LOG_NAME}/x/e/t/3/1",
        "",
        "a b",
        f"{ORIGIN}/1",
    ):
        assert not logs.keys_for(other)


def test_a_key_of_another_kind_is_no_logs_key() -> None:
    """A witness's key, or a damaged one, is refused when the witness starts."""
    for wrong in (
        verifier_key(NAME, OWN.public_key, COSIGNATURE_TYPE),
        "x",
        f"{LOG_NAME}+00000000+AAAA",
    ):
        with pytest.raises(ConfigError):
            TrustedLogs([wrong])


def test_only_the_logs_own_signature_is_served(scene: Scene) -> None:
    """What else stood under the request is not shown as if the witness had seen it."""
    body = GOOD.replace(b"old 5", b"old 0").split(b"\n\n")[0].split(b"\n")[0] + b"\n\n" + CHECKPOINT
    other = parse_note(note_signed("x\n", STRANGER, "stranger.example")).signatures
    note = parse_note(CHECKPOINT)
    with_more = signed(note.text, [*other, *note.signatures]).encode()
    assert scene.witness.add_checkpoint(body.replace(CHECKPOINT, with_more)).status == 200
    served = scene.witness.checkpoint(sha256(ORIGIN.encode()).hexdigest())
    _, kept = parse_checkpoint(served.body)
    assert [each.name for each in kept.signatures] == [ORIGIN, NAME]


def test_two_who_ask_at_once_are_answered_in_order(scene: Scene) -> None:
    """Of many who ask from one size, one is cosigned; the others are told the size that it made."""
    statuses: list[int] = []
    barrier = threading.Barrier(8)

    def work(size: int) -> None:
        barrier.wait()
        statuses.append(scene.ask(0, size).status)

    threads = [threading.Thread(target=work, args=(10 + place,)) for place in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] + [409] * 7


@pytest.fixture
def url(scene: Scene) -> Iterator[str]:
    """Return where the witness is served."""
    with WitnessServer(("127.0.0.1", 0), scene.witness) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def _status(request: urllib.request.Request) -> tuple[int, str, str]:
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own server
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


def test_it_is_served_over_http(url: str) -> None:
    """The statuses, the type of a size, the last checkpoint of a log, and nothing else."""
    add = f"{url}/add-checkpoint"
    assert _status(urllib.request.Request(add, request(0, 5)))[0] == 200  # noqa: S310
    assert _status(urllib.request.Request(add, request(0, 6))) == (409, SIZE_TYPE, "5\n")  # noqa: S310
    assert _status(urllib.request.Request(add, b"x"))[0] == 400  # noqa: S310
    assert _status(urllib.request.Request(add, b"x" * 70_000))[0] == 413  # noqa: S310
    assert _status(urllib.request.Request(f"{url}/other", b"x"))[0] == 404  # noqa: S310
    known = sha256(ORIGIN.encode()).hexdigest()
    status, _, body = _status(urllib.request.Request(f"{url}/{known}/checkpoint"))  # noqa: S310
    assert (status, parse_checkpoint(body)[0].size) == (200, 5)
    for other in ("0" * 64, "..%2f..", "x"):
        assert _status(urllib.request.Request(f"{url}/{other}/checkpoint"))[0] == 404  # noqa: S310
