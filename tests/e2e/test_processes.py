"""Processes as they really end: what is guaranteed in each case, as docs/guarantees.md tells it."""

import signal
import textwrap
from pathlib import Path

import pytest

from spooling import NOWHERE, delivered, drained, producer_config, run_program, status_of
from trailhouse.schemas import KafkaConfig
from waiting import eventually

KILLED = -signal.SIGKILL
LOG = """
import asyncio, multiprocessing, os, signal, sys, threading
from trailhouse.producer import AuditLogger
audit = AuditLogger()
def log(name="main", count=3):
    for n in range(count):
        audit.log("tick", session_id=name, data={"n": n})
"""
FORK_IN_PRELOADED_MASTER = """
log("master")
children = []
for name in ("a", "b"):
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        log(name)
        os.write(ready, b"x")
        signal.pause()
    children.append(child)
for _ in children:
    os.read(told, 1)
for child in children:
    os.kill(child, signal.SIGTERM)
    os.waitpid(child, 0)
log("master-again")
"""
WITH_MULTIPROCESSING = """
def work():
    log("child")
if __name__ == "__main__":
    log("parent")
    context = multiprocessing.get_context("{method}")
    child = context.Process(target=work)
    child.start()
    child.join()
    assert child.exitcode == 0, child.exitcode
"""

CASES: dict[str, tuple[str, int, dict[str, int]]] = {
    "return": ("log()", 0, {"main": 3}),
    "sys.exit": ("log(); sys.exit(3)", 3, {"main": 3}),
    "uncaught exception": ("log(); raise ValueError", 1, {"main": 3}),
    "SIGTERM, no handler": ("log(); os.kill(os.getpid(), 15)", -15, {"main": 3}),
    "SIGTERM, handler exits": (
        "signal.signal(15, lambda *_: sys.exit(0)); log(); os.kill(os.getpid(), 15)",
        0,
        {"main": 3},
    ),
    "SIGINT": ("log(); os.kill(os.getpid(), 2)", -2, {"main": 3}),
    "os._exit": ("log(); os._exit(0)", 0, {"main": 3}),
    "os.abort": ("log(); os.abort()", -6, {"main": 3}),
    "kill -9": ("log(); os.kill(os.getpid(), 9)", KILLED, {"main": 3}),
    "exec": ("log(); os.execv('/bin/true', ['true'])", 0, {"main": 3}),
    "threads": (
        "ts = [threading.Thread(target=log, args=(f't{i}',)) for i in range(3)]\n"
        "[t.start() for t in ts]; [t.join() for t in ts]; os._exit(0)",
        0,
        {"t0": 3, "t1": 3, "t2": 3},
    ),
    "daemon thread at exit": (
        "threading.Thread(target=lambda: (log('t'), signal.pause()), daemon=True).start()\n"
        "import time\nwhile not os.path.exists('never') and audit.stats().queued_events < 3: time.sleep(0.01)",
        0,
        {"t": 3},
    ),
    "asyncio": (
        "async def main():\n"
        "    await asyncio.gather(*(asyncio.to_thread(log, f's{i}') for i in range(2)))\n"
        "    log('loop')\n"
        "    os._exit(0)\n"
        "asyncio.run(main())",
        0,
        {"s0": 3, "s1": 3, "loop": 3},
    ),
    "fork, child ends by os._exit": (
        "log('parent')\nif os.fork() == 0:\n    log('child'); os._exit(0)\nos.wait(); log('after')",
        0,
        {"parent": 3, "child": 3, "after": 3},
    ),
    "fork before the first event": (
        "child = os.fork()\nlog('child' if child == 0 else 'parent')\n"
        "os._exit(0) if child == 0 else os.wait()",
        0,
        {"parent": 3, "child": 3},
    ),
    "fork, child killed": (
        "log('parent')\nif os.fork() == 0:\n    log('child'); os.kill(os.getpid(), 9)\nos.wait()",
        0,
        {"parent": 3, "child": 3},
    ),
    "fork, parent dies first": (
        "log('parent')\ntold, ready = os.pipe()\n"
        "if os.fork() == 0:\n    os.close(ready); os.read(told, 1); log('child'); os._exit(0)\n"
        "os.kill(os.getpid(), 9)",
        KILLED,
        {"parent": 3, "child": 3},
    ),
    "prefork server": ("told, ready = os.pipe()\n" + FORK_IN_PRELOADED_MASTER, 0, {
        "master": 3, "a": 3, "b": 3, "master-again": 3,
    }),
    **{
        f"multiprocessing {method}": (
            WITH_MULTIPROCESSING.replace("{method}", method),
            0,
            {"parent": 3, "child": 3},
        )
        for method in ("fork", "spawn", "forkserver")
    },
}  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("case", CASES)
def test_what_log_returned_is_delivered(kafka: KafkaConfig, tmp_path: Path, case: str) -> None:
    """However a process ends without ever reaching the broker, `spool drain` delivers all it logged."""
    body, code, expected = CASES[case]
    program = tmp_path / "program.py"
    program.write_text(LOG + textwrap.dedent(body))
    folder = tmp_path / "spool"
    away = KafkaConfig(bootstrap_servers=NOWHERE, topic=kafka.topic)
    ended = run_program(str(program), away, folder, TRAILHOUSE_PRODUCER_CLOSE_TIMEOUT_SECONDS="0.1")
    assert ended.returncode == code, ended.stderr
    total = sum(expected.values())
    left = {each.spool: each.events for each in status_of(folder).spools}
    if case != "fork, parent dies first":  # the child may still run
        assert sum(left.values()) == total, f"expected {total} events in the spools, got {left}"

    sent = 0

    def all_are_sent() -> bool:
        nonlocal sent
        sent += drained(producer_config(kafka, folder))
        return sent >= total

    eventually(all_are_sent, f"{total} events drained")
    found: dict[str, list[int]] = {}
    for event in delivered(kafka):
        found.setdefault(event.session_id, []).append(event.data["n"])
    assert found == {session: list(range(count)) for session, count in expected.items()}
    assert status_of(folder).spools == ()
