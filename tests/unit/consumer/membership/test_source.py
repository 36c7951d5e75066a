"""A membership's consumer: what is read, what is held back, what a commit's answer means."""

from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import OFFSET_END

from fake_kafka import error, failure, fake_source, problem, record
from trailhouse.consumer.config import WorkerConfig
from trailhouse.consumer.membership.source import HOLDER, SUSPECT, KafkaSource, Listener
from trailhouse.schemas.errors import BrokerRejectedError, BrokerUnavailableError, ConfigError
from trailhouse.schemas.kafka_config import KafkaConfig
from trailhouse.schemas.ranges import Range


class Scene:
    """A source over a fake consumer, and what its owner was told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.told: list[object] = []
        listener = Listener(
            on_assigned=self.told.append,
            on_revoked=lambda: self.told.append("revoked"),
            on_lost=lambda: self.told.append("lost"),
        )
        self.source, self.consumer = fake_source(monkeypatch, listener)

    def begin(self, *numbers: int) -> None:
        """Have partitions assigned and read from offset 5 on."""
        self.consumer.tell("on_assign", numbers)
        self.source.begin(dict.fromkeys(numbers, 5), markable=numbers)

    def read(self) -> list[tuple[int, int]]:
        """Return partition and offset of each record that one read brings."""
        return [(each.partition(), each.offset()) for each in self.source.read(100, 0.0)]


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Return a source that has joined the group and has no partition yet."""
    return Scene(monkeypatch)


def test_nothing_is_fetched_before_it_is_known_where_to_begin(scene: Scene) -> None:
    """What Kafka assigns is told to the owner, and read from the owner's offsets alone."""
    scene.consumer.tell("on_assign", [2, 0])
    assert (scene.told, scene.consumer.assigned) == ([[0, 2]], {})
    scene.consumer.waiting = [record(0, 3)]
    assert scene.read() == [], "it is of before the assignment"
    scene.source.begin({0: 5, 2: 9})
    assert scene.consumer.assigned == {0: 5, 2: 9}
    scene.consumer.waiting = [record(0, 5), record(2, 9)]
    assert scene.read() == [(0, 5), (2, 9)]
    assert scene.source.delivered_records == 2


def test_the_holder_is_marked_before_anything_is_fetched(scene: Scene) -> None:
    """A commit says who reads, but never at an offset below which nothing is known to be stored."""
    scene.consumer.tell("on_assign", [0, 1])
    scene.source.begin({0: 5, 1: 7}, markable=[0])
    assert scene.consumer.commits == [{0: (5, HOLDER)}]
    scene.consumer.tell("on_revoke", [0, 1])
    assert scene.consumer.commits[1:] == [{0: (5, "")}], "in order: nobody died of it"
    assert scene.told[1:] == ["revoked"]
    assert scene.source.partitions == []


def test_what_is_read_again_takes_no_commit_back(scene: Scene) -> None:
    """Records that are stored, and read again only to be signed: the group's offset stays where it was until then."""
    scene.consumer.tell("on_assign", [0])
    scene.source.begin({0: 5}, markable=[0], floors={0: 45})
    assert scene.source.position(0) == 5, "it is read from its start"
    assert [scene.source.commit({0: offset}) for offset in (20, 50)] == ["done", "done"]
    scene.consumer.tell("on_revoke", [0])
    assert scene.consumer.commits == [
        {0: (45, HOLDER)}, {0: (45, HOLDER)}, {0: (50, HOLDER)}, {0: (50, "")},
    ]  # fmt: skip


def test_partitions_that_are_lost_are_not_marked(scene: Scene) -> None:
    """They are another's already, and so is what stands beside their offsets."""
    scene.begin(0)
    scene.consumer.tell("on_lost", [0])
    assert scene.told[1:] == ["lost"]
    assert len(scene.consumer.commits) == 1
    assert scene.source.partitions == []


@pytest.mark.parametrize("name", ["_BAD_COMPRESSION", "INVALID_MSG", "MSG_SIZE_TOO_LARGE"])
def test_a_partition_that_cannot_be_read_holds_no_other_up(scene: Scene, name: str) -> None:
    """What follows in it is left out until it goes on, and each time that it fails is counted."""
    scene.begin(0, 1)
    scene.consumer.waiting = [record(0, 5), problem(0, name), record(0, 9), record(1, 5)]
    assert scene.read() == [(0, 5), (1, 5)]
    scene.consumer.waiting = [problem(0, name)]
    assert scene.read() == []
    assert scene.source.failing[0].times == 2
    scene.source.go_on(0, 8)
    assert scene.consumer.sought == {0: 8}
    scene.consumer.waiting = [record(0, 8)]
    assert scene.read() == [(0, 8)]


def test_a_suspect_is_not_fetched_by_us(scene: Scene) -> None:
    """It fails from the start, and is assigned at the end of its log until it goes on."""
    scene.consumer.tell("on_assign", [0, 1])
    scene.source.begin({0: 5, 1: 7}, {0: Range(5, 8)})
    assert scene.consumer.assigned == {0: OFFSET_END, 1: 7}
    assert scene.source.failing[0].name == SUSPECT
    scene.consumer.waiting = [record(0, 9), record(1, 7)]
    assert scene.read() == [(1, 7)]


def test_an_offset_that_is_gone_stops_all_reading(scene: Scene) -> None:
    """Nothing of such a read counts, and it is said until the owner begins anew."""
    scene.begin(0, 1)
    scene.consumer.waiting = [record(1, 5), problem(0, "_AUTO_OFFSET_RESET")]
    assert scene.read() == []
    assert scene.source.is_astray
    scene.source.withhold()
    assert (scene.consumer.assigned, scene.source.partitions) == ({}, [])
    scene.source.begin({0: 6, 1: 5})
    assert not scene.source.is_astray


def test_the_end_of_a_log_shows_offsets_without_records(scene: Scene) -> None:
    """Between what is committed and the end no record is left, once all that came is committed."""
    scene.begin(0)
    scene.consumer.waiting = [record(0, 5), problem(0, "_PARTITION_EOF", 9)]
    assert scene.read() == [(0, 5)]
    assert scene.source.without_records(0) == {}, "a record is in hand"
    assert scene.source.commit({0: 6}) == "done"
    assert scene.source.without_records(1) == {0: Range(6, 8)}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("TOPIC_AUTHORIZATION_FAILED", BrokerRejectedError),
        ("UNKNOWN_TOPIC_OR_PART", BrokerRejectedError),
        ("_TRANSPORT", BrokerUnavailableError),
    ],
)
def test_other_errors_end_the_reading(scene: Scene, name: str, kind: type[Exception]) -> None:
    """Whether they come in a record's place or are raised."""
    scene.begin(0)
    scene.consumer.waiting = [problem(0, name)]
    with pytest.raises(kind):
        scene.read()
    scene.consumer.raising = failure(name)
    with pytest.raises(kind):
        scene.read()


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("ILLEGAL_GENERATION", "fenced"),
        ("UNKNOWN_MEMBER_ID", "fenced"),
        ("_NO_OFFSET", "fenced"),
        ("_TIMED_OUT", "later"),
        ("COORDINATOR_NOT_AVAILABLE", "later"),
    ],
)
def test_a_commit_that_is_not_done(scene: Scene, name: str, outcome: str) -> None:
    """Fenced or unknown, said for the whole request or for one partition; the position stays what it was."""
    scene.begin(0, 1)
    scene.consumer.commit_errors = {1: error(name)}
    assert scene.source.commit({0: 6, 1: 6}) == outcome
    scene.consumer.commit_errors = {}
    scene.consumer.raising = failure(name)
    assert scene.source.commit({0: 6, 1: 6}) == outcome
    assert scene.source.positions == {0: 5, 1: 5}


def test_a_commit_that_is_done_moves_the_position(scene: Scene) -> None:
    """It bears the holder's name, and from then on the partition may be marked."""
    scene.consumer.tell("on_assign", [0])
    scene.source.begin({0: 5})
    assert scene.source.commit({0: 8}) == "done"
    assert scene.consumer.commits == [{0: (8, HOLDER)}]
    assert scene.source.position(0) == 8
    scene.consumer.tell("on_revoke", [0])
    assert scene.consumer.commits[1:] == [{0: (8, "")}]


@pytest.mark.parametrize("is_of_one", [True, False])
def test_a_commit_that_is_refused_is_raised(scene: Scene, is_of_one: bool) -> None:
    """Somebody must mend the group's permission; to try again would help nobody."""
    scene.begin(0)
    if is_of_one:
        scene.consumer.commit_errors = {0: error("GROUP_AUTHORIZATION_FAILED")}
    else:
        scene.consumer.raising = failure("GROUP_AUTHORIZATION_FAILED")
    with pytest.raises(BrokerRejectedError):
        scene.source.commit({0: 6})


def test_a_hold_is_of_every_partition_and_ends_once(scene: Scene) -> None:
    """Both are asked of the consumer once, however often they are said."""
    scene.begin(0, 1)
    scene.source.hold()
    scene.source.hold()
    assert (scene.consumer.paused, scene.source.is_held) == ({0, 1}, True)
    scene.source.resume()
    assert (scene.consumer.paused, scene.source.is_held) == (set(), False)


def test_ends_are_those_of_what_is_read(scene: Scene) -> None:
    """An end that no answer has named yet is not known."""
    scene.begin(0, 1)
    scene.consumer.ends = {0: 12, 7: 4}
    assert scene.source.known_ends() == {0: 12}


@pytest.mark.parametrize(
    "step",
    [
        lambda source: source.go_on(0, 6),
        lambda source: source.part(0, {0: 5, 1: 5}),
    ],
)
def test_what_the_consumer_cannot_do_is_retriable(
    scene: Scene, step: Callable[[KafkaSource], object]
) -> None:
    """With a new source."""
    scene.begin(0, 1)
    scene.consumer.raising = failure("_STATE")
    with pytest.raises(BrokerUnavailableError):
        step(scene.source)


def test_a_complaint_names_its_error(scene: Scene) -> None:
    """librdkafka's callback is heard, and how Kafka's silence is told says where it was expected."""
    scene.consumer.options["error_cb"](error("_ALL_BROKERS_DOWN"))
    assert (scene.source.complaint or "").startswith("_ALL_BROKERS_DOWN: ")
    assert "TRAILHOUSE_KAFKA_BOOTSTRAP_SERVERS" in str(scene.source.away("nothing came"))


def test_the_end_lets_go_of_the_consumer(scene: Scene) -> None:
    """The member leaves the group."""
    scene.source.close()
    assert scene.consumer.is_closed


def test_settings_that_the_client_refuses(tmp_path: Path) -> None:
    """They are said as ours, by the real client, before anything connects."""
    listener = Listener(on_assigned=lambda _: None, on_revoked=lambda: None, on_lost=lambda: None)
    (tmp_path / "ca.pem").write_text("no certificate")
    kafka = KafkaConfig(security_protocol="ssl", ssl_ca_location=str(tmp_path / "ca.pem"))
    with pytest.raises(ConfigError, match=r"\[kafka\]"):
        KafkaSource(kafka, WorkerConfig(), listener)
