"""Pauses for a person: what was asked before a graph stopped, and what was decided when it goes on."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trailhouse.capture.langchain.approvals import (
    Asked,
    decide,
    decisions_of,
    requested_calls,
    take_id,
)
from trailhouse.capture.langchain.content import plain, tool_calls_of
from trailhouse.producer.object_fields import read
from trailhouse.schemas.event_type import EventType

if TYPE_CHECKING:
    from trailhouse.capture.langchain.agent_run import AgentRun

MAX_THREADS = 10_000


class Pauses:
    """Knows, by LangGraph's thread, what its people are asked, until they have answered."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: OrderedDict[str, dict[str, list[Asked]]] = OrderedDict()

    def ask(self, owner: AgentRun, thread: str | None, interrupt: Any, state: Any) -> None:
        """Record what *interrupt* asks of a person, once: calls to be approved, else that the session pauses.

        Args:
            owner: The run that stops for it.
            thread: LangGraph's thread.
            interrupt: The interrupt.
            state: The input of the step that raised it: its last message names the calls.
        """
        owner.is_paused = True
        interrupt_id, value = str(read(interrupt, "id") or ""), read(interrupt, "value")
        if interrupt_id in owner.root.interrupts:  # told by a graph or step within this one
            return
        owner.root.interrupts.add(interrupt_id)
        asked: list[Asked] = []
        with self._lock:
            self._asked.setdefault(thread or "", {})[interrupt_id] = asked
            if len(self._asked) > MAX_THREADS:
                self._asked.popitem(last=False)
        calls = list(tool_calls_of(state))
        for number, (name, arguments, call_id) in enumerate(requested_calls(value)):
            call_id = call_id or take_id(calls, name, arguments)
            asked.append(Asked(name, call_id, call_id or f"{interrupt_id}/{number}"))
            owner.run.ask_approval(
                name,
                plain(arguments),
                call_id=call_id,
                approval_id=asked[-1].approval_id,
                policy_name="interrupt",
            )
        if not asked:
            pause(owner, value)

    def decide(self, owner: AgentRun, thread: str | None, resume: Any) -> None:
        """Record what a person decided, as *resume* of a `Command` says; an answer that decides nothing resumes."""
        with self._lock:
            pending = self._asked.pop(thread or "", {})
            if isinstance(resume, Mapping) and resume and set(resume) <= set(pending):
                answers = [(asked, resume[key]) for key, asked in pending.items() if key in resume]
                left = {key: asked for key, asked in pending.items() if key not in resume}
                if left:
                    self._asked[thread or ""] = left
            else:
                answers = [(asked, resume) for asked in pending.values()] or [([], resume)]
        for asked, answer in answers:
            decisions = decisions_of(answer)
            if (
                decisions and not asked
            ):  # asked by another process: the next step's input names the calls
                owner.waiting_decisions = decisions
            elif decisions:
                for call, decision in zip(asked, decisions, strict=False):
                    decide(owner.run, call, decision)
            else:
                go_on(owner)
                owner.run.message(plain(answer), role="user")

    @staticmethod
    def decide_waiting(owner: AgentRun, state: Any) -> None:
        """Record decisions on calls that another process asked about, now that the graph's *state* names them."""
        calls, decisions = tool_calls_of(state), owner.waiting_decisions
        if calls and decisions:
            owner.waiting_decisions = []
            known = len(calls) == len(decisions)
            for number, decision in enumerate(decisions):
                call_id = read(calls[number], "id") if known else None
                name = str(read(calls[number], "name")) if known else ""
                decide(owner.run, Asked(name, call_id, call_id or f"decision/{number}"), decision)


def pause(owner: AgentRun, reason: object = None) -> None:
    """Record that the session waits for something else than an approval."""
    owner.is_paused = True
    text = {"reason": reason} if isinstance(reason, str) else {}
    asked = None if reason is None or text else {"interrupt": plain(reason)}
    data = {"session_status": "paused", "agent_id": owner.run.agent_id} | text
    owner.run.log(EventType.SESSION_PAUSED, data, metadata=asked)


def go_on(owner: AgentRun) -> None:
    """Record that the session goes on."""
    data = {"session_status": "active", "agent_id": owner.run.agent_id}
    owner.run.log(EventType.SESSION_RESUMED, data)
