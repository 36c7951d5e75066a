"""LangChain's callbacks of tools: what each of them is in the record."""

from __future__ import annotations

from typing import Any

from trailhouse.capture.langchain.content import is_message, plain
from trailhouse.capture.langchain.handler import Handler, guarded
from trailhouse.capture.langchain.runs import SOURCE
from trailhouse.capture.langchain.signals import is_signal
from trailhouse.producer.object_fields import read

APPROVAL_REQUIRED = "approval_required"
"""The `error_code` of a tool call that stopped to ask a person: it begins anew when the graph goes on."""


class ToolCallbacks(Handler):
    """Records the calls of tools."""

    @guarded
    def on_tool_start(
        self, serialized: Any, input_str: str, *, run_id: Any, inputs: Any = None, **about: Any
    ) -> None:
        name = str(read(serialized, "name") or about.get("name") or "tool")
        step = self.runs.begin(run_id, "tool", about, name=name)
        if step.owner is None:
            return
        given = about.get("tool_call_id")
        call_id = step.owner.call_id(given if isinstance(given, str) and given else str(run_id))
        self.recorder.claims("tool_call", call_id, SOURCE)  # so that no span records it again
        arguments = plain(input_str if inputs is None else inputs)
        step.call = step.owner.run.tool_call(name, arguments, call_id=call_id).start()

    @guarded
    def on_tool_end(self, output: Any, *, run_id: Any, **_: Any) -> None:
        step = self.runs.end(run_id)
        if step is None or step.call is None or step.owner is None:
            return
        if is_message(output) and read(output, "status") == "error":
            content = plain(output.content)
            step.call.fail(content if isinstance(content, str) else str(content), code="tool_error")
        else:
            step.call.complete(plain(output.content if is_message(output) else output))
        if step.is_run:
            step.owner.end()

    @guarded
    def on_tool_error(self, error: BaseException, *, run_id: Any, **_: Any) -> None:
        step = self.runs.end(run_id)
        if step is None or step.call is None or step.owner is None:
            return
        step.owner.tell(error)
        is_waiting = is_signal(error, "GraphInterrupt")
        step.call.fail(
            None if is_waiting else error, code=APPROVAL_REQUIRED if is_waiting else None
        )
        if step.is_run:
            step.owner.end(error)
