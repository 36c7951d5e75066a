"""What strict means with LiteLLM: it swallows what callbacks raise, but before an asynchronous call is sent."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from trailhouse.capture.litellm.callbacks import Callbacks

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from trailhouse.producer.recording.recorder import Recorder


class StrictCallbacks(Callbacks):
    """Raises what could not be recorded of a call as the next asynchronous one is about to be sent.

    That one is not sent. Each loss is raised once, the first of several: whoever goes on after it, as a router that
    tries again, has been told. LiteLLM calls nothing that may raise for synchronous calls: their losses wait for the
    next asynchronous one, and stand in LiteLLM's log.
    """

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder)
        self._untold: Exception | None = None
        self._raised: Exception | None = None

    @contextmanager
    def _guard(self, what: str) -> Generator[None]:
        try:
            with self._recorder.guard(f"litellm {what}", strict=True):
                yield
        except Exception as error:
            with self._lock:
                self._untold = self._untold or error
            raise

    async def async_pre_call_deployment_hook(self, kwargs: Any, call_type: Any) -> None:
        """Refuse a call where something of an earlier one could not be recorded."""
        with self._lock:
            error, self._untold = self._untold, None
            self._raised = error or self._raised
        if error is not None:
            raise error

    def _fail(self, details: Mapping[str, Any]) -> None:
        if self._raised is None or details.get("exception") is not self._raised:
            super()._fail(details)  # else it is the call that was refused, which was not made
