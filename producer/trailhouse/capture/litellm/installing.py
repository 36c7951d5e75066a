"""Installs our callbacks among LiteLLM's."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from trailhouse.capture.installation import Undo, install_once
from trailhouse.capture.litellm.callbacks import Callbacks
from trailhouse.capture.litellm.strict import StrictCallbacks

if TYPE_CHECKING:
    from trailhouse.producer import AuditLogger

CALLBACK_LISTS = (
    "callbacks",
    "input_callback",
    "success_callback",
    "failure_callback",
    "_async_input_callback",
    "_async_success_callback",
    "_async_failure_callback",
)
"""Where LiteLLM has its callbacks: it copies those of the first list to the others with the next call."""


def install(audit: AuditLogger, *, strict: bool = False) -> Undo:
    """Have the model calls of LiteLLM recorded in *audit* from now on; return what ends that.

    Each call's tokens and cost are recorded in the run that is bound where it is made; outside of any run in the
    session that its metadata names. A call that LiteLLM tells no end of, as a stream that is broken off, a
    cancelled one or a last retry, has failed with the code ``no_end``.

    Args:
        audit: Whose log it is.
        strict: Have what could not be recorded raise where LiteLLM lets it: in the next asynchronous call, which is
            then not sent. Of synchronous calls it swallows what callbacks raise: that stands in its log alone.

    Raises:
        ConfigError: litellm is not installed, or has not what this stands on. Permanent.
    """
    return install_once("litellm", audit, lambda: _install(audit, strict))


def _install(audit: AuditLogger, strict: bool) -> Undo:
    litellm: Any = importlib.import_module("litellm")
    base: Any = importlib.import_module("litellm.integrations.custom_logger").CustomLogger
    # Apart, since LiteLLM takes another way through a call where a hook of it is there.
    ours = StrictCallbacks if strict else Callbacks
    callbacks_class: Any = type("TrailhouseCallbacks", (ours, base), {})
    callbacks = callbacks_class(audit.recorder)
    litellm.callbacks.append(callbacks)
    forget = audit.recorder.settle_by(callbacks.settle)

    def undo() -> None:
        with audit.recorder.guard("litellm settle"):
            callbacks.settle()
        forget()
        for name in CALLBACK_LISTS:
            registered = getattr(litellm, name, None)
            if isinstance(registered, list):
                registered[:] = [each for each in registered if each is not callbacks]

    return undo
