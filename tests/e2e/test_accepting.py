"""`trailhouse proof accept`: what no key has signed is accepted as it stands, named, and held from then on."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from attack_scene import records_of
from cluster import Cluster
from proven import ORIGIN, ProvenLog
from sealing_scene import claimed
from trailhouse.cli.main import main
from trailhouse.proof.config import ProofConfig
from trailhouse.store import ClickHouse, ClickHouseConfig

pytestmark = pytest.mark.cluster

EVENTS = [claimed("legacy", "p9", n, session_id="old") for n in range(6)]
OTHERS = [claimed("legacy", "p8", n, session_id="late") for n in range(6)]
EARLIER, UNSIGNED = (f"{ORIGIN.topic}/{ORIGIN.topic_id}/{name}" for name in ("0/0", "1"))


class Scene:
    """A log of which the start of one partition was never proven, and that of another never signed."""

    def __init__(
        self, folder: Path, storage: ClickHouse, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.owner = ["--owner-key", str(folder / "owner.pem")]
        self.folder = folder
        self.storage = storage
        self._capsys = capsys
        without = ProvenLog(storage, ProofConfig(log_name="", key_file="", owner_key=""))
        without.store({0: EVENTS[:4], 1: OTHERS[:4]})
        for table in ("log_leaves", "log_nodes", "log_checkpoints"):
            storage.command(f"DELETE FROM {table} WHERE kafka_partition = 0")
        signing = ProvenLog(storage, ProofConfig())
        records = records_of({0: EVENTS[4:], 1: OTHERS[3:]}, {0: 4, 1: 3}, 1_790_000_000_003)
        signing.write(records, {0: 4, 1: 4}, {0: 4, 1: 3})

    def run(self, *command: str) -> tuple[int, str, str]:
        """Run a command of `trailhouse proof`, and return its exit code and what it has printed."""
        self._capsys.readouterr()
        code = main(["proof", *command])
        printed = self._capsys.readouterr()
        return code, printed.out, printed.err

    def verify(self, *options: str) -> tuple[int, dict[str, Any]]:
        """Verify, and return the exit code and the report."""
        self._capsys.readouterr()
        code = main(["verify", "--no-event", "--format", "json", *options])
        return code, json.loads(self._capsys.readouterr().out)

    def reasons(self, report: dict[str, Any]) -> list[str]:
        """Return why some of it could not be checked."""
        return [each for duty in report["duties"] for each in duty["reasons"]]

    def finds_changes(self) -> None:
        """Delete a row that is accepted, then its leaf with the others."""
        self.storage.command("DELETE FROM event_log WHERE kafka_partition = 0 AND kafka_offset = 1")
        assert "record_gone" in self.found(self.verify()[1])
        self.storage.command(
            "DELETE FROM log_leaves WHERE kafka_partition = 0 AND generation = '0'"
        )
        assert "accepted_changed" in self.found(self.verify()[1])

    def found(self, report: dict[str, Any]) -> set[str]:
        """Return the kinds that *report* has found."""
        return {each["kind"] for duty in report["duties"] for each in duty["findings"]}


@pytest.fixture
def scene(
    cluster: Cluster,
    database: ClickHouseConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Scene]:
    """Return such a log with its first policy in force."""
    for name, value in cluster.environment(database=database.database).items():
        monkeypatch.setenv(name, value)
    files = [
        f"--{option}={tmp_path / name}"
        for option, name in (("owner-key", "owner.pem"), ("key", "log.pem"), ("policy", "policy"))
    ]
    log_name = "log.example.org/agents"
    assert main(["proof", "init", log_name, *files, "--format", "json"]) == 0
    made = json.loads(capsys.readouterr().out)
    for name, value in {
        "LOG_NAME": log_name,
        "KEY_FILE": str(tmp_path / "log.pem"),
        "OWNER_KEY": made["owner_public_key"],
        "POLICY_FILE": str(tmp_path / "policy"),
    }.items():
        monkeypatch.setenv(f"TRAILHOUSE_PROOF_{name}", value)
    assert main(["proof", "publish", str(tmp_path / "policy")]) == 0
    with ClickHouse(database) as storage:
        made_log = Scene(tmp_path, storage, capsys)
        assert main(["proof", "anchor"]) == 0
        yield made_log


@pytest.mark.long
def test_an_owner_accepts_what_was_never_signed(scene: Scene) -> None:
    """What there is is shown, nothing of another name is accepted, and what is not accepted stays unchecked."""
    code, report = scene.verify()
    assert (code, scene.found(report)) == (1, {"uncovered", "generation_without_past"})
    code, out, _ = scene.run("accept", "--format", "json")
    shown = {each["log"]: (each["first_offset"], each["last_offset"]) for each in json.loads(out)}
    assert (code, shown) == (0, {EARLIER: (0, 3), UNSIGNED: (0, 3)})
    because = ["--reason", "the key came late", *scene.owner]
    assert scene.run("accept", "--log", "events/other/1", *because)[0] == 2
    code, out, told = scene.run("accept", "--log", UNSIGNED, *because)
    assert (code, "version 2" in out, f"accepts {UNSIGNED}: leaves below offset 4" in told) == (
        0,
        True,
        True,
    )
    code, report = scene.verify()
    assert (code, scene.found(report)) == (2, set())  # the rows that were never proven are left


@pytest.mark.long
def test_what_is_accepted_by_draft_is_held_from_then_on(scene: Scene) -> None:
    """Signed where the owner's key is; then all is intact, each run names it, and finds what changes later."""
    because = ["--reason", "the key came late", *scene.owner]
    assert scene.run("accept", "--log", UNSIGNED, *because)[0] == 0
    draft = scene.folder / "draft"
    assert scene.run("accept", "--reason", "upgraded", "--draft", str(draft))[0] == 0
    assert scene.verify()[0] == 2  # nobody has signed that yet
    code, _, told = scene.run("sign", str(draft), *scene.owner)
    assert (code, "rows from before it was proven below offset 4" in told) == (0, True)
    assert scene.run("publish", f"{draft}.signed")[0] == 0
    state = ["--incremental", "--state", str(scene.folder / "state")]
    code, report = scene.verify(*state)
    assert (code, scene.found(report)) == (0, set()), scene.reasons(report)
    [leaves] = [duty for duty in report["duties"] if duty["name"] == "leaves"]
    assert [(each["generation"], each["reason"]) for each in leaves["accepted"]] == [
        ("0", "upgraded"),
        ("1", "the key came late"),
    ]
    code, report = scene.verify(*state)
    assert (code, scene.found(report)) == (0, set()), scene.reasons(report)
    assert main(["verify", "--no-event", "--session", "old"]) == 0
    assert scene.run("accept", *because)[0] == 2  # nothing is left
    scene.finds_changes()


def test_an_owner_takes_it_back(scene: Scene) -> None:
    """Then it is found again; and an event from before the log was proven has no proof, accepted or not."""
    assert scene.run("accept", "--reason", "known", *scene.owner)[0] == 0
    assert scene.run("accept", "--withdraw", "--log", "no/such/1", *scene.owner)[0] == 2
    assert main(["prove", str(EVENTS[0].event_id)]) == 1
    assert scene.run("accept", "--withdraw", *scene.owner)[0] == 0
    assert scene.found(scene.verify()[1]) == {"uncovered", "generation_without_past"}
    assert scene.run("accept", "--withdraw", *scene.owner)[0] == 2
