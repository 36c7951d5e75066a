"""What is open when a process forks, exits, or closes its logger in the middle of something."""

import gc
import json
import os
import signal
import threading
import weakref
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from capture_rules import check_runs
from spooling import NOWHERE, run_program
from trailhouse.producer.recording.run import Run
from trailhouse.producer.testing import InMemoryAuditLogger
from trailhouse.schemas import KafkaConfig
from trailhouse.schemas.draft import EventDraft


def logged_by(program: str, folder: Path) -> list[dict[str, Any]]:
    """Run *program*, which logs to nowhere, and return the events in its spools, whoever wrote them."""
    spools = folder / "spools"
    spools.mkdir()
    done = run_program(
        "from trailhouse.producer import AuditLogger\naudit = AuditLogger()\n" + program,
        KafkaConfig(bootstrap_servers=NOWHERE),
        spools,
        TRAILHOUSE_PRODUCER_ENABLED="true",
        TRAILHOUSE_PRODUCER_CLOSE_TIMEOUT_SECONDS="0",
    )
    assert done.returncode in (0, -signal.SIGINT), done.stderr
    data = b"".join(path.read_bytes() for path in sorted(spools.rglob("*")) if path.is_file())
    return [json.loads(record) for record in _records(data)]


def _records(data: bytes) -> list[bytes]:
    """Return the records that stand in the files of spools: canonical JSON objects, one after the other."""
    found, decoder, text = [], json.JSONDecoder(), data.decode("latin-1")
    place = text.find('{"')
    while place >= 0:
        try:
            _, end = decoder.raw_decode(text, place)
        except ValueError:
            end = place + 1
        else:
            if '"event_id"' in text[place:end]:
                found.append(text[place:end].encode("latin-1"))
        place = text.find('{"', end)
    return found


def test_an_exit_abandons_what_is_open(tmp_path: Path) -> None:
    """At the interpreter's exit open calls fail and open runs are abandoned, in the spool, unclosed as it is."""
    events = logged_by(
        "run = audit.recorder.open_run('s-1', source='test')\nrun.tool_call('search').start()\n",
        tmp_path,
    )
    assert [event["type"] for event in events] == [
        "run_started",
        "tool_call_started",
        "tool_call_failed",
        "run_abandoned",
    ]


def test_a_logger_that_is_let_go_abandons_its_runs_at_the_exit(tmp_path: Path) -> None:
    """A run of a logger that nobody holds any more is abandoned at the exit all the same."""
    events = logged_by("audit.recorder.open_run('s-1', source='test')\ndel audit\n", tmp_path)
    assert [event["type"] for event in events] == ["run_started", "run_abandoned"]


def test_ctrl_c_in_a_block_cancels_its_run(tmp_path: Path) -> None:
    """A program that Ctrl-C ends in the middle of a run has that run cancelled."""
    program = "with audit.run('s-1'):\n    signal.raise_signal(signal.SIGINT)\n"
    events = logged_by("import signal\n" + program, tmp_path)
    assert [event["type"] for event in events] == ["run_started", "run_cancelled"]


def test_a_forked_child_ends_nothing_of_its_parents(tmp_path: Path) -> None:
    """A child that leaves its parent's blocks, and exits, ends none of its runs and calls; its own runs it does."""
    program = """
import os
run = audit.recorder.open_run("s-2", source="test", is_deferred=True)
with audit.run("s-1") as outer, outer.tool_call("fork"):
    pid = os.fork()
    if pid == 0:
        with audit.run(agent_id="child"):
            pass
        run.end()
if pid == 0:
    audit.close()
    os._exit(0)
os.waitpid(pid, 0)
run.end()
"""
    events = logged_by(program, tmp_path)
    pid = next(event["source"]["pid"] for event in events if event.get("agent_id") == "child")
    by_child = [event for event in events if event["source"]["pid"] == pid]
    by_parent = [event for event in events if event["source"]["pid"] != pid]
    assert [event["type"] for event in by_child] == ["run_started", "run_completed"]
    assert {event["session_id"] for event in by_child} == {"s-1"}
    assert sorted(event["type"] for event in by_parent) == [
        "run_completed",
        "run_completed",
        "run_started",
        "run_started",
        "tool_call_completed",
        "tool_call_started",
    ]


def locks_in(part: object) -> list[Any]:
    """Return each lock that is an attribute of *part*."""
    kinds = (type(threading.Lock()), type(threading.RLock()))
    return [each for each in getattr(part, "__dict__", {}).values() if isinstance(each, kinds)]


def test_a_fork_while_another_thread_records_harms_nobody(audit_log: InMemoryAuditLogger) -> None:
    """A child can record though another thread held each lock of the recorder and of a run as it was forked."""
    run = audit_log.recorder.open_run("s-1", source="test")
    recorder = audit_log.recorder
    is_held, may_go = threading.Event(), threading.Event()

    held = [
        run.lock,
        *locks_in(recorder),
        *(lock for part in vars(recorder).values() for lock in locks_in(part)),
    ]
    assert len(held) >= 4  # the run's, the recorder's, its losses' and its open calls'

    def hold() -> None:
        with ExitStack() as stack:
            for lock in held:
                stack.enter_context(lock)
            is_held.set()
            may_go.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    assert is_held.wait(60)
    pid = os.fork()
    if pid == 0:
        signal.alarm(30)  # a child that hangs dies by it
        run.tool_call("search").start().complete()
        with audit_log.run("s-2"):
            recorder.note_loss("test", ValueError())
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    may_go.set()
    thread.join()
    assert status == 0
    run.end()


def test_a_run_that_is_opened_after_the_close_is_a_loss(audit_log: InMemoryAuditLogger) -> None:
    """After the close nothing is recorded, nothing raises, and each run is counted as a loss."""
    assert audit_log.recorder.current is None
    audit_log.close()
    with audit_log.run("s-1") as run:
        run.tool_call("search").start().complete()
    assert audit_log.events == []
    assert audit_log.stats().unlogged_total == 1


def test_closing_while_threads_record_leaves_whole_runs(audit_log: InMemoryAuditLogger) -> None:
    """Threads that record while the logger is closed leave runs with one start and one end each."""
    begun = threading.Barrier(5)
    runs: list[Run] = []

    def work() -> None:
        begun.wait()
        for _ in range(60):
            with audit_log.run("s-1") as run, run.tool_call("search"):
                runs.append(run)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    begun.wait()
    audit_log.recorder.close()
    for thread in threads:
        thread.join()
    lost = [run for run in runs if not run.is_recorded]
    assert len(check_runs(audit_log.events)) + len(lost) == 240
    assert audit_log.stats().unlogged_total >= len(lost)


def test_a_logger_that_records_is_freed_when_it_is_let_go() -> None:
    """A recorder keeps no logger alive, and neither does a run that is held."""
    audit: InMemoryAuditLogger | None = InMemoryAuditLogger()
    assert audit is not None
    with audit.run("s-1"):
        pass
    run = audit.recorder.open_run("s-1", source="test")
    gone = weakref.ref(audit)
    audit = None
    assert gone() is None
    run.end()
    del run
    gc.collect()


def test_ctrl_c_within_a_start_or_an_end_loses_neither(
    audit_log: InMemoryAuditLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while a start or an end is being logged, or both, leaves a run with both."""
    recorder = audit_log.recorder
    log = recorder.log
    stops = ["run_started", "run_cancelled", "run_completed", "tool_call_completed"]

    def interrupted(draft: EventDraft, **options: bool) -> None:
        name = str(draft.type)
        if name in stops:
            stops.remove(name)
            raise KeyboardInterrupt
        log(draft, **options)

    monkeypatch.setattr(recorder, "log", interrupted)
    with pytest.raises(KeyboardInterrupt):
        audit_log.run("s-1").__enter__()
    with pytest.raises(KeyboardInterrupt), audit_log.run("s-2") as run, run.tool_call("search"):
        pass
    with pytest.raises(KeyboardInterrupt), audit_log.run("s-3"):
        pass
    audit_log.close()
    types = [[run.start.session_id, str(run.end.type)] for run in check_runs(audit_log.events)]
    assert types == [["s-1", "run_abandoned"], ["s-2", "run_cancelled"], ["s-3", "run_cancelled"]]
