"""Programs that log events and then fork, or end, in every way a process can; run as `load_program` is."""

import multiprocessing
import multiprocessing.process
import os
import signal
import sys
import traceback

import msgspec

from load_program import Load, Options

EVENTS = 30
CLOSE_SECONDS = 90.0
"""Longer than a broker that was stopped at random takes to come back on a busy machine."""
Child = multiprocessing.process.BaseProcess


def _log(load: Load, name: str) -> None:
    for number in range(EVENTS):
        load.log_one(f"{load.options.prefix}-{name}-{number % 2}")


def _log_in_child(options: bytes, name: str) -> None:
    _log(Load(msgspec.json.decode(options, type=Options)), name)


def fork(way: str) -> None:
    """Log in a parent and in its children, which inherit the logger or make their own."""
    options = sys.argv[1].encode()
    load = Load(msgspec.json.decode(options, type=Options))
    if way != "before_first":
        _log(load, "parent-first")
    children: list[Child] = []
    for number in range(2):
        name = f"child{number}"
        match way:
            case "spawn":
                spawn = multiprocessing.get_context("spawn")
                children.append(spawn.Process(target=_log_in_child, args=(options, name)))
            case "forkserver":
                server = multiprocessing.get_context("forkserver")
                children.append(server.Process(target=_log_in_child, args=(options, name)))
            case "multiprocessing_fork":
                context = multiprocessing.get_context("fork")
                children.append(context.Process(target=_log, args=(load, name)))
            case _:
                pass
    for child in children:
        child.start()
    pids = [] if children else [_forked(load, f"child{number}") for number in range(3)]
    _log(load, "parent-then")
    for child in children:
        child.join()
        assert child.exitcode == 0, f"expected a child that exits with 0, got {child.exitcode}"
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0, "expected a forked child that exits with 0"
    load.logger.close(CLOSE_SECONDS)


def _forked(load: Load, name: str) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        _log(load, name)
        load.logger.close(CLOSE_SECONDS)
        code = 0
    except BaseException:  # noqa: BLE001 - this is all that is left of the child
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def leave(way: str) -> None:
    """Log some events, and leave without closing the logger."""
    load = Load(msgspec.json.decode(sys.argv[1], type=Options))
    _log(load, way)
    match way:
        case "return":
            return
        case "exception":
            raise RuntimeError("nobody catches this")
        case "sys_exit":
            sys.exit(3)
        case "os_exit":
            os._exit(4)
        case "sigterm":
            os.kill(os.getpid(), signal.SIGTERM)
        case _:
            os.kill(os.getpid(), signal.SIGKILL)
