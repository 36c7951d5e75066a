"""LiteLLM's callbacks, and what each of them is in the record."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from trailhouse.capture.litellm.usage import response_id_of, usage_of
from trailhouse.producer.object_fields import read
from trailhouse.producer.recording.tool_call import NO_END

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trailhouse.producer.recording.model_call import ModelCall
    from trailhouse.producer.recording.recorder import Recorder
    from trailhouse.producer.recording.run import Run

SOURCE = "litellm"
LEFT_TO_US = ("openai_agents",)
"""The adapters that tell nothing of a model call that they see us record."""

MAX_CALLS = 10_000
SESSION_KEYS = ("session_id", "thread_id", "conversation_id")


class Callbacks:
    """Records what LiteLLM calls back; mixed into its logger class by `install`.

    LiteLLM calls by keyword: a parameter that had another name would lose everything. It tells starts where the call
    is made, and ends from threads and tasks of its own, some twice and some not at all.
    """

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._recorder = recorder
        self._lock = threading.Lock()
        self._open: OrderedDict[str, ModelCall] = OrderedDict()
        self._ended: OrderedDict[str, None] = OrderedDict()

    def _guard(self, what: str) -> Any:
        return self._recorder.guard(f"litellm {what}")

    def log_pre_api_call(self, model: Any, messages: Any, kwargs: Any) -> None:
        """Note that a call begins, here, in the context that it is made in."""
        with self._guard("log_pre_api_call"):
            call_id, run = str(kwargs.get("litellm_call_id")), self._run_of(kwargs)
            call = run.model_call()
            if run.model_calls_open and run.source not in LEFT_TO_US:
                call.drop()  # it is told by the adapter of a framework that calls its models by LiteLLM
            with self._lock:
                before = self._open.pop(call_id, None)
                self._open[call_id] = call
                self._ended.pop(call_id, None)
                over = self._open.popitem(last=False)[1] if len(self._open) > MAX_CALLS else None
            if before is not None:  # a retry: that the try before has failed, nobody tells
                before.fail("it was tried again", code=NO_END)
            if over is not None:
                over.fail("its end was not reported", code=NO_END)

    def log_success_event(
        self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """Record what a call used."""
        with self._guard("log_success_event"):
            self._complete(kwargs, response_obj)

    async def async_log_success_event(
        self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """Record what an asynchronous call used."""
        with self._guard("async_log_success_event"):
            self._complete(kwargs, response_obj)

    def log_failure_event(
        self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """Record that a call failed."""
        with self._guard("log_failure_event"):
            self._fail(kwargs)

    async def async_log_failure_event(
        self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """Record that an asynchronous call failed."""
        with self._guard("async_log_failure_event"):
            self._fail(kwargs)

    def _complete(self, details: Mapping[str, Any], response: Any) -> None:
        call = self._take(details)
        if call is not None:
            usage = usage_of(details, response)
            call.complete(usage, call_id=response_id_of(response), source=SOURCE)

    def _fail(self, details: Mapping[str, Any]) -> None:
        call = self._take(details)
        if call is not None:
            call.fail(details.get("exception"))

    def _take(self, details: Mapping[str, Any]) -> ModelCall | None:
        """Return the call that ends; None where its end was told before, or it was answered from a cache."""
        call_id = str(details.get("litellm_call_id"))
        with self._lock:
            call = self._open.pop(call_id, None)
            is_known = call is not None or call_id in self._ended
            self._ended[call_id] = None
            if len(self._ended) > MAX_CALLS:
                self._ended.popitem(last=False)
        if is_known or details.get("cache_hit"):
            return call
        return self._run_of(
            details
        ).model_call()  # of a call that was made before we were installed

    def _run_of(self, details: Mapping[str, Any]) -> Run:
        return self._recorder.current or self._recorder.outside_runs(
            session_of(details), source=SOURCE
        )


def session_of(details: Mapping[str, Any]) -> str | None:
    """Return the session that a call's metadata names; None where it names none."""
    params = details.get("litellm_params")
    for source in (read(params, "metadata"), read(params, "litellm_metadata")):
        for key in SESSION_KEYS:
            given = read(source, key)
            if isinstance(given, str) and given:
                return given
    given = read(params, "litellm_session_id")
    return given if isinstance(given, str) and given else None
