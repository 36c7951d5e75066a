"""What strangers write into events, keys and headers, as it comes out on a terminal and in a file."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from confluent_kafka import Producer

from command_line import PROGRAM, environment, run_command, running_worker, settings_of
from trailhouse.query import AuditReader
from trailhouse.schemas import KafkaConfig
from trailhouse.store import ClickHouseConfig
from waiting import DEADLINE_SECONDS, eventually

pytestmark = pytest.mark.cluster
NOWHERE = "127.0.0.1:1"
HOSTILE = (
    "\x1b]0;PWN\x07\x1b[2J\x9b31m\x85\u202egnp.exe\u2066\u200b\u200d\ufeff\u2028\r\n=cmd|'/c calc'!A0\x7f"
    "[link=http://x]y[/link]:boom:\U000e0041"
)


def hostile_record(**fields: object) -> bytes:
    """Return a record in which every text that may be is hostile."""
    described = {
        "data": {"content": HOSTILE, "tool_name": HOSTILE},
        "event_id": "01900000-0000-7000-8000-00000000e5c0",
        "metadata": {},
        "occurred_at": "2026-11-28T15:00:03.000001Z",
        "run_id": HOSTILE,
        "schema_version": 1,
        "session_id": "hostile",
        "source": {"producer_id": HOSTILE, "seq": 5, "service": HOSTILE, "host": HOSTILE},
        "tenant_id": HOSTILE,
        "type": "message_sent",
        "actor": {"id": HOSTILE, "type": HOSTILE},
        **fields,
    }
    return json.dumps(described, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


RECORD = hostile_record()


@pytest.fixture
def settings(kafka: KafkaConfig, database: ClickHouseConfig) -> dict[str, str]:
    """Return the settings of a topic and tables with three hostile records, one of them an event."""
    ours = settings_of(kafka, database)
    producer = Producer(kafka.client_options())
    bad = hostile_record(type="BAD\x1b[31m")
    produced: list[tuple[bytes, bytes, list[tuple[str, str | bytes | None]]]] = [
        (RECORD, b"hostile", []),
        (bad, ("k" + HOSTILE).encode(), [("h\x1b[31m", HOSTILE.encode()), ("h2", None)]),
        (b'{"\x1b[31m\xc2\x9b":1', b"\xff\x1b[5m", [("x", b"\xff\x9b31m")]),
    ]
    for value, key, headers in produced:
        producer.produce(kafka.topic, value, key, headers=headers)
    assert producer.flush(DEADLINE_SECONDS) == 0
    with running_worker(ours), AuditReader(config=database) as reader:
        eventually(lambda: reader.overview().stored == 1, "the event")
        eventually(lambda: reader.overview().quarantined == 2, "two records in quarantine")
    return ours


MARK = "=== {} ==="
ONE_AFTER_ANOTHER = f"""
import json, sys
from trailhouse.cli.main import main

for number, arguments in enumerate(json.loads(sys.argv[1])):
    try:
        main(arguments)
    except SystemExit:
        pass
    sys.stderr.flush()
    print({MARK!r}.format(number), flush=True)
"""


def shown(
    asked: Sequence[tuple[str, ...]], settings: dict[str, str], stdin: bytes = b""
) -> dict[tuple[str, ...], str]:
    """Return what each command writes to a terminal, on both its streams; one process does them all."""
    terminal, other_end = os.openpty()
    try:
        with subprocess.Popen(
            [sys.executable, "-c", ONE_AFTER_ANOTHER, json.dumps(asked)],
            env=environment(settings | {"TERM": "dumb"}),
            stdin=subprocess.PIPE,
            stdout=other_end,
            stderr=other_end,
        ) as process:
            os.close(other_end)
            assert process.stdin is not None
            process.stdin.write(stdin)
            process.stdin.close()
            content = b""
            with contextlib.suppress(OSError):  # Linux ends a terminal's other end so
                while part := os.read(terminal, 65_536):
                    content += part
            assert process.wait(DEADLINE_SECONDS) == 0, content
    finally:
        os.close(terminal)
    outputs: dict[tuple[str, ...], str] = {}
    rest = content.decode()
    for number, arguments in enumerate(asked):
        outputs[arguments], _, rest = rest.partition(MARK.format(number) + "\r\n")
    assert rest == ""
    return outputs


def places(settings: dict[str, str]) -> list[str]:
    """Return where the records in quarantine stood."""
    listed = run_command("quarantine", "list", "--format", "json", settings=settings).stdout
    return [f"{row['partition']}:{row['offset']}" for row in json.loads(listed)]


@pytest.mark.long
def test_nothing_can_steer_a_terminal(settings: dict[str, str]) -> None:
    """Whatever events, keys, headers, names and arguments hold, a terminal gets printable lines alone."""
    away = settings | {
        "TRAILHOUSE_KAFKA_BOOTSTRAP_SERVERS": NOWHERE,
        "TRAILHOUSE_PRODUCER_SERVICE": "evil\x9b31m\u202e",
    }
    first, second = places(settings)
    asked: list[tuple[str, ...]] = [
        *(("log", "hostile", "--format", form) for form in ("table", "json", "jsonl", "csv")),
        ("log", "hostile", "--type", "run_started"),
        ("log", "hostile", "--run", "run-1"),
        ("log", HOSTILE),
        ("log", "hostile", "--since", HOSTILE),
        ("sessions",),
        ("sessions", "--tenant", HOSTILE),
        *((name, "--format", form) for name in ("status", "account", "reconcile") for form in ("table", "json")),
        *(("quarantine", "list", "--format", form) for form in ("table", "json")),
        ("quarantine", "show", first),
        ("quarantine", "show", second),
        ("quarantine", "show", first, "--raw"),
        ("quarantine", "requeue", "--all", "--dry-run"),
        ("replay",),
        ("init",),
        (HOSTILE,),
    ]  # fmt: skip
    outputs = shown(asked, settings)
    line = RECORD.replace(b"hostile", b"spooled")
    emit = ("emit", "-", "--timeout-seconds", "0.5")
    lines = line + b'\n{"\x1b":1\n{"type":"\xc2\x9b"}\n'
    outputs |= shown([emit], away, lines)
    outputs |= shown(
        [("spool", "status"), ("spool", "status", "--format", "json"), ("spool", "inspect")], away
    )
    for arguments, output in outputs.items():
        assert output, arguments
        harmful = {part for part in output if not part.isprintable()} - {"\r", "\n"}
        assert not harmful, (arguments, harmful)
    [event] = json.loads(outputs["log", "hostile", "--format", "json"])
    assert event == json.loads(RECORD)
    assert json.loads(outputs["log", "hostile", "--format", "jsonl"]) == json.loads(RECORD)
    assert json.loads(outputs["spool", "inspect"]) == json.loads(line)
    assert "not to a terminal" in outputs["quarantine", "show", first, "--raw"]


@pytest.mark.long
def test_a_file_gets_the_exact_record(settings: dict[str, str], tmp_path: Path) -> None:
    """To a pipe or a file a record goes to the byte: what is read back can be emitted and compared."""
    assert run_command("log", "hostile", "--format", "jsonl", settings=settings).stdout == (
        RECORD + b"\n"
    )
    assert run_command("log", "hostile", "--format", "json", settings=settings).stdout == (
        b"[" + RECORD + b"]\n"
    )
    file = tmp_path / "log.jsonl"
    with file.open("wb") as stream:
        subprocess.run(
            [*PROGRAM, "log", "hostile", "--format", "jsonl"],
            env=environment(settings), stdout=stream, timeout=DEADLINE_SECONDS, check=True,
        )  # fmt: skip
    assert file.read_bytes() == RECORD + b"\n"
