"""The model calls of one run: what each used, told once; and the one that is out, which others may see too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trailhouse.capture.installation import is_installed
from trailhouse.capture.openai_agents.plain_values import (
    is_litellm,
    model_of,
    response_id_of,
    usage_of,
)

if TYPE_CHECKING:
    from trailhouse.producer.recording.run import Run

SOURCE = "openai_agents"


class ModelCalls:
    """The model calls of *run*, which is run with *run_config*. For one thread at a time."""

    def __init__(self, run: Run, run_config: Any) -> None:
        self._run = run
        self._run_config = run_config
        self._agent: Any = None
        self._heard: list[Any] = []
        self._open = 0
        self._others_begun = 0

    def know(self, state: Any) -> None:
        """Take the answers in *state*, which the run is resumed from, as told: by the run before."""
        self._heard += getattr(state, "_model_responses", None) or ()  # private: they come again

    def begin(self, agent: Any) -> None:
        """Note that a call of *agent*'s model goes out; who sees it too then leaves it to us, but LiteLLM's adapter."""
        self._agent = agent
        self._others_begun = self._run.model_calls.begun_total
        self._open += 1
        self._run.model_calls_open = 0 if self._is_litellms(agent) else self._open

    def answered(self, agent: Any, response: Any) -> None:
        """Tell what the call that *response* answers used."""
        self._open = max(0, self._open - 1)
        self._run.model_calls_open = min(self._run.model_calls_open, self._open)
        self._heard.append(response)
        if not self._is_told_by_litellm(agent):
            usage = usage_of(response, *model_of(agent, self._run_config))
            self._run.use(usage, call_id=response_id_of(response), source=SOURCE)

    def end_open(self, error: BaseException | None, data: Any) -> None:
        """Tell what is out as the run ends: answers that the SDK refused before its hooks saw them, else failures.

        Args:
            error: What ended the run.
            data: What the SDK kept of the run, if anything.
        """
        if not self._open:
            return
        for response in getattr(data, "raw_responses", None) or ():
            if not any(response is heard for heard in self._heard):
                self.answered(self._agent, response)
        if error is not None and not self._is_told_by_litellm(self._agent):
            for _ in range(self._open):
                self._run.model_call_failed(error)

    def _is_told_by_litellm(self, agent: Any) -> bool:
        """Tell whether LiteLLM's adapter tells of the call that is out, by its id and with its cost."""
        is_another_out = self._run.model_calls.begun_total > self._others_begun
        return is_another_out and self._is_litellms(agent)

    def _is_litellms(self, agent: Any) -> bool:
        return is_installed("litellm") and is_litellm(agent, self._run_config)
