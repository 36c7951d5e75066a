"""A logger with a key: what it seals, when, and what of it an outsider can check."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sealing import SERVICE, matches, policy_for, ranges, seal_key, seals_of
from trailhouse.producer import ProducerConfig
from trailhouse.producer.clock import Clock
from trailhouse.producer.delivery.send_queue import SendQueue
from trailhouse.producer.sealing.sealer import Sealer
from trailhouse.producer.testing import InMemoryAuditLogger
from trailhouse.proof.keys import read_key_file
from trailhouse.proof.seal_check import Match
from trailhouse.redaction.config import RedactionConfig
from trailhouse.schemas import AuditEvent, InvalidEventError, decode
from trailhouse.schemas.errors import ConfigError
from trailhouse.schemas.record import Source

PRODUCER_ID = "0190aaaa-0000-7000-8000-000000000001"


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """Return a file with the service's key."""
    return seal_key(tmp_path)


def config_of(key_file: Path, **fields: object) -> ProducerConfig:
    given = {"service": SERVICE, "seal_key_file": str(key_file), "enabled": True} | fields
    return ProducerConfig(**given)  # type: ignore[arg-type]


def log(audit: InMemoryAuditLogger, count: int, **fields: object) -> None:
    for n in range(count):
        audit.log("tick", session_id="s", data={"n": n} | fields)


def test_all_that_was_logged_is_sealed_by_the_end(key_file: Path) -> None:
    """Each record fits a seal, the last one's own included, and the numbers have no gap."""
    with InMemoryAuditLogger(config_of(key_file, seal_events=10)) as audit:
        log(audit, 25)
    records = audit.records
    assert ranges(records) == [(0, 9, False), (10, 19, False), (20, 26, True)]
    assert set(matches(records, policy_for(key_file))) == {Match.FITS}
    last = seals_of(records)[-1]
    assert last.data["own_seq"] == 27 == decode(records[-1]).source.seq  # type: ignore[union-attr]
    assert last.data["next_within_seconds"] == 0


def test_a_seal_is_an_event_of_its_logger_without_tenant_or_actor(key_file: Path) -> None:
    """The seals of one logger lie in one session of their own, in order, and belong to nobody."""
    audit = InMemoryAuditLogger(config_of(key_file), tenant_id="acme")
    log(audit, 3)
    audit.close()
    [seal] = seals_of(audit.records)
    assert seal.source is not None
    assert seal.session_id == f"seal:{seal.source.producer_id}"
    assert seal.source.service == SERVICE
    assert seal.tenant_id is None
    assert seal.actor is None


def test_a_record_that_is_changed_lost_or_added_is_found(key_file: Path) -> None:
    """What Kafka loses or gains before storage contradicts the seal, or leaves its number empty."""
    with InMemoryAuditLogger(config_of(key_file)) as audit:
        log(audit, 5)
    records, policy = audit.records, policy_for(key_file)
    records[2] = records[2].replace(b'"n":2', b'"n":7')
    false = records[-1].replace(b'"seq":5', b'"seq":6')
    found = matches([*records[:4], *records[5:], false], policy)
    assert [each is Match.FITS for each in found] == [True, True, False, True, True, False]
    assert found[2] is found[5] is Match.CONTRADICTS


def test_a_seal_comes_when_its_time_is_over_and_says_when_the_next_does(key_file: Path) -> None:
    """Few events are sealed by time, and each seal promises the next, which covers the one before."""
    config = config_of(key_file, seal_seconds=30)
    sealer = Sealer(read_key_file(key_file), SERVICE, PRODUCER_ID, config)
    now_seconds = 1_000.0
    queue = SendQueue(100, 100_000, None, Clock(lambda: now_seconds, lambda: 0), sealer)

    def turn(count: int) -> list[tuple[int, int, bool]]:
        for _ in range(count):
            event = AuditEvent(
                type="tick",
                session_id="s",
                source=Source(
                    producer_id=PRODUCER_ID, seq=queue.newest().seq, service=SERVICE, host="h"
                ),
            )
            assert queue.log_own(queue.newest(), event.event_id, b"s", event.record)
        queue.refill()
        sealer.look_after(queue, now_seconds)
        queue.refill()
        records = [queued.record for queued in queue.waiting]
        queue.waiting.clear()
        return ranges(records)

    assert turn(2) == []
    assert sealer.due_at_seconds() == now_seconds + 30
    now_seconds += 29.9
    assert turn(1) == []
    now_seconds += 0.1
    assert turn(1) == [(0, 3, False)]
    now_seconds += 30
    assert turn(1) == [(4, 5, False)]
    now_seconds += 30
    assert turn(0) == [(6, 6, False)]
    assert turn(0) == []


def test_a_logger_that_logs_nothing_seals_nothing(key_file: Path) -> None:
    """No event, no seal; closing twice makes one last seal."""
    audit = InMemoryAuditLogger(config_of(key_file))
    audit.close()
    assert not audit.records
    audit = InMemoryAuditLogger(config_of(key_file))
    log(audit, 1)
    audit.close()
    audit.close()
    assert ranges(audit.records) == [(0, 0, True)]


def test_a_seal_never_is_too_large(key_file: Path) -> None:
    """Where events must be small, seals cover fewer numbers."""
    with InMemoryAuditLogger(config_of(key_file, max_event_bytes=8_192)) as audit:
        log(audit, 1_000)
    assert len(seals_of(audit.records)) > 4
    assert max(map(len, audit.records)) <= 8_192
    assert set(matches(audit.records, policy_for(key_file))) == {Match.FITS}


def test_redaction_leaves_seals_alone(key_file: Path) -> None:
    """What looks like a secret in base64 stays, byte for byte; what is redacted is sealed as it was sent."""
    config = config_of(key_file, seal_events=1_000, redaction=RedactionConfig(pii="email"))
    with InMemoryAuditLogger(config) as audit:
        log(audit, 2_000, password="hunter2hunter2")
    assert b"hunter2" not in b"".join(audit.records)
    assert set(matches(audit.records, policy_for(key_file))) == {Match.FITS}


def test_what_is_emitted_as_it_is_uses_no_number_and_is_not_sealed(key_file: Path) -> None:
    """Another logger's event is its own to seal; one that names our numbers must have been ours."""
    with InMemoryAuditLogger(ProducerConfig(enabled=True, service="other")) as other:
        log(other, 2)
    with InMemoryAuditLogger(config_of(key_file)) as audit:
        log(audit, 2)
        audit.emit(other.events[0])
        audit.emit(audit.events[0])  # again: a copy
        log(audit, 2)
        audit.emit(other.events[1])
    found = matches(audit.records, policy_for(key_file))
    assert found.count(Match.NOT_SEALED) == 2
    assert found.count(Match.FITS) == 6
    assert ranges(audit.records) == [(0, 3, True)]


@pytest.mark.parametrize("seq", [2, 10**18, 10**30])
def test_no_event_can_be_emitted_under_a_number_that_comes_later(key_file: Path, seq: int) -> None:
    """Whoever hands an event over to be sent as it is cannot take a number of the logger's, and have it sealed."""
    with InMemoryAuditLogger(config_of(key_file)) as audit:
        log(audit, 2)
        ours = audit.events[0].source
        assert ours is not None
        assert ours.producer_id is not None
        marker = f'"producer_id":"{ours.producer_id}","seq":{seq}'
        for forged in (
            AuditEvent(
                type="tick",
                session_id="s",
                source=Source(producer_id=ours.producer_id, seq=min(seq, 10**18), service=SERVICE),
            ),
            decode(audit.records[0].replace(b'"type":', b'"typf":{%s},"type":' % marker.encode())),
        ):
            with pytest.raises(InvalidEventError, match="has not given yet"):
                audit.emit(forged)
        log(audit, 2)
    assert set(matches(audit.records, policy_for(key_file))) == {Match.FITS}


@pytest.mark.parametrize("defect", ["missing", "open", "rsa", "text", "folder"])
def test_a_bad_key_is_told_when_the_logger_is_made(tmp_path: Path, defect: str) -> None:
    """A key that cannot be used, or that others may have read, is a wrong setting, and no logger comes of it."""
    path = tmp_path / "bad.pem"
    if defect == "open":
        seal_key(tmp_path).rename(path)
        path.chmod(0o640)
    elif defect == "rsa":
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

        path.touch(0o600)
        path.write_bytes(
            generate_private_key(SECP256R1()).private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
    elif defect == "text":
        path.touch(0o600)
        path.write_text("no key")
    elif defect == "folder":
        path.mkdir(0o700)
    with pytest.raises(ConfigError, match="SEAL_KEY_FILE"):
        InMemoryAuditLogger(config_of(path))


@pytest.mark.parametrize(
    "fields",
    [
        {"seal_seconds": 0},
        {"seal_seconds": 301},
        {"seal_events": 9},
        {"max_event_bytes": 8_191},
        {"service": "two\nlines"},
        {"service": "x" * 257},
    ],
    ids=str,
)
def test_settings_that_no_seal_can_keep_to_are_refused(
    key_file: Path, fields: dict[str, object]
) -> None:
    """A setting that cannot be kept is told at once."""
    with pytest.raises(ConfigError):
        InMemoryAuditLogger(config_of(key_file, **fields))


def test_without_a_key_nothing_of_it_is_imported() -> None:
    """Who does not seal pays for nothing: no `cryptography`, no sealer."""
    program = """
import sys
from trailhouse.producer.testing import InMemoryAuditLogger
with InMemoryAuditLogger() as audit:
    audit.log("tick", session_id="s")
print([name for name in sys.modules if name.split(".")[0] == "cryptography" or "sealing.seal" in name])
"""
    plain = {name: value for name, value in os.environ.items() if "TRAILHOUSE" not in name}
    ran = subprocess.run(
        [sys.executable, "-c", program], env=plain, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "[]"


def test_without_the_extra_the_way_out_is_told(
    key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key without `cryptography` is a wrong setting, which names what to install."""
    monkeypatch.setitem(sys.modules, "trailhouse.proof.keys", None)
    with pytest.raises(ConfigError, match=r"trailhouse\[proof\]"):
        InMemoryAuditLogger(config_of(key_file))
