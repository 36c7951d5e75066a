"""Anchoring on the real engine: only what fits is signed, once a number, and kept by those who take it."""

import datetime as dt
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from proven import LOG_NAME, ORIGIN, ProvenLog, log_key
from stored import some_events
from trailhouse.anchoring.anchorer import Anchorer, AnchorRun
from trailhouse.anchoring.configured import configured_anchorer
from trailhouse.anchoring.places import read_anchors
from trailhouse.anchoring.stored_log import StoredLog
from trailhouse.anchoring.tree_reader import TreeReader
from trailhouse.anchoring.writers.writer import path_of
from trailhouse.consumer.batch.contradictions import note_contradictions
from trailhouse.consumer.batch.incidents import Incidents
from trailhouse.consumer.batch.ledger import Ledger
from trailhouse.consumer.monitoring.anchoring import Anchoring
from trailhouse.consumer.monitoring.health import Health
from trailhouse.consumer.monitoring.metrics import WorkerMetrics
from trailhouse.proof.anchor_chain import checked_chain
from trailhouse.proof.config import ProofConfig
from trailhouse.proof.keys import create_key_file, is_signed_by, note_signed, read_key_file
from trailhouse.proof.merkle import is_consistent, joined
from trailhouse.store import ClickHouse, ClickHouseConfig
from trailhouse.store.tables import LOG_ANCHOR_OFFERS, LOG_ANCHORS

pytestmark = pytest.mark.cluster


class Scene:
    """A proven log of two partitions, and a folder that keeps its anchors."""

    def __init__(self, clickhouse: ClickHouse, folder: Path) -> None:
        self.clickhouse = clickhouse
        self.kept = folder / "anchors"
        self.kept.mkdir()
        key = log_key(folder)
        self.config = ProofConfig(
            log_name=LOG_NAME, key_file=key.key_file, anchors=f"folder:{self.kept}"
        )
        self.log = ProvenLog(clickhouse, self.config)

    def anchorer(self) -> Anchorer:
        """Return another anchorer, as a worker that starts has it."""
        return configured_anchorer(self.clickhouse, self.config)

    def anchor(self) -> AnchorRun:
        """Anchor once, from nothing remembered."""
        return self.anchorer().run()

    def sizes(self, run: AnchorRun) -> list[int]:
        """Return how large *run* says that the logs are, by partition."""
        return [each.size for each in run.anchor.anchor.checkpoints]

    def faults(self) -> list[str]:
        """Return what is wrong with the chain that the folder keeps."""
        public_key = read_key_file(Path(self.config.key_file)).public_key
        contents = ((number, raw.decode()) for number, raw in read_anchors(f"folder:{self.kept}"))
        chain = checked_chain(contents, [public_key], is_signed_by, log_name=LOG_NAME)
        return [fault.rule for each in chain for fault in each.faults]

    def alter(self, sql: str) -> None:
        """Change stored rows behind the log's back."""
        self.clickhouse.command(f"{sql} SETTINGS mutations_sync = 1")


@pytest.fixture
def scene(database: ClickHouseConfig, tmp_path: Path) -> Iterator[Scene]:
    """Return a scene with 30 events in partition 0, and 20 records, some of them no events, in partition 1."""
    with ClickHouse(database) as clickhouse:
        made = Scene(clickhouse, tmp_path)
        made.log.store({0: some_events(30), 1: [*some_events(17), b"not an event", None, b""]})
        yield made


def test_each_anchor_follows_the_one_before(scene: Scene) -> None:
    """Whoever anchors, with or without what the last process knew, goes on; the folder keeps a whole chain."""
    run = scene.anchor()
    assert run.is_ours
    assert not run.contradictions
    assert not run.failures
    assert scene.sizes(run) == [30, 20]
    remembers = scene.anchorer()
    for count in (1, 2):
        scene.log.store({0: some_events(5)})
        run = remembers.run()
        assert scene.sizes(run) == [30 + 5 * count, 20]
    scene.log.store({1: some_events(3)})
    run = scene.anchor()
    assert (run.anchor.anchor.number, scene.sizes(run)) == (4, [40, 23])
    assert not scene.faults()
    assert len(list(read_anchors(f"folder:{scene.kept}"))) == 4


def test_a_record_that_was_sent_twice_is_anchored(scene: Scene) -> None:
    """A merge leaves one row of two copies: the second leaf is borne out by the first one's row, whenever it came."""
    sent = some_events(4)
    scene.log.store({0: sent})
    assert scene.sizes(scene.anchor()) == [34, 20]
    scene.log.store({0: [sent[2], *some_events(1), sent[2]]})
    scene.clickhouse.command("OPTIMIZE TABLE event_log FINAL")
    run = scene.anchor()
    assert (scene.sizes(run), run.contradictions) == ([37, 20], ())


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ("UPDATE record = concat(left(record, 20), char(64), substring(record, 22))", "no_record"),
        ("DELETE", "no_record"),
    ],
)
def test_a_record_that_was_changed_is_not_anchored(scene: Scene, change: str, kind: str) -> None:
    """One byte is enough; the other log, and what came before in this one, is anchored all the same."""
    assert scene.sizes(scene.anchor()) == [30, 20]
    scene.log.store({0: some_events(5)})
    scene.log.store({0: some_events(5), 1: some_events(5)})
    scene.alter(f"ALTER TABLE event_log {change} WHERE kafka_partition = 0 AND kafka_offset = 37")
    run = scene.anchor()
    assert [(each.kind, each.log.kafka_partition, each.at) for each in run.contradictions] == [
        (kind, 0, 37)
    ]
    assert scene.sizes(run) == [35, 25]
    run = scene.anchor()
    assert (scene.sizes(run), len(run.contradictions)) == ([35, 25], 1)


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("ALTER TABLE log_leaves DELETE WHERE kafka_partition = 0 AND kafka_offset = 33", "root"),
        (
            "INSERT INTO log_leaves SELECT * REPLACE (kind + 1 AS kind) FROM log_leaves"
            " WHERE kafka_partition = 0 AND kafka_offset = 33",
            "leaf_twice",
        ),
        (
            "INSERT INTO log_checkpoints SELECT * REPLACE (33 AS size) FROM log_checkpoints"
            " WHERE kafka_partition = 0 AND length(roots) = 3",
            "root",
        ),
    ],
)
def test_leaves_and_checkpoints_that_were_changed_are_not_anchored(
    scene: Scene, sql: str, kind: str
) -> None:
    """What does not lead to the root that the worker wrote is told, and the last size that fits is kept."""
    assert scene.sizes(scene.anchor()) == [30, 20]
    scene.log.store({0: some_events(5)})
    if sql.startswith("ALTER"):
        scene.alter(sql)
    else:
        scene.clickhouse.command(sql)
    run = scene.anchor()
    assert [each.kind for each in run.contradictions] == [kind]
    is_forged_checkpoint = "log_checkpoints" in sql
    assert scene.sizes(run) == [35 if is_forged_checkpoint else 30, 20]


def test_two_who_anchor_at_once_make_one_chain(scene: Scene) -> None:
    """Each number has one anchor, whoever made it, and nobody's is lost."""
    rounds, workers = 6, 3
    barrier = threading.Barrier(workers)
    runs: list[AnchorRun] = []

    def work() -> None:
        with ClickHouse(scene.clickhouse.config) as own:
            anchorer = configured_anchorer(own, scene.config)
            for _ in range(rounds):
                barrier.wait()
                runs.append(anchorer.run())

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(runs) == rounds * workers
    assert not [run.failures for run in runs if run.failures]
    by_number: dict[int, set[str]] = {}
    for run in runs:
        by_number.setdefault(run.anchor.anchor.number, set()).add(run.anchor.content)
    assert all(len(contents) == 1 for contents in by_number.values())
    ours = [run.anchor.anchor.number for run in runs if run.is_ours]
    # Two who make the same within a millisecond have both made it.
    assert sorted(set(ours)) == list(range(1, max(ours) + 1))
    assert not scene.faults()
    rows = scene.clickhouse.query("SELECT count(DISTINCT anchor), max(number) FROM log_anchors")
    assert rows.rows[0][0] == rows.rows[0][1] == max(ours)


def test_a_place_that_was_away_is_given_what_it_missed(scene: Scene) -> None:
    """In order, once it is back; until then it is told, and everything else goes on."""
    anchorer = scene.anchorer()
    anchorer.run()
    away = scene.kept.rename(scene.kept.with_name("unmounted"))
    for _ in range(3):
        run = anchorer.run()
        assert [kind for kind, _ in run.failures] == ["folder"]
    away.rename(scene.kept)
    run = anchorer.run()
    assert not run.failures
    assert run.anchor.anchor.number == 5
    assert [number for number, _ in read_anchors(f"folder:{scene.kept}")] == [1, 2, 3, 4, 5]
    assert not scene.faults()


def test_anchors_that_clickhouse_has_lost_are_taken_back(scene: Scene) -> None:
    """After a restore from a backup the chain goes on from what others keep, and no log shrinks."""
    scene.anchor()
    scene.log.store({0: some_events(5)})
    scene.anchor()
    scene.anchor()
    for table in ("log_anchors", "log_anchor_offers", "log_anchor_receipts"):
        scene.clickhouse.command(f"TRUNCATE TABLE {table}")
    scene.alter("ALTER TABLE log_checkpoints DELETE WHERE kafka_partition = 0 AND size > 30")
    scene.alter("ALTER TABLE log_leaves DELETE WHERE kafka_partition = 0 AND kafka_offset >= 30")
    run = scene.anchor()
    assert (run.anchor.anchor.number, scene.sizes(run)) == (4, [35, 20])
    assert [each.kind for each in run.contradictions] == ["anchored_part"]
    assert not scene.faults()


def test_what_nobody_signed_is_not_an_anchor(scene: Scene, tmp_path: Path) -> None:
    """Rows that were inserted, the same anchor under another number, another's key: none of them is gone on from."""
    first = scene.anchor().anchor
    stranger = create_key_file(tmp_path / "stranger.key")
    text = first.anchor.text.replace(f"{LOG_NAME}\n1\n", f"{LOG_NAME}\n2\n")
    forged = note_signed(text, stranger, f"{LOG_NAME}/anchor")
    for table, times in ((LOG_ANCHORS, {}), (LOG_ANCHOR_OFFERS, {"offered_at": [0] * 4})):
        scene.clickhouse.insert(
            table.block(
                {
                    "number": [2, 2, 99, 7],
                    "anchor": [forged, "nothing", forged, first.content],
                    **times,
                }
            )
        )
    run = scene.anchor()
    assert (run.anchor.anchor.number, run.is_ours, run.failures) == (2, True, {})
    assert not scene.faults()


def test_another_anchor_in_a_place_is_told_and_never_replaced(scene: Scene) -> None:
    """Whoever put it there: the place is asked again with the next anchor, and says the same."""
    scene.anchor()
    other = scene.kept / path_of(2)
    other.write_bytes(b"another")
    for _ in range(2):
        run = scene.anchor()
        assert "another anchor 2" in next(iter(run.failures.values()))
    assert other.read_bytes() == b"another"


def test_the_worker_tells_what_does_not_fit(scene: Scene) -> None:
    """By a metric, by /health, and once as an incident; and that it is over."""
    health, metrics = Health(), WorkerMetrics()
    incidents = Incidents(
        Ledger(scene.clickhouse, ORIGIN), ORIGIN, metrics, lambda: dt.datetime.now(dt.UTC)
    )
    anchoring = Anchoring.configured(
        scene.clickhouse,
        scene.config,
        health,
        metrics,
        lambda contradictions: note_contradictions(incidents, ORIGIN, contradictions),
    )
    anchoring.tell(anchoring.anchor(is_ours=True))
    assert "anchoring" not in health.warnings
    scene.log.store({0: some_events(1)})
    scene.alter("ALTER TABLE event_log DELETE WHERE kafka_partition = 0 AND kafka_offset = 30")
    for _ in range(2):
        anchoring.tell(anchoring.anchor(is_ours=True))
    assert "no stored record has the hash" in health.warnings["anchoring"]
    text = metrics.text(is_ready=True).decode()
    assert "trailhouse_worker_unanchored_logs 1.0" in text
    noted = scene.clickhouse.query("SELECT kind, first_offset FROM event_incidents").rows
    assert noted == [("contradicted", 30)]
    assert anchoring.anchor(is_ours=False) is None
    assert "last_anchor_timestamp_seconds NaN" in metrics.text(is_ready=True).decode()


def test_the_tree_is_read_from_few_nodes_or_from_leaves(scene: Scene) -> None:
    """With nodes, without them, and with one that lies: the hashes of any interval are those of the leaves."""
    scene.log.store({0: some_events(1_100)})
    log = StoredLog(*ORIGIN, 0)
    reader = TreeReader(scene.clickhouse, log)
    whole = reader.tree(1_130)
    last = scene.clickhouse.query(
        "SELECT roots FROM log_checkpoints WHERE kafka_partition = 0 ORDER BY size DESC LIMIT 1"
    ).rows[0][0]
    assert whole.roots == tuple(last)
    proof = reader.consistency_proof(30, 1_130)
    assert is_consistent(30, 1_130, joined(reader.tree(30).roots), whole.root(), proof)
    scene.clickhouse.command(
        "INSERT INTO log_nodes SELECT * REPLACE (unhex(repeat('00', 32)) AS hash) FROM log_nodes LIMIT 1"
    )
    assert reader.tree(1_130).roots == whole.roots
    scene.clickhouse.command("TRUNCATE TABLE log_nodes")
    assert reader.tree(1_130).roots == whole.roots
