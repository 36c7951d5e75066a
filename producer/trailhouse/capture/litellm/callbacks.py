"""LiteLLM's callbacks, and what each of them is in the record."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from trailhouse.capture.litellm.sessions import session_of
from trailhouse.capture.litellm.telling import wait_for_told
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
        self._being_told: WeakSet[ModelCall] = WeakSet()
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._answers: dict[str, tuple[Any, Any]] = {}
        """What is known of open calls that were answered, and whose end LiteLLM has yet to tell."""

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
                over = None
                if len(self._open) > MAX_CALLS:
                    oldest, over = self._open.popitem(last=False)
                    self._answers.pop(oldest, None)
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

    async def async_post_call_success_deployment_hook(
        self, request_data: Any, response: Any, call_type: Any
    ) -> None:
        """Keep an asynchronous call's answer: where its loop is closed at once LiteLLM tells nothing of it."""
        with self._guard("async_post_call_success_deployment_hook"):
            details = getattr(request_data.get("litellm_logging_obj"), "model_call_details", None)
            call_id = str(request_data.get("litellm_call_id"))
            with self._lock:
                if details is not None and call_id in self._open:
                    self._answers[call_id] = details, response

    def settle(self) -> None:
        """Record what the calls used that were answered, and whose end was not told; waits two seconds at most."""
        wait_for_told(lambda: bool(self._open or self._being_told))
        with self._lock:
            answers, self._answers = self._answers, {}
        for details, response in answers.values():
            hidden = read(response, "_hidden_params")
            priced = {"response_cost": read(hidden, "response_cost"), **details}
            self._complete(priced, response)

    def _complete(self, details: Mapping[str, Any], response: Any) -> None:
        if (call := self._take(details)) is not None:
            usage = usage_of(details, response)
            call.complete(usage, call_id=response_id_of(response), source=SOURCE)
            self._being_told.discard(call)

    def _fail(self, details: Mapping[str, Any]) -> None:
        if (call := self._take(details)) is not None:
            call.fail(details.get("exception"))
            self._being_told.discard(call)

    def _take(self, details: Mapping[str, Any]) -> ModelCall | None:
        """Return the call that ends; None where its end was told before, or it was answered from a cache."""
        call_id = str(details.get("litellm_call_id"))
        with self._lock:
            call = self._open.pop(call_id, None)
            self._answers.pop(call_id, None)
            if call is not None:
                self._being_told.add(call)
            is_known = call is not None or call_id in self._ended
            self._ended[call_id] = None
            if len(self._ended) > MAX_CALLS:
                self._ended.popitem(last=False)
        if is_known or details.get("cache_hit"):
            return call
        # Of a call that was made before we were installed.
        return self._run_of(details).model_call()

    def _run_of(self, details: Mapping[str, Any]) -> Run:
        return self._recorder.current or self._recorder.outside_runs(
            session_of(details), source=SOURCE
        )
