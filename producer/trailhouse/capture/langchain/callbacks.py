"""LangChain's callbacks of chains, agents and graphs, and what each of them is in the record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trailhouse.capture.langchain.content import answer_of, question_of
from trailhouse.capture.langchain.handler import guarded
from trailhouse.capture.langchain.models import ModelCallbacks
from trailhouse.capture.langchain.pauses import go_on, pause
from trailhouse.capture.langchain.signals import is_signal
from trailhouse.capture.langchain.tools import ToolCallbacks
from trailhouse.producer.object_fields import read

if TYPE_CHECKING:
    from trailhouse.capture.langchain.agent_run import AgentRun
    from trailhouse.capture.langchain.steps import Step


class Callbacks(ToolCallbacks, ModelCallbacks):
    """Records what LangChain calls back; mixed into its handler class by `install`."""

    @guarded
    def on_chain_start(self, serialized: Any, inputs: Any, *, run_id: Any, **about: Any) -> None:
        name = about.get("name") or read(serialized, "name")
        step = self.runs.begin(run_id, "chain", about, name=name)
        owner = step.owner
        if owner is None:
            return
        if step.info["is_node"]:
            step.info["inputs"] = inputs
        if not step.is_run:
            self.pauses.decide_waiting(owner.root, inputs)
        elif owner.is_root:
            self._begin_root(owner, step, inputs)

    def _begin_root(self, owner: AgentRun, step: Step, inputs: Any) -> None:
        resume = read(inputs, "resume") if type(inputs).__name__ == "Command" else None
        if resume is not None:
            self.pauses.decide(owner, step.info["thread"], resume)
        elif inputs is None and step.info["is_graph"]:  # it goes on from a breakpoint
            go_on(owner)
        else:
            owner.note_question(question_of(inputs))

    @guarded
    def on_chain_end(self, outputs: Any, *, run_id: Any, inputs: Any = None, **_: Any) -> None:
        step = self.runs.end(run_id)
        if step is None or step.owner is None or not step.is_run:
            return
        owner = step.owner
        if owner.is_root:
            if inputs is not None:  # of a streamed chain it is known only now
                owner.note_question(question_of(inputs))
            if not owner.is_paused and (answer := answer_of(outputs)) is not None:
                owner.run.message(answer, role="assistant")
        # LangChain ends a chain whose stream is left as if it had answered, while parts of it are still at work.
        is_left = not step.info["is_graph"] and step.parts_at_work > 0
        owner.end(GeneratorExit() if is_left else None)

    @guarded
    def on_chain_error(self, error: BaseException, *, run_id: Any, **_: Any) -> None:
        step = self.runs.end(run_id)
        if step is None or step.owner is None:
            return
        owner = step.owner
        if is_signal(error, "GraphInterrupt"):
            for interrupt in error.args[0] if error.args else ():
                state = step.info.get("inputs")
                self.pauses.ask(owner, step.info["thread"], interrupt, state)
        elif is_signal(error, "GraphDrained") and step.is_run:
            pause(owner, "drained")
        elif is_signal(error, "ParentCommand") and step.is_run:
            self.runs.hand_off(owner, error)
        elif not step.is_run and isinstance(error, Exception):
            owner.hold(error)
        if step.is_run:
            owner.end(error)

    def on_graph(self, run_id: Any) -> None:
        """Learn that the step *run_id* is a graph: an agent within another gets a run of its own."""
        with self.guard("on_graph"):
            self.runs.note_graph(run_id)

    def on_graph_interrupt(self, event: Any) -> None:
        """Learn that a graph stops; of a breakpoint, which raises nothing, only this tells."""
        with self.guard("on_interrupt"):
            step, status = self.runs.steps.find(read(event, "run_id")), str(read(event, "status"))
            if step is None or step.owner is None or not status.startswith("interrupt_"):
                return
            if not step.owner.is_paused:
                pause(step.owner, status)
