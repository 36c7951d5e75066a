"""Opens runs: for roots, for agents within others, for graphs that a tool calls or that have a name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trailhouse.capture.langchain.agent_run import AgentRun
from trailhouse.capture.langchain.steps import Step, Steps
from trailhouse.producer.object_fields import read
from trailhouse.producer.recording.recorder import CURRENT
from trailhouse.schemas.event_type import EventType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trailhouse.producer.recording.recorder import Recorder

SOURCE = "langchain"
THREAD_KEYS = ("thread_id", "session_id", "conversation_id")
"""Of a step's metadata, what names the session: LangGraph's own, and the other two that LangSmith reads too."""
UNNAMED_GRAPH = "LangGraph"
CREATE_AGENT = "langchain_create_agent"


class Runs:
    """The runs that LangChain's steps belong to."""

    def __init__(self, recorder: Recorder) -> None:
        self.steps = Steps()
        self._recorder = recorder

    def begin(self, run_id: Any, kind: str, about: Mapping[str, Any], *, name: str | None) -> Step:
        """Return the step that begins: part of the run of the step around it, or a root.

        A root has a run of its own. One that is no graph, but a plain chain, a model or a tool, is part of the run
        that is bound around it, if there is one. A retriever alone is no run.
        """
        metadata = about.get("metadata") or {}
        around = self.steps.find(about.get("parent_run_id"))
        info = {
            "name": name,
            "thread": _thread_of(metadata),
            "is_node": any(str(tag).startswith("graph:step:") for tag in about.get("tags") or ()),
            "is_graph": kind == "chain" and "ls_integration" in metadata,
            "integration": metadata.get("ls_integration"),
            "agent": metadata.get("lc_agent_name"),
            "provider": metadata.get("ls_provider"),
            "model": metadata.get("ls_model_name"),
        }
        if around is not None and around.owner is not None:
            step = Step(around.owner, kind, is_root=False, info=info)
            step.around = around
            if kind == "chain" and not info["is_node"] and _is_agent(info, around.info):
                self._open_child(run_id, step)
        else:
            step = self._begin_root(run_id, kind, info)
        self.steps.begin(run_id, step)
        if info["is_node"] or kind == "tool":
            step.bind()
        return step

    def _begin_root(self, run_id: Any, kind: str, info: dict[str, Any]) -> Step:
        bound = self._recorder.current
        if kind == "retriever":
            return Step(None, kind, is_root=True, info=info)
        if bound is not None and not info["is_graph"]:
            return Step(AgentRun(bound, is_ours=False), kind, is_root=True, info=info)
        step = Step(None, kind, is_root=True, info=info)
        step.owner = AgentRun(self._open(run_id, info), is_ours=True)
        return step

    def _open_child(self, run_id: Any, step: Step) -> None:
        if (around := step.owner) is not None:
            run = self._open(run_id, step.info, parent=around)
            step.owner = AgentRun(run, is_ours=True, root=around.root)
            step.is_root = True

    def _open(self, run_id: Any, info: Mapping[str, Any], parent: AgentRun | None = None) -> Any:
        text = str(run_id)
        return self._recorder.open_run(
            info["thread"],
            source=SOURCE,
            # An application may give the id itself, and give it twice.
            run_id=text if self._recorder.claims("run", text) else None,
            agent_id=info["agent"] or info["name"],
            provider=info["provider"],
            parent=CURRENT if parent is None else parent.run,
        )

    def note_graph(self, run_id: Any) -> None:
        """Learn that a step is a graph: one that a tool calls, or that has a name of its own, is an agent's run.

        Others are scaffolding: a part of the graph around them.
        """
        step = self.steps.find(run_id)
        if step is None or step.is_root or step.around is None:
            return
        if step.info["name"] != UNNAMED_GRAPH or step.around.kind == "tool":
            step.info["agent"] = None  # which is that of the agent around it
            self._open_child(run_id, step)

    def hand_off(self, owner: AgentRun, command: BaseException) -> None:
        """Record that an agent hands over to the node that its `Command` names, of the graph around it."""
        goto = read(command.args[0] if command.args else None, "goto")
        if isinstance(goto, str):
            data = {"from_agent_id": owner.run.agent_id, "to_agent_id": goto}
            owner.run.log(EventType.AGENT_HANDED_OFF, data)

    def end(self, run_id: Any) -> Step | None:
        """Return the step that ends; None where its start was not seen."""
        step = self.steps.end(run_id)
        if step is not None:
            step.unbind()
        return step


def _is_agent(info: Mapping[str, Any], around: Mapping[str, Any]) -> bool:
    """Tell whether a step is an agent: steps within it have its metadata, but neither its name nor its beginning."""
    begins = info["integration"] == CREATE_AGENT != around["integration"]
    return begins or info["agent"] == info["name"] is not None


def _thread_of(metadata: Mapping[str, Any]) -> str | None:
    for key in THREAD_KEYS:
        given = metadata.get(key)
        if given is not None and given != "":
            return str(given)
    return None
