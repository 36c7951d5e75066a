"""What the models of an invocation used: once a call, however many pieces its answer came in."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from trailhouse.capture.google_adk.values import provider_of, usage_of
from trailhouse.producer.recording.usage import Usage

if TYPE_CHECKING:
    from trailhouse.producer.recording.run import Run


class _OpenCall:
    def __init__(self, run: Run, model: str | None) -> None:
        self.run = run
        self.model = model
        self.response: Any = None
        self.answered_at: dt.datetime | None = None


class ModelCalls:
    """The model calls that are under way, one at most for each agent's run.

    A streamed answer says after each piece what was used so far, and no hook tells its end: it is over with the next
    thing that its agent does.
    """

    def __init__(self) -> None:
        self._open: dict[str, _OpenCall] = {}

    def begin(self, run: Run, model: str | None) -> None:
        """Note that *run* asks *model*."""
        self.settle(run)
        self._open[run.id] = _OpenCall(run, model)

    def answer(self, run: Run, response: Any, *, is_streamed: bool) -> None:
        """Note a piece of the answer, or the whole."""
        call = self._open.setdefault(run.id, _OpenCall(run, None))
        if call.response is None or response.usage_metadata is not None:
            call.response = response
        call.answered_at = dt.datetime.now(dt.UTC)
        if response.error_code and not response.partial:
            del self._open[run.id]
            run.model_call_failed(response, usage_of(call.response, call.model))
        elif not is_streamed:
            self.settle(run)

    def fail(self, run: Run, error: BaseException) -> None:
        """Record that the call of *run* failed."""
        self._open.pop(run.id, None)
        run.model_call_failed(error)

    def settle(self, run: Run, *, is_broken_off: bool = False) -> None:
        """Record what the call of *run* used, if one is under way.

        One that was answered by nobody was not made: the application has answered for the model. One that was broken
        off has used tokens, and nobody says how many.
        """
        call = self._open.pop(run.id, None)
        if call is None or (call.response is None and not is_broken_off):
            return
        if call.response is None:
            usage = Usage(model=call.model, provider=provider_of(call.model))
        else:
            usage = usage_of(call.response, call.model)
        run.use(usage, at=call.answered_at)

    def settle_all(self, *, is_broken_off: bool) -> None:
        """Do so for every run."""
        for call in list(self._open.values()):
            self.settle(call.run, is_broken_off=is_broken_off)
