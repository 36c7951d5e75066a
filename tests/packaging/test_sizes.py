"""Modules and functions stay small enough to be read at once."""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 40
"""Without its docstring, which is the contract and may be as long as that takes."""

LARGE_MODULES = {
    "check.py": "auditors carry it alone: one file",
    "clickhouse_attacks.py": "one table, an attack a line or a few",
    "secret_forms.py": "one table",
    "send_queue.py": "one lock, and all that it guards",
    "session.py": "the turns of one thread, from joining a group to leaving it",
}
"""By file name: modules that may be larger, each with its reason."""
LARGE_FUNCTIONS = {
    "dev.py::dev": "most of it are the command's options, each with its help",
    "verify.py::verify": "most of it are the command's options, each with its help",
    "quarantine.py::requeue": "most of it are the command's options, each with its help",
    "spool.py::drain": "most of it are the command's options, each with its help",
    "erase.py::erase": "most of it are the command's options, each with its help",
    "hold.py::hold": "most of it are the command's options, each with its help",
    "first_policy.py::init": "most of it are the command's options, each with its help",
    "members.py::enroll": "most of it are the command's options, each with its help",
    "balance.py::account": "half of it are the parameters and the answer",
    "recorder.py::open_run": "half of it are the parameters",
    "session.py::__init__": "hands each part what it needs; nothing is decided in it",
    "ingest.py::_join": "makes the parts of a session, one after the other",
    "config.py::__post_init__": "one check a setting",
    "attack_scene.py::a_history": "one story, which every attack is made on",
    "test_faults_proof_kills.py::test_workers_killed_between_leaves_checkpoint_ledger_and_commit": "one story",
    "test_cli_hostile_text.py::test_nothing_can_steer_a_terminal": "one story",
    "test_cli_log.py::test_a_filter_that_matches_nothing_says_what_there_is": "one story",
    "test_devstack_attacks.py::attacked": "what stands around an attack, started and ended",
    "test_emit_again.py::test_each_line_is_one_event_however_often_it_is_killed": "one story",
    "test_quarantine.py::test_list_shows_everything_but_contents": "one story",
    "test_worker.py::test_every_series_agrees_with_what_was_sent": "one story",
    "test_worker.py::test_what_is_new_or_far_away_is_stored_whole": "one story",
    "test_worker_watching.py::test_a_sender_cannot_date_what_it_sends_before_the_others": "one story",
    "secure_kafka.py::_properties": "a table of settings",
    "token_endpoint.py::token_endpoint": "a server, whose handler it closes over",
}
"""By file name: functions that may be longer, each with its reason."""


def modules() -> Iterator[tuple[str, str]]:
    """Yield name and text of every module of ours."""
    listed = subprocess.run(
        ["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.split():
        if (ROOT / name).is_file():  # else it is removed, and not yet committed
            yield name, (ROOT / name).read_text()


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return how many lines a function has beside its docstring."""
    assert function.end_lineno is not None
    size = function.end_lineno - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is None or first.end_lineno is None:
        return size
    return size - (first.end_lineno - first.lineno + 1)


def test_no_module_is_too_large() -> None:
    """A module has 400 lines at most; past that there is a seam to cut at."""
    large = {Path(name).name for name, text in modules() if text.count("\n") > MAX_MODULE_LINES}

    assert large == set(LARGE_MODULES)


def test_no_function_is_too_long() -> None:
    """A function has 40 lines at most beside its docstring; past that it does more than one thing."""
    long = {
        f"{Path(name).name}::{node.name}"
        for name, text in modules()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if lines_of(node) > MAX_FUNCTION_LINES
    }

    assert long == set(LARGE_FUNCTIONS)
