"""`trailhouse proof` on the real tables: services enrolled, keys rotated and revoked, and what still counts after."""

import base64
import json
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509 import load_pem_x509_certificate

from cluster import Cluster
from time_stamp_authority import MadeAuthority
from trailhouse.cli.main import main
from trailhouse.proof.anchor import Anchor, anchor_name
from trailhouse.proof.checkpoint import Checkpoint, parse_checkpoint
from trailhouse.proof.config import ProofConfig
from trailhouse.proof.keys import FileSigner, create_key_file, note_signed, read_key_file
from trailhouse.proof.merkle import root_of
from trailhouse.proof.note import parse_verifier_key
from trailhouse.proof.origin import LogOrigin
from trailhouse.proof.policy import Policy
from trailhouse.schemas.kafka_config import KafkaConfig
from trailhouse.store import ClickHouse, ClickHouseConfig
from trailhouse.store.policies import stored_policies
from trailhouse.store.tables import LOG_ANCHORS, LOG_CHECKPOINTS

pytestmark = pytest.mark.cluster

LOG = "log.example.org/agents"
ROOT = root_of([b"\x07" * 32])


class Scene:
    """A log that has its first policy: settings, keys, and a connection."""

    def __init__(self, folder: Path, storage: ClickHouse) -> None:
        self.folder = folder
        self.storage = storage
        self.owner = ["--owner-key", str(folder / "owner.pem")]

    @property
    def log_key(self) -> FileSigner:
        """The key that the settings name."""
        return read_key_file(self.folder / "log.pem")

    @property
    def policy(self) -> Policy:
        """The one in force."""
        chain = stored_policies(self.storage, ProofConfig())
        assert chain.current is not None
        assert chain.faults == ()
        return chain.current

    def checkpoint(self, partition: int, size: int, signer: FileSigner | None = None) -> str:
        """Store a checkpoint of *size* leaves; of one root alone, so *size* is a power of two. Return the origin."""
        origin = LogOrigin(LOG, "events", "topic-id", partition)
        text = Checkpoint(str(origin), size, ROOT).text
        row: dict[str, Any] = {
            "kafka_cluster": "c",
            "kafka_topic": "events",
            "kafka_topic_id": "topic-id",
            "kafka_partition": partition,
            "generation": "1",
            "size": size,
            "roots": [ROOT],
            "checkpoint": note_signed(text, signer or self.log_key, str(origin)),
            "written_at": int(time.time() * 1_000),
        }
        self.storage.insert(LOG_CHECKPOINTS.block({name: [row[name]] for name in row}))
        return str(origin)

    def anchor(self, number: int, sizes: dict[str, int]) -> None:
        """Store an anchor of *sizes*, by origin."""
        made = Anchor(
            log_name=LOG,
            number=number,
            at_ms=1,
            policy_version=1,
            policy_sha256="0" * 64,
            previous_sha256="0" * 64,
            checkpoints=tuple(Checkpoint(each, sizes[each], ROOT) for each in sorted(sizes)),
        )
        row: dict[str, Any] = {name: [] for name in LOG_ANCHORS.columns} | {
            "number": number,
            "anchor": note_signed(made.text, self.log_key, anchor_name(LOG)),
        }
        self.storage.insert(LOG_ANCHORS.block({name: [row[name]] for name in row}))

    def key(self, name: str) -> tuple[list[str], str]:
        """Return the option that names a new key, and its public key."""
        file = self.folder / f"{name}.pem"
        public_key = create_key_file(file).public_key
        return ["--key", str(file)], base64.b64encode(public_key).decode()

    def signatures(self, origin: str, size: int) -> set[int]:
        """Return the numbers of signatures under the stored checkpoints of that size."""
        rows = self.storage.query(
            "SELECT checkpoint FROM log_checkpoints WHERE size = {size:UInt64}", {"size": size}
        ).rows
        notes = [parse_checkpoint(text) for (text,) in rows]
        return {len(note.signatures) for found, note in notes if found.origin == origin}


@pytest.fixture
def scene(
    cluster: Cluster,
    database: ClickHouseConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Scene]:
    """Return a log with its first policy in force."""
    for name, value in cluster.environment(database=database.database).items():
        monkeypatch.setenv(name, value)
    files = [
        f"--{option}={tmp_path / name}"
        for option, name in (("owner-key", "owner.pem"), ("key", "log.pem"), ("policy", "policy"))
    ]
    assert main(["proof", "init", LOG, *files, "--format", "json"]) == 0
    made = json.loads(capsys.readouterr().out)
    for name, value in {
        "LOG_NAME": LOG,
        "KEY_FILE": str(tmp_path / "log.pem"),
        "OWNER_KEY": made["owner_public_key"],
        "POLICY_FILE": str(tmp_path / "policy"),
    }.items():
        monkeypatch.setenv(f"TRAILHOUSE_PROOF_{name}", value)
    assert main(["proof", "publish", str(tmp_path / "policy")]) == 0
    with ClickHouse(database) as storage:
        yield Scene(tmp_path, storage)


def test_a_service_is_enrolled_and_gets_another_key(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    """The key counts for its tenants; a second one counts besides until the first is closed, and each is a version."""
    first, first_public = scene.key("one")
    second, second_public = scene.key("two")
    assert main(["proof", "enroll", "billing", *first, "--tenant", "acme", *scene.owner]) == 0
    scene.anchor(3, {})
    assert (
        main(["proof", "enroll", "billing", *second, "--all-tenants", "--overlap-anchors", "5",
              *scene.owner]) == 0
    )  # fmt: skip
    old, new = scene.policy.services
    assert (old.public_key, old.tenants, old.last_anchor) == (first_public, ("acme",), 8)
    assert (new.public_key, new.tenants, new.last_anchor) == (second_public, ("*",), None)
    assert scene.policy.version == 3
    assert main(["proof", "revoke", "--service", "billing", *scene.owner]) == 0
    assert scene.policy.services[1].last_anchor == 3
    assert scene.policy.services[0].last_anchor == 8
    assert main(["proof", "revoke", "--service", "billing", *scene.owner]) == 1
    assert "no key in use" in capsys.readouterr().err


def test_both_keys_sign_a_rotation(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    """Each log's present size is the last of the old key and the first of the new one, and both have signed it."""
    scene.checkpoint(0, 4)
    zero, one = scene.checkpoint(0, 8), scene.checkpoint(1, 2)
    # Somebody else's checkpoint of a larger size is not ours, so it does not end our key's range.
    stranger = create_key_file(scene.folder / "stranger.pem")
    scene.checkpoint(1, 2**40, stranger)
    scene.anchor(5, {zero: 8, one: 2})
    new = scene.folder / "log-2.pem"
    assert main(["proof", "rotate", "--new-key", str(new), *scene.owner]) == 0
    old_key, new_key = scene.policy.log_keys
    assert old_key.last_sizes == new_key.first_sizes == {zero: 8, one: 2}
    assert (old_key.last_anchor, old_key.is_revoked) == (65, False)
    assert base64.b64decode(new_key.public_key) == read_key_file(new).public_key
    assert stat.S_IMODE(new.stat().st_mode) == 0o600
    assert scene.signatures(zero, 8) == {1, 2}
    assert scene.signatures(one, 2) == {1, 2}
    assert scene.signatures(zero, 4) == {1}
    assert "start the workers again" in capsys.readouterr().err


def test_of_a_revoked_key_counts_what_was_anchored(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    """The key that follows signs the sizes of the anchor, not the later ones that the old key alone has signed."""
    zero = scene.checkpoint(0, 4)
    scene.anchor(2, {zero: 4})
    scene.checkpoint(0, 8)
    new = str(scene.folder / "log-2.pem")
    arguments = ["proof", "revoke", "--log-key", "--new-key", new]
    assert main([*arguments, "--last-anchor", "3", *scene.owner]) == 2
    assert "no anchor 3" in capsys.readouterr().err
    assert main([*arguments, "--last-anchor", "2", *scene.owner]) == 0
    old_key, new_key = scene.policy.log_keys
    assert old_key.is_revoked
    assert old_key.last_anchor == 2
    assert old_key.last_sizes == new_key.first_sizes == {zero: 4}
    assert scene.signatures(zero, 4) == {1}, "once by each key, by itself"
    assert scene.policy.checkpoint_keys(zero, 8) == (new_key,)


def test_an_owner_who_is_offline_signs_elsewhere(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    """A draft changes nothing until it was signed where the owner's key is, and brought back."""
    key, public_key = scene.key("alice")
    draft = str(scene.folder / "draft")
    assert main(["proof", "operator", "alice", *key, "--draft", draft]) == 0
    assert scene.policy.version == 1
    assert main(["proof", "publish", draft]) == 1
    assert main(["proof", "sign", draft, *scene.owner]) == 0
    for _ in range(2):
        assert main(["proof", "publish", f"{draft}.signed"]) == 0
    assert [each.public_key for each in scene.policy.operators] == [public_key]
    assert (scene.folder / "policy").read_text() == (scene.folder / "draft.signed").read_text()
    # Two drafts of one version: the second to come back is refused, not merged.
    assert main(["proof", "require", "--seals-for-all", "--draft", draft]) == 0
    assert main(["proof", "sign", draft, *scene.owner]) == 0
    assert main(["proof", "require", "--anchor-seconds", "30", *scene.owner]) == 0
    capsys.readouterr()
    assert main(["proof", "publish", f"{draft}.signed"]) == 1
    assert "does not name the one before" in capsys.readouterr().err
    assert scene.policy.anchor_seconds == 30


def test_another_owner_changes_nothing(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    """A key that is not the pinned owner's signs no policy here, neither from its file nor by a command."""
    create_key_file(scene.folder / "other.pem")
    for option in (["--owner-key", str(scene.folder / "other.pem")], ["--owner-command", "cat"]):
        assert main(["proof", "require", "--seals-for-all", *option]) == 1
    assert scene.policy.version == 1
    assert "owner" in capsys.readouterr().err


def test_init_makes_the_key_that_the_settings_name_once(
    scene: Scene,
    kafka: KafkaConfig,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A key that is not there is made, closed to others, and never again; a policy that is not stored is stored."""
    monkeypatch.setenv("TRAILHOUSE_KAFKA_TOPIC", kafka.topic)
    scene.storage.command("TRUNCATE TABLE log_policies")
    assert main(["init", "--dry-run"]) == 0
    assert f"policy of the log {LOG}: would create (version 1" in capsys.readouterr().out
    assert main(["init"]) == 0
    assert f"policy of the log {LOG}: created (version 1" in capsys.readouterr().out
    assert main(["init"]) == 0
    shown = capsys.readouterr().out
    assert f"key of the log {LOG}: is there (SHA256:" in shown
    assert f"policy of the log {LOG}: is there (version 1" in shown

    other = scene.folder / "other-log.pem"
    monkeypatch.setenv("TRAILHOUSE_PROOF_KEY_FILE", str(other))
    assert main(["init", "--dry-run"]) == 0
    assert not other.exists()
    assert main(["init"]) == 0
    assert "back it up" in capsys.readouterr().out
    made = other.read_bytes()
    assert stat.S_IMODE(other.stat().st_mode) == 0o600
    assert main(["init"]) == 0
    assert other.read_bytes() == made
    assert "left alone, it differs (the log's key is not the one in use" in capsys.readouterr().out


def test_status_says_how_far_it_is_signed_and_anchored(
    scene: Scene,
    kafka: KafkaConfig,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`status` names log, policy, owner, what is signed, and the last anchor; a forged policy is a warning."""
    monkeypatch.setenv("TRAILHOUSE_KAFKA_TOPIC", kafka.topic)
    zero = scene.checkpoint(0, 8)
    scene.checkpoint(0, 4)
    assert main(["status"]) == 0
    shown = capsys.readouterr().out
    assert f"proof        log {LOG}, policy version 1, owner SHA256:" in shown
    assert "signed       8 offsets in 1 log, no anchor yet" in shown
    scene.anchor(3, {zero: 8})
    scene.storage.command("INSERT INTO log_policies VALUES (9, 'forged')")
    assert main(["status"]) == 0
    shown = capsys.readouterr().out
    assert "8 offsets in 1 log, anchor 3 of 1970-01-01T" in shown
    assert "warning      policy: has no lines of signatures" in shown
    monkeypatch.setenv("TRAILHOUSE_PROOF_LOG_NAME", "")
    assert main(["status"]) == 0
    assert "proof        unsigned: [proof] log_name is not set" in capsys.readouterr().out


def test_a_command_may_sign_as_the_owner(scene: Scene) -> None:
    """A KMS's command is given what is to be signed, and its answer is held against the pinned key."""
    script = scene.folder / "kms.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nfrom trailhouse.proof.keys import read_key_file\n"
        "signer = read_key_file(Path(sys.argv[1]))\n"
        "sys.stdout.buffer.write(signer.sign(sys.stdin.buffer.read()))\n"
    )
    command = f"{sys.executable} {script} {scene.folder / 'owner.pem'}"
    assert main(["proof", "require", "--seals-for-all", "--owner-command", command]) == 0
    assert scene.policy.unsealed_tenants == ()


def test_show_prints_keys_for_other_programs(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each verifier key is one that a C2SP program reads; what is wrong with stored policies is told and exits 1."""
    origin = scene.checkpoint(0, 4)
    capsys.readouterr()
    assert main(["proof", "show", "--keys", "--format", "json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    names = [parse_verifier_key(text)[0] for text in answer["verifier_keys"]]
    assert names == [f"{LOG}/owner", LOG, f"{LOG}/anchor", origin]
    assert answer["policy"]["version"] == 1
    scene.storage.command("INSERT INTO log_policies VALUES (9, 'forged')")
    assert main(["proof", "show"]) == 1
    shown = capsys.readouterr()
    assert "version 1" in shown.out
    assert "warning: policy:" in shown.err
    assert main(["proof", "show", "--text"]) == 1
    assert capsys.readouterr().out == (scene.folder / "policy").read_text()


def test_strangers_hide_no_checkpoint_and_no_anchor(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever stores larger ones by the thousand, long ones among them, hides none that the log's key has signed."""
    origin = scene.checkpoint(0, 4)
    scene.anchor(3, {origin: 4})
    scene.storage.command(
        "INSERT INTO log_checkpoints SELECT 'c', 'events', 'topic-id', 0, '1', 100 + number, [],"
        " repeat('x', number % 7), now64(3) FROM numbers(2500)"
    )
    scene.storage.command(
        "INSERT INTO log_anchors SELECT 100 + number, 'forged' FROM numbers(2500)"
    )
    capsys.readouterr()
    assert main(["proof", "show", "--keys", "--format", "json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [parse_verifier_key(text)[0] for text in answer["verifier_keys"]][-1] == origin
    key, _ = scene.key("one")
    assert main(["proof", "enroll", "billing", *key, "--tenant", "acme", *scene.owner]) == 0
    assert main(["proof", "revoke", "--service", "billing", *scene.owner]) == 0
    assert [each.last_anchor for each in scene.policy.services] == [3]


def test_an_authority_is_named_and_closed(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    """`proof authority` takes the root alone, `proof show` prints its hash, `proof revoke` closes it."""
    made = MadeAuthority(scene.folder / "authority")
    wrong = scene.folder / "wrong.pem"
    for text, said in (
        ("no certificate", "holds no certificate"),
        (made.root_file.read_text() * 2, "holds 2 certificates"),
        (made.signer_file.read_text(), "is not a root"),
    ):
        wrong.write_text(text)
        command = ["proof", "authority", "tsa", "--certificate", str(wrong)]
        assert main([*command, *scene.owner]) == 1
        assert said in capsys.readouterr().err
    command = ["proof", "authority", "tsa", "--certificate", str(made.root_file)]
    assert main([*command, *scene.owner]) == 0
    root = load_pem_x509_certificate(made.root_file.read_bytes()).fingerprint(SHA256())
    assert main(["proof", "show"]) == 0
    assert f"authority  tsa: root SHA-256 {root.hex()}" in capsys.readouterr().out
    assert main(["proof", "revoke", "--authority", "tsa", *scene.owner]) == 0
    assert scene.policy.authorities == (made.named("tsa", last_anchor=0),)
