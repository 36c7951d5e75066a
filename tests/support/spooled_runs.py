"""How each framework is asked for each outcome, and the tests that judge it from what lies in the spool."""

from __future__ import annotations

import asyncio
import random
import string
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pytest

from spooled_capture import Spooled, spooled
from trailhouse.producer import AuditLogger

chance = random.Random(21)  # noqa: S311 - no secret
SECRET = "ghp" + "_" + "".join(chance.choices(string.ascii_letters + string.digits, k=36))
"""Asked, called with, answered and said in errors."""
TOKENS = 10
"""What each model call takes in."""
STUCK = "stuck"
"""A model's answer that never comes."""
CALL = "call"
"""A model's answer that calls the tool `search`."""
BREAK = "break"
"""A model's answer that calls the tool `search` so that it raises."""


class GoneError(RuntimeError):
    """What a broken model, or tool, raises."""


class Sdk(NamedTuple):
    """How a framework is asked to do what each scene needs; all models take in `TOKENS` a call.

    A scene that a framework has none of, or does not tell, is None: `docs/capture.md` says so.
    """

    install: Callable[[AuditLogger], Callable[[], object]]
    ask: Callable[..., Any]
    """Run an agent whose model gives these answers; returns what the application gets."""
    stream: Callable[..., Any] | None = None
    """The same as a stream."""
    leave: Callable[..., Any] | None = None
    """The same as a stream that its reader leaves at the first piece."""
    nest: Callable[[], Any] | None = None
    """Run an agent with another within: two model calls without, one within."""
    nest_calls: tuple[int, int] = (2, 1)
    """How many model calls are the outer run's, and how many the inner one's."""
    decide: Callable[[bool], Any] | None = None
    """Run an agent whose tool waits, grant or refuse it, and go on: two model calls."""
    errors: tuple[type[BaseException], ...] = (GoneError,)
    """What the application sees of a model that raises."""
    decides_in_one_run: bool = False
    """A decision is told while its run waits for it."""
    has_tools: bool = True
    has_session: bool = True
    """Its runs name their session; else each has its trace's."""
    answers_late: bool = False
    """A model that is asked in a thread answers though its run was cancelled: what it took in is recorded."""
    at_once: int = 5
    """How many runs stand side by side."""


def searched(query: str) -> str:
    """Search, or raise where that was asked."""
    if query.startswith(BREAK):
        raise GoneError(f"no such place as {query}")
    return f"found {query}"


def query_of(answer: str) -> str:
    """Return what the tool is called with."""
    return f"{BREAK} {SECRET}" if answer == BREAK else SECRET


def judged(sdk: Sdk, application: Callable[[], Any], folder: Path) -> Spooled:
    """Run *application*, and return what was left in the spool, all in one session."""
    found = spooled(application, sdk.install, folder / "spool", SECRET)
    sessions = {run.start.session_id for run in found.runs}
    traces = {run.start.trace_id for run in found.runs}
    assert len(sessions) == (1 if sdk.has_session else len(traces)), sessions
    return found


_NEEDS = {
    "test_a_run_that_streams": "stream",
    "test_a_stream_that_is_left": "leave",
    "test_a_tool_that_fails": "has_tools",
    "test_a_tool_that_is_refused": "decide",
    "test_a_tool_that_is_approved": "decide",
    "test_an_agent_within_an_agent": "nest",
}
"""What a framework needs for a scene."""


class SpooledRuns:
    """A module makes a class of these tests, which names its frameworks."""

    SDKS: ClassVar[dict[str, Sdk]]

    def __init_subclass__(cls) -> None:
        """Leave out, rather than collect and skip, what none of its frameworks can be asked for."""
        for name, need in _NEEDS.items():
            if not any(getattr(sdk, need) for sdk in cls.SDKS.values()):
                setattr(cls, name, None)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Make each scene for each framework that has what it needs."""
        need = _NEEDS.get(metafunc.definition.name)
        able = {name: sdk for name, sdk in self.SDKS.items() if need is None or getattr(sdk, need)}
        metafunc.parametrize("sdk", able.values(), ids=able.keys())

    def test_a_run_that_succeeds(self, sdk: Sdk, tmp_path: Path) -> None:
        """Two model calls and a tool: one run, which completed, and what the models took in."""
        answers = (CALL, "done") if sdk.has_tools else ("well", "done")
        found = judged(sdk, lambda: sdk.ask(*answers), tmp_path)
        assert (found.ends, found.input_tokens) == (["run_completed"], 2 * TOKENS)
        assert found.runs[0].types.count("tool_call_completed") == int(sdk.has_tools)
        assert "[REDACTED:github_token]" in str([event.data for event in found.events])

    def test_a_run_that_streams(self, sdk: Sdk, tmp_path: Path) -> None:
        """A stream that is read to its end is a run as any."""
        stream: Any = sdk.stream
        answers = (CALL, "done") if sdk.has_tools else ("well", "done")
        found = judged(sdk, lambda: stream(*answers), tmp_path)
        assert (found.ends, found.input_tokens) == (["run_completed"], 2 * TOKENS)

    def test_a_stream_that_is_left(self, sdk: Sdk, tmp_path: Path) -> None:
        """A reader that leaves cancels its run, which the application sees nothing of."""
        leave: Any = sdk.leave
        found = judged(sdk, lambda: leave("one two three", "done"), tmp_path)
        assert found.ends == ["run_cancelled"]
        assert found.outcome.error is None

    def test_a_run_that_fails(self, sdk: Sdk, tmp_path: Path) -> None:
        """A model's error, with a secret in its text, ends the run as failed, and reaches the application."""
        error = GoneError(f"refused {SECRET}")
        first = CALL if sdk.has_tools else "well"
        found = judged(sdk, lambda: sdk.ask(first, error), tmp_path)
        assert (found.ends, found.input_tokens) == (["run_failed"], TOKENS)
        assert found.outcome.error in sdk.errors

    def test_a_tool_that_fails(self, sdk: Sdk, tmp_path: Path) -> None:
        """A tool that raises, with a secret in its text, has failed; its run ends as the framework has it end."""
        found = judged(sdk, lambda: sdk.ask(BREAK, "sorry"), tmp_path)
        has_failed = found.outcome.error is not None
        assert found.ends == ["run_failed" if has_failed else "run_completed"]
        assert found.input_tokens == (1 if has_failed else 2) * TOKENS
        types = found.runs[0].types
        assert (types.count("tool_call_failed"), types.count("tool_call_completed")) == (1, 0)

    def test_a_run_that_is_cancelled(self, sdk: Sdk, tmp_path: Path) -> None:
        """A task that is cancelled while its model is asked ends its run as cancelled."""

        async def application() -> str:
            task = asyncio.ensure_future(sdk.ask(STUCK))
            await has_asked()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return "cancelled"

        found = judged(sdk, application, tmp_path)
        used = TOKENS if sdk.answers_late else 0
        assert (found.ends, found.input_tokens) == (["run_cancelled"], used)

    def test_a_run_that_takes_too_long(self, sdk: Sdk, tmp_path: Path) -> None:
        """A time limit round a run comes to it as a cancellation, and to the application as its error."""

        async def application() -> str:
            task = asyncio.ensure_future(sdk.ask(STUCK))
            await has_asked()
            return str(await asyncio.wait_for(task, 0.01))

        found = judged(sdk, application, tmp_path)
        assert found.ends == ["run_cancelled"]
        assert found.outcome.error is TimeoutError

    def test_a_model_that_times_out(self, sdk: Sdk, tmp_path: Path) -> None:
        """A model's own time limit comes to the run as its error, in the framework's words or its own."""
        first = CALL if sdk.has_tools else "well"
        error = TimeoutError(f"no answer to {SECRET}")
        found = judged(sdk, lambda: sdk.ask(first, error), tmp_path)
        own = found.outcome.error is TimeoutError
        assert found.ends == ["run_timeout" if own else "run_failed"]
        assert found.input_tokens == TOKENS

    def test_a_tool_that_is_refused(self, sdk: Sdk, tmp_path: Path) -> None:
        """The run that asks is paused, the next has the refusal, and the tool has not run."""
        types = self._decided(sdk, tmp_path, is_granted=False)
        assert types.count("tool_approval_requested") == types.count("tool_approval_denied") == 1
        assert "tool_call_completed" not in types

    def test_a_tool_that_is_approved(self, sdk: Sdk, tmp_path: Path) -> None:
        """The run that asks is paused, the next has the approval, and the tool has run once."""
        types = self._decided(sdk, tmp_path, is_granted=True)
        assert types.count("tool_approval_requested") == types.count("tool_approval_granted") == 1
        assert types.count("tool_call_completed") == 1

    @staticmethod
    def _decided(sdk: Sdk, folder: Path, *, is_granted: bool) -> list[str]:
        decide: Any = sdk.decide
        found = judged(sdk, lambda: decide(is_granted), folder)
        ends = ["run_completed"] if sdk.decides_in_one_run else ["paused", "run_completed"]
        assert (found.ends, found.input_tokens) == (ends, 2 * TOKENS)
        return [str(event.type) for event in found.events]

    def test_an_agent_within_an_agent(self, sdk: Sdk, tmp_path: Path) -> None:
        """The inner run is the outer one's child, in its session, and each has its own model calls."""
        found = judged(sdk, sdk.nest or sdk.ask, tmp_path)
        assert found.ends == ["run_completed", "run_completed"]
        outer, inner = found.runs
        assert inner.start.parent_run_id == outer.run_id
        own = [run.end.data.get("token_usage", {}).get("input_tokens", 0) for run in found.runs]
        assert own == [calls * TOKENS for calls in sdk.nest_calls]

    def test_runs_side_by_side(self, sdk: Sdk, tmp_path: Path) -> None:
        """Runs at once are as many runs, each with its own calls."""
        first = CALL if sdk.has_tools else "well"

        async def application() -> list[str]:
            asked = (sdk.ask(first, f"done {n}") for n in range(sdk.at_once))
            return list(await asyncio.gather(*asked))

        found = judged(sdk, application, tmp_path)
        expected = ["run_completed"] * sdk.at_once, 2 * sdk.at_once * TOKENS
        assert (found.ends, found.input_tokens) == expected
        completed = [run.types.count("tool_call_completed") for run in found.runs]
        assert completed == [int(sdk.has_tools)] * sdk.at_once


_asked = threading.Event()


note_asked = _asked.set
"""Called as a model is asked that never answers."""


async def never() -> None:
    """Be a model that is asked and never answers."""
    note_asked()
    await asyncio.Event().wait()


async def has_asked() -> None:
    """Wait until a model that never answers is asked: half a minute at most."""
    async with asyncio.timeout(30):
        while not _asked.is_set():  # noqa: ASYNC110 - a model may be asked in a thread
            await asyncio.sleep(0.002)
    _asked.clear()
