"""The tool calls of one run: started by the SDK's hooks, ended by whoever first says how."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trailhouse.capture.openai_agents.plain_values import arguments_of, plain, read, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trailhouse.producer.recording.recorder import Recorder
    from trailhouse.producer.recording.run import Run
    from trailhouse.producer.recording.tool_call import ToolCall

HOSTED = {
    "web_search_call": ("action", None),
    "file_search_call": ("queries", "results"),
    "code_interpreter_call": ("code", "outputs"),
    "image_generation_call": (None, None),
    "mcp_call": ("arguments", "output"),
}
"""Tools that the provider runs within a model call: where their arguments and their results are."""

LOCAL = {
    "computer_call": "action",
    "local_shell_call": "action",
    "shell_call": "action",
    "apply_patch_call": "operation",
}
"""Tools whose hooks are not told of the call that the model made: where its arguments are."""


class ToolCalls:
    """The tool calls of *run*. For one thread at a time."""

    def __init__(self, recorder: Recorder, run: Run) -> None:
        self._guard = recorder.guard("a tool's end")
        self._run = run
        self._by_id: dict[str, ToolCall] = {}
        self._by_tool: dict[int, list[ToolCall]] = {}
        self._running: set[str] = set()
        self._answers: dict[str, object] = {}
        self._announced: list[Any] = []

    def start(self, context: Any, tool: Any) -> None:
        """Tell that *tool* is called."""
        call_id = text_of(context, "tool_call_id")
        if call_id is None:
            self._by_tool.setdefault(id(tool), []).append(self._start_local(tool))
            return
        arguments = arguments_of(getattr(context, "tool_arguments", None))
        self._by_id[call_id] = self._call(context, tool, call_id, arguments).start()

    def complete(self, context: Any, tool: Any, result: object) -> None:
        """Tell that *tool* answered, unless its call is known to have failed."""
        call_id = text_of(context, "tool_call_id")
        if call_id is None:
            begun = self._by_tool.get(id(tool))
            call = begun.pop(0) if begun else self._start_local(tool)
        else:
            if call_id not in self._by_id:
                self.start(context, tool)
            call = self._by_id[call_id]
            self._running.discard(call_id)
            self._answers.pop(call_id, None)
        call.complete(plain(result))

    def executes(self, context: Any, tool: Any) -> None:
        """Note that the tool is executing: its end is told by its own doing, however late. Raises nothing.

        A nested agent that waited for a decision goes on in the resumed run without a start of its own.
        """
        with self._guard:
            call_id = text_of(context, "tool_call_id")
            if call_id is not None:
                self._running.add(call_id)
                if call_id not in self._by_id:
                    self.start(context, tool)

    def fail(self, context: Any, error: object, code: str | None = None) -> None:
        """Tell that the tool failed. Raises nothing."""
        with self._guard:
            call_id = text_of(context, "tool_call_id") or ""
            self._running.discard(call_id)
            call = self._by_id.get(call_id)
            if call is not None:
                call.fail(error, code=code)

    def returned(self, context: Any, answer: object) -> None:
        """Note that the tool no longer executes: its *answer* counts, even if a guardrail raises at it."""
        call_id = text_of(context, "tool_call_id") or ""
        self._running.discard(call_id)
        self._answers[call_id] = answer

    def end_open(self, error: BaseException | None, *, code: str | None = None) -> None:
        """End the calls whose end nobody will say; those that are still executing end by themselves."""
        if code is None:
            for key, answer in self._answers.items():
                if key in self._by_id:
                    self._by_id[key].complete(plain(answer))
        calls = [call for key, call in self._by_id.items() if key not in self._running]
        for call in [*calls, *(call for begun in self._by_tool.values() for call in begun)]:
            if call.is_open:
                call.fail(error, code=code or (None if error else "no_end"))

    def tell_hosted(self, output: Iterable[Any]) -> None:
        """Tell the tools that the provider has run, and remember the calls that local tools are to answer."""
        for item in output:
            kind = text_of(item, "type") or ""
            if kind in LOCAL:
                self._announced.append(item)
            if kind not in HOSTED:
                continue
            arguments, results = HOSTED[kind]
            name = text_of(item, "name") or kind.removesuffix("_call")
            given = arguments_of(read(item, arguments)) if arguments else None
            call = self._run.tool_call(name, given, call_id=text_of(item, "id"))
            error = read(item, "error")
            if error is not None or text_of(item, "status") == "failed":
                call.fail(error, code="hosted_tool")
            else:
                call.complete(plain(read(item, results)) if results else None)

    def _start_local(self, tool: Any) -> ToolCall:
        name = text_of(tool, "name") or type(tool).__name__
        for item in self._announced:
            kind = text_of(item, "type") or ""
            if kind.removesuffix("_call") in (name, name.removesuffix("_use_preview")):
                self._announced.remove(item)
                arguments = plain(read(item, LOCAL[kind]))
                return self._run.tool_call(
                    name, arguments, call_id=text_of(item, "call_id")
                ).start()
        return self._run.tool_call(name).start()

    def _call(self, context: Any, tool: Any, call_id: str, arguments: Any) -> ToolCall:
        name = text_of(context, "qualified_tool_name") or text_of(tool, "name")
        # A model that gives two calls of a run the same id means two calls all the same.
        known = None if call_id in self._by_id else call_id
        return self._run.tool_call(name or "tool", arguments, call_id=known)
