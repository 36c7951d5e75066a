"""Names are the field's: what a Kafka or database engineer has a word for is called by that word."""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TERMS = {
    "Footing": "OffsetCheck",
    "Ground": "AssignmentGuard",
    "Place": "PartitionState, Coordinates or OffsetRef",
    "Verdict": "StartDecision",
    "Flight": "InflightBatch",
    "Launcher": "BatchInserter",
    "Lookout": "LagMonitor",
    "Voice": "Reporters",
    "Bell": "WakeSignal",
    "Question": "BackgroundQuery",
    "TopicWatch": "BackgroundQuery",
    "AccountWatch": "BackgroundQuery",
    "KafkaProbe": "BackgroundQuery",
    "Stillness": "StallTimer",
    "bite": "on_stall",
    "Outbox": "SendQueue",
    "Backlog": "SpoolQueue",
    "Inheritance": "OrphanSpools",
    "Inherited": "AdoptedSpool",
    "heirloom": "AdoptedSpool",
    "Aside": "SpoolQuarantine",
    "set_aside": "quarantine",
    "take_turn": "acquire_adoption_lease",
    "await_turn": "wait_for_lease",
    "Sightings": "SeenSequences",
    "Detour": "PoisonPillRecovery",
    "Examination": "PoisonPillInspection",
    "StandIn": "Placeholder",
    "misfits": "rejected",
    "strangers": "unknown_partitions",
    "death_pact": "parent_death",
}
"""A name that only we understood, and the one that stands for it now."""


def names_in(tree: ast.AST) -> Iterator[str]:
    """Yield each class, function, variable, parameter, attribute and import of *tree*."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                yield node.name
            case ast.Name():
                yield node.id
            case ast.Attribute():
                yield node.attr
            case ast.arg():
                yield node.arg
            case ast.alias():
                yield from node.name.split(".")
            case ast.ImportFrom(module=str(module)):
                yield from module.split(".")
            case _:
                pass


def modules() -> list[str]:
    """Return the path of each module of ours."""
    listed = subprocess.run(
        ["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [name for name in listed.stdout.split() if (ROOT / name).is_file()]


def test_no_name_is_of_our_own_language() -> None:
    """Neither a file nor anything in it has a name for which the field has a better one."""
    found = {
        (file, name, TERMS[name.removeprefix("_")])
        for file in modules()
        for name in (*names_in(ast.parse((ROOT / file).read_text())), Path(file).stem)
        if name.removeprefix("_") in TERMS
    }
    assert found == set()


@pytest.mark.parametrize("code", ["class Footing: ...", "a._bite()", "from x.death_pact import y"])
def test_a_name_of_our_own_language_is_found(code: str) -> None:
    """A class, an attribute and a module are all seen."""
    assert any(name.removeprefix("_") in TERMS for name in names_in(ast.parse(code)))
