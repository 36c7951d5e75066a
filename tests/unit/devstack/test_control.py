"""How one `trailhouse` acts on the stack of another."""

import json
import stat
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from trailhouse.devstack.control import ControlServer, ask_stack, write_state
from trailhouse.devstack.private_folder import write_own
from trailhouse.schemas.errors import StackError


def act(request: dict[str, Any]) -> dict[str, Any]:
    """Answer with what was asked, or fail when asked to."""
    if request["action"] == "fail":
        raise StackError("it cannot be done")
    return {"done": request["action"], "part": request["part"]}


@pytest.fixture
def state_file(tmp_path: Path) -> Generator[Path]:
    """Return the state file of a running control server."""
    server = ControlServer(act)
    write_state(tmp_path / "state.json", {"control": server.address()})
    yield tmp_path / "state.json"
    server.close()


def test_a_request_gets_its_answer(state_file: Path) -> None:
    """The answer of the running stack comes back."""
    assert ask_stack(state_file, "stop", "kafka") == {"done": "stop", "part": "kafka"}


def test_a_failure_comes_back_as_one(state_file: Path) -> None:
    """What the stack raises is raised where it was asked for."""
    with pytest.raises(StackError, match="it cannot be done"):
        ask_stack(state_file, "fail")


def test_only_who_can_read_the_state_can_ask(state_file: Path) -> None:
    """Without the secret a request is refused, and the file with it is the owner's alone."""
    assert stat.S_IMODE(state_file.stat().st_mode) == 0o600
    state = json.loads(state_file.read_text())
    state["control"]["secret"] = "guessed"
    write_state(state_file, state)
    with pytest.raises(StackError, match="refused"):
        ask_stack(state_file, "stop", "kafka")


@pytest.mark.parametrize(
    "leave",
    [lambda path: None, lambda path: write_own(path, "{"), lambda path: write_own(path, "{}")],
)
def test_no_stack_is_told_with_the_way_out(tmp_path: Path, leave: Callable[[Path], object]) -> None:
    """No state, or a broken one, says that no stack runs there and how to start one."""
    leave(tmp_path / "state.json")
    with pytest.raises(StackError, match=r"no stack runs on .*trailhouse dev"):
        ask_stack(tmp_path / "state.json", "status")


def test_the_state_of_a_stack_that_was_killed_is_no_stack(tmp_path: Path) -> None:
    """A state file whose server is gone says that no stack runs there."""
    server = ControlServer(act)
    write_state(tmp_path / "state.json", {"control": server.address()})
    server.close()
    with pytest.raises(StackError, match="no stack runs on"):
        ask_stack(tmp_path / "state.json", "status")
