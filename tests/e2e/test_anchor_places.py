"""Places that keep anchors: each number once, never replaced, durably, and told when they are away."""

import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from cluster import Cluster
from made_keys import made_key
from s3_server import made_bucket, s3_server, set_credentials
from trailhouse.anchoring.places import read_anchors, writer_of, writers_of
from trailhouse.proof.anchor import FIRST, Anchor, anchor_name
from trailhouse.proof.keys import note_signed
from trailhouse.schemas.errors import AnchorError, ConfigError

pytestmark = pytest.mark.cluster

Make = Callable[[], str]


def git(*words: str) -> str:
    """Run the program `git`, and return what it prints."""
    done = subprocess.run(["git", *words], check=True, capture_output=True, text=True, timeout=60)
    return done.stdout.strip()


def anchor(number: int, at_ms: int = 1) -> bytes:
    """Return an anchor of *number*."""
    made = Anchor(
        log_name="audit.example/agents",
        number=number,
        at_ms=at_ms,
        policy_version=0,
        policy_sha256=FIRST,
        previous_sha256=FIRST if number == 1 else "0" * 64,
        checkpoints=(),
    )
    return note_signed(made.text, made_key(1), anchor_name(made.log_name)).encode()


def _topic(cluster: Cluster) -> str:
    name = f"anchors-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap_servers})
    admin.create_topics([NewTopic(name, 1, 1)])[name].result(30)
    return f"kafka:{name}?bootstrap_servers={cluster.bootstrap_servers}"


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """Return the URL of an S3 server."""
    with s3_server() as url:
        yield url


@pytest.fixture(params=["folder", "git", "git with a remote", "kafka", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return a place of each kind that keeps nothing yet."""
    if request.param == "kafka":
        return _topic(request.getfixturevalue("cluster"))
    if request.param == "s3":
        set_credentials(request.getfixturevalue("monkeypatch"))
        return made_bucket(request.getfixturevalue("s3")).place
    folder = tmp_path / "anchors"
    if request.param == "folder":
        folder.mkdir()
        return f"folder:{folder}"
    git("init", "-q", "--bare", str(folder))
    if request.param == "git":
        return f"git:{folder}"
    there = tmp_path / "there"
    git("init", "-q", "--bare", str(there))
    git("-C", str(folder), "remote", "add", "origin", str(there))
    return f"git:{folder}?remote=origin"


@pytest.mark.long
def test_a_number_is_kept_once(place: str) -> None:
    """What is there is returned and stays, whoever writes; another writer reads what the first one wrote."""
    writer = writer_of(place)
    assert (writer.name, writer.newest(), writer.read(1)) == (place, 0, None)
    first, second = anchor(1), anchor(2)
    assert writer.write(1, first) == first
    assert writer.write(1, first) == first
    assert writer.write(2, second) == second
    other = writer_of(place)
    assert other.write(2, anchor(2, at_ms=5)) == second
    assert other.newest() == writer.newest() == 2
    assert other.read(2) == second
    assert list(read_anchors(place)) == [(1, first), (2, second)]
    assert list(read_anchors(place, after=1)) == [(2, second)]


@pytest.mark.long
def test_many_are_found_in_their_order(place: str) -> None:
    """Also where the number of a folder changes."""
    writer = writer_of(place)
    contents = {number: anchor(number) for number in (9_999, 10_000, 10_001)}
    for number, content in contents.items():
        assert writer.write(number, content) == content
    assert writer_of(place).newest() == 10_001
    assert list(read_anchors(place, after=9_990)) == list(contents.items())


@pytest.mark.parametrize(
    "place", ["folder:{}/away", "git:{}/away", "kafka:anchors?bootstrap_servers=127.0.0.1:1"]
)
def test_a_place_that_is_away_is_told(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not made anew: a disk that is not mounted must not look like one that is empty."""
    monkeypatch.setattr("trailhouse.anchoring.writers.kafka.TIMEOUT_SECONDS", 1.0)
    writer = writer_of(place.format(tmp_path))
    for call in (lambda: writer.write(1, anchor(1)), lambda: writer.read(1), writer.newest):
        if place.startswith("folder") and call is not writer.newest:
            continue
        with pytest.raises(AnchorError, match=r"cannot be|ended with"):
            call()
    assert not list(tmp_path.iterdir())


def test_a_topic_that_nobody_made_is_told(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not made by asking for it, with whatever a broker does by default; the answer says how to make it."""
    monkeypatch.setattr("trailhouse.anchoring.writers.kafka.TIMEOUT_SECONDS", 2.0)
    writer = writer_of(f"kafka:nobodys?bootstrap_servers={cluster.bootstrap_servers}")
    with pytest.raises(AnchorError, match="no topic 'nobodys': make it"):
        writer.newest()


def test_a_push_that_failed_is_made_good(tmp_path: Path) -> None:
    """What was committed and not pushed is pushed with the next; what others pushed is never overwritten."""
    here, there = tmp_path / "here", tmp_path / "there"
    git("init", "-q", "--bare", str(here))
    git("-C", str(here), "remote", "add", "origin", str(there))
    writer = writer_of(f"git:{here}?remote=origin&branch=kept")
    with pytest.raises(AnchorError):
        writer.write(1, anchor(1))
    git("init", "-q", "--bare", str(there))
    assert writer.write(1, anchor(1)) == anchor(1)
    assert writer.write(2, anchor(2)) == anchor(2)
    assert git("-C", str(there), "rev-list", "--count", "kept") == "2"
    git("-C", str(there), "update-ref", "refs/heads/kept", "refs/heads/kept~1")
    assert writer.write(3, anchor(3)) == anchor(3)
    assert git("-C", str(there), "rev-list", "--count", "kept") == "3"


def test_a_remote_whose_history_was_written_anew_is_told(tmp_path: Path) -> None:
    """An auditor's clone keeps what it has and says what is other there; nobody pushes to it until it is put back."""
    here, there, clone, forger = (tmp_path / name for name in ("here", "there", "clone", "forger"))
    for folder in (here, there, clone, forger):
        git("init", "-q", "--bare", str(folder))
    for folder in (here, clone, forger):
        git("-C", str(folder), "remote", "add", "origin", str(there))
    place, writer = f"git:{clone}?remote=origin", writer_of(f"git:{here}?remote=origin")
    told: dict[int, str] = {}

    def kept() -> list[tuple[int, bytes]]:
        told.clear()
        return list(read_anchors(place, unprotected=told.__setitem__))

    true = [(number, writer.write(number, anchor(number))) for number in (1, 2, 3)]
    assert (kept(), told) == (true, {})
    forged = writer_of(f"git:{forger}")
    for number, at_ms in ((1, 1), (2, 9), (3, 1), (4, 1)):
        forged.write(number, anchor(number, at_ms))
    git("-C", str(forger), "push", "-q", "--force", "origin", "anchors")
    assert kept() == true
    assert list(told) == [2, 3], "another one, and the last here"
    with pytest.raises(AnchorError, match="somebody has written its history anew"):
        writer.write(4, anchor(4))
    git("-C", str(here), "push", "-q", "--force", "origin", "anchors")
    assert writer.write(4, anchor(4)) == anchor(4)
    assert (kept(), told) == ([*true, (4, anchor(4))], {})


def test_what_is_not_an_anchor_in_the_topic_is_passed_over(cluster: Cluster) -> None:
    """Whoever may append can append anything; the first anchor of a number stays the one that counts."""
    place = _topic(cluster)
    topic = place.removeprefix("kafka:").partition("?")[0]
    writer = writer_of(place)
    assert writer.write(1, anchor(1)) == anchor(1)
    producer = Producer({"bootstrap.servers": cluster.bootstrap_servers})
    for value in (b"", b"x", anchor(1, at_ms=9), None):
        producer.produce(topic, key=b"1", value=value)
    assert producer.flush(30) == 0
    assert writer_of(place).read(1) == anchor(1)
    assert writer.write(2, anchor(2)) == anchor(2)


@pytest.mark.parametrize(
    "places",
    ["", ",", "folder:/a,git:/b", " folder:/a "],
)
def test_places_are_told_apart_by_commas(places: str) -> None:
    """None for an empty setting."""
    assert len(writers_of(places)) == sum(bool(each.strip()) for each in places.split(","))


@pytest.mark.parametrize(
    "place",
    [
        "x", "folder:", "ftp:/a", "folder:/a,folder:/a", "git:/a?force=1", "git:/a?remote=--all", "kafka:t",
        "kafka:t?bootstrap_servers=a&config=/b", "kafka:t?config=/no/such/file", "kafka:?bootstrap_servers=a",
    ],
)  # fmt: skip
def test_a_malformed_place_is_refused(place: str) -> None:
    """Before anything is done."""
    with pytest.raises(ConfigError, match=r"proof\.anchors"):
        writers_of(place)


def test_a_number_that_is_far_away_is_told(tmp_path: Path) -> None:
    """Somebody has put the last number there is: nobody reads all those before it."""
    writer = writer_of(f"folder:{tmp_path}")
    for number in (1, 2, 10**12 - 1):
        writer.write(number, anchor(number))
    with pytest.raises(AnchorError, match="somebody else has put it there"):
        list(read_anchors(writer.name))
