"""`verify` beside a worker that anchors: what comes while it reads is no finding."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from trailhouse.anchoring.anchorer import Anchorer
from trailhouse.anchoring.writers.folder import FolderWriter
from trailhouse.operate.verify import run
from trailhouse.operate.verify.anchored import anchored
from trailhouse.operate.verify.duties.anchors import anchors
from trailhouse.schemas import AuditEvent
from trailhouse.store import ClickHouse, ClickHouseConfig
from verified_log import NAME, VerifiedLog

pytestmark = pytest.mark.cluster


def some(count: int) -> list[bytes | None]:
    """Return records of events."""
    return [AuditEvent(type="message_sent", session_id="s").record for _ in range(count)]


@pytest.mark.parametrize("begins_a_log", [False, True])
def test_an_anchor_that_is_made_while_others_are_read_is_no_finding(
    database: ClickHouseConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begins_a_log: bool
) -> None:
    """An anchor is stored before others keep it, and may hold a log that has begun since; one that is gone is found."""
    log = VerifiedLog(database)
    log.append(some(3))
    kept = tmp_path / "kept"
    kept.mkdir()
    anchorer = Anchorer(
        log.clickhouse, log_name=NAME, signer=log.key, writers=[FolderWriter(str(kept))]
    )

    def anchored_meanwhile(clickhouse: ClickHouse) -> Iterator[tuple[int, str]]:
        """Anchor once more before the stored ones are read, and once more after."""
        _ = checked.logs
        log.append(some(2), partition=int(begins_a_log))
        anchorer.run()
        yield from anchored.stored_anchors(clickhouse)
        anchorer.run()

    def kinds() -> set[str]:
        found = log.verify(anchors=f"folder:{kept}", duties=(anchors.DUTY,)).findings
        return {each.kind for each in found}

    with log.clickhouse:
        anchorer.run()
        checked = run.Run(log.clickhouse, proof=log.proof, anchors=f"folder:{kept}")
        monkeypatch.setattr("trailhouse.operate.verify.verifying.Run", lambda *_, **__: checked)
        monkeypatch.setattr(run, "stored_anchors", anchored_meanwhile)
        assert kinds() == set()
        monkeypatch.undo()
        log.attack("ALTER TABLE log_anchors DELETE WHERE number = 2 SETTINGS mutations_sync = 2")
        assert kinds() == {"anchor_gone", "anchor_missing"}
