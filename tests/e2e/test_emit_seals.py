"""`trailhouse emit` seals what it makes of lines, where its service has a key; also what an earlier run has left."""

import base64
import json
from collections import defaultdict
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest

from command_line import run_command
from producing import read_topic
from tcp_gate import TcpGate
from trailhouse.proof.keys import FileSigner, create_key_file, is_signed_by
from trailhouse.proof.policy import LogKey, Policy, ServiceKey
from trailhouse.proof.seal import SEAL_TYPE
from trailhouse.proof.seal_check import check_records, check_seal
from trailhouse.schemas import AuditEvent, KafkaConfig, decode
from trailhouse.schemas.record_hash import record_hash

pytestmark = pytest.mark.cluster


def settings(kafka: KafkaConfig, key: Path, **more: str) -> dict[str, str]:
    """Return the variables of a topic and of a service that has a key, with contents withheld where it can be."""
    return {
        "TRAILHOUSE_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "TRAILHOUSE_KAFKA_TOPIC": kafka.topic,
        "TRAILHOUSE_PRODUCER_SERVICE": "batch",
        "TRAILHOUSE_PRODUCER_TENANT_ID": "acme",
        "TRAILHOUSE_PRODUCER_SEAL_KEY_FILE": str(key),
        "TRAILHOUSE_CONTENT_LEVEL": "off",
        **more,
    }


def lines(count: int) -> bytes:
    """Return lines, each an event that names its number."""
    made = [
        json.dumps({"type": "note", "session_id": f"s{n % 3}", "data": {"n": n}})
        for n in range(count)
    ]
    return "\n".join(made).encode() + b"\n"


def unsealed(events: list[AuditEvent], signer: FileSigner) -> list[AuditEvent]:
    """Return those of *events* that no seal by the service's key attests; each seal fits all that it names."""
    key = ServiceKey(
        service="batch", public_key=base64.b64encode(signer.public_key).decode(), tenants=("acme",)
    )
    policy = Policy(log_name="log", version=1, log_keys=(LogKey(public_key=""),), services=(key,))
    records: dict[str, dict[int, list[bytes]]] = defaultdict(dict)
    for event in events:
        assert event.source is not None
        assert event.source.producer_id is not None
        assert event.source.seq is not None
        digests = records[event.source.producer_id].setdefault(event.source.seq, [])
        digests.append(record_hash(event.record))
    attested: set[bytes | None] = set()
    for event in events:
        if event.type == SEAL_TYPE:
            seal = check_seal(event.data, policy, is_signed_by).seal
            checked = check_records(seal, records[seal.producer_id])
            assert checked.is_whole
            assert (checked.missing, checked.lost, checked.contradicting) == ([], [], [])
            attested |= set(checked.chosen)
            # The last seal of a logger stands by its own signature.
            if seal.own_seq is not None:
                attested.add(record_hash(event.record))
    return [event for event in events if record_hash(event.record) not in attested]


def test_every_event_of_a_run_is_sealed(kafka: KafkaConfig, tmp_path: Path) -> None:
    """Those of the lines by a seal of theirs, and that seal by the logger's last; run again, nothing is sealed anew."""
    signer = create_key_file(tmp_path / "key.pem")
    file = tmp_path / "lines.jsonl"
    file.write_bytes(lines(25))
    variables = settings(kafka, tmp_path / "key.pem", TRAILHOUSE_PRODUCER_SEAL_EVENTS="10")
    for _ in range(2):
        done = run_command("emit", str(file), settings=variables)
        assert done.returncode == 0, done.stderr
        events = [decode(message.value() or b"") for message in read_topic(kafka)]
        assert [event.type for event in events].count("note") == 25
        assert [event.type for event in events].count(SEAL_TYPE) == 4
        assert unsealed(events, signer) == []
        assert {event.tenant_id for event in events if event.type == SEAL_TYPE} == {None}


@pytest.mark.long
def test_what_waits_in_the_spool_is_sealed_by_the_next_run(
    kafka: KafkaConfig, tmp_path: Path
) -> None:
    """Kafka was away: the next run of the same input sends what waits, and seals it under the earlier one's name."""
    signer = create_key_file(tmp_path / "key.pem")
    file = tmp_path / "lines.jsonl"
    file.write_bytes(lines(12))
    gate = TcpGate(f"tcp://{kafka.bootstrap_servers}")
    try:
        ours = msgspec.structs.replace(kafka, bootstrap_servers=urlsplit(gate.url).netloc)
        variables = settings(ours, tmp_path / "key.pem")
        gate.shut()
        first = run_command("emit", str(file), "--timeout-seconds", "1", settings=variables)
        assert first.returncode == 1
        assert b"12 in the spool" in first.stderr
        assert read_topic(kafka) == []
        gate.open()
        second = run_command("emit", str(file), "--format", "json", settings=variables)
        assert second.returncode == 0, second.stderr
        assert json.loads(second.stdout)["waited_events"] == 12
    finally:
        gate.close()
    events = [decode(message.value() or b"") for message in read_topic(kafka)]
    assert [event.type for event in events].count("note") == 12
    assert unsealed(events, signer) == []


def test_without_a_key_nothing_is_sealed(kafka: KafkaConfig) -> None:
    """A pipe of a service that has none: its events alone."""
    variables = settings(kafka, Path())
    del variables["TRAILHOUSE_PRODUCER_SEAL_KEY_FILE"]
    assert run_command("emit", "-", settings=variables, stdin=lines(3)).returncode == 0
    types = [decode(message.value() or b"").type for message in read_topic(kafka)]
    assert types == ["note"] * 3
